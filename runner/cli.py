"""The command line's top floor: names, help texts, and which module answers.

Each command lives in `runner.commands` and is imported when it is called, so that `optrun --help`
costs no more than Click.
"""

import importlib
import sys
from pathlib import Path

import click

COMMANDS = {
    "train": "Train what the config files describe, one run per config and seed.",
    "resume": "Go on with runs that were interrupted or killed.",
    "verify": "Prove here that a run which was killed and resumed is the same run.",
    "compare": "Say of the runs in results/ which won, by how much, how sure.",
    "plot": "Draw the curves of the runs in results/, over seeds, into one picture.",
    "report": "Write a page about the runs: verdict, table, figures.",
    "judge": "Say of anyone's numbers what won, and how sure that is.",
    "runs": "List the runs and what would resume; show, diff, remove.",
    "evaluate": "Measure a trained network, and show its worst mistakes.",
    "predict": "Say of photos whether a trained network sees a cat or a dog.",
    "export": "Write a trained network as a model that Keras opens alone.",
    "config": "Show or check what a config file really says.",
    "optimizers": "List the optimizers and their cost, or print the card of one.",
    "data": "Import photos, and see what is here: list, verify, show, remove.",
}


class LazyGroup(click.Group):
    """A group whose commands are modules of `runner.commands`, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"optrun.runner.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from optrun.runner.ui.wording import nearest

            near = nearest(args[0], COMMANDS)
            if near is None:
                raise
            message = f"{error.message} Did you mean '{near}'?"
            raise click.UsageError(message, ctx) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="optrun", message="optrun %(version)s")
def optrun() -> None:
    """Train one network with several optimizers; learn which won.

    \b
    optrun train configs/lookahead_vgg19.yaml --sample
    optrun compare results/
    """


def main() -> None:
    """Run the command line; a person's mistake ends in a message and exit code 2."""
    from optrun.runner.ui.streams import left_alone

    # A training has its folder; of all else the output is the point.
    trains = sys.argv[1:2] in (["train"], ["resume"])
    with left_alone(tells_of_pipes=trains) as output:
        code = _exit_code()
        output.flush()
        if output.lost is not None and not trains:
            code = code or 1
    if code:
        sys.exit(code)


def _exit_code() -> int:
    from optrun.runner.errors import UserError

    try:
        try:
            Path.cwd()
        except OSError as error:
            gone = "The working directory is gone, deleted perhaps: cd to one that is there"
            raise UserError(gone) from error
        # Click returns the code of a `click.exceptions.Exit` here, and does not raise it.
        return int(optrun.main(prog_name="optrun", standalone_mode=False) or 0)
    except SystemExit as stop:  # how some commands say theirs
        return int(stop.code or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("optrun: interrupted", err=True)
        return 130
    except UserError as error:
        text = str(error)
        click.echo(text if "\n" in text else f"optrun: {text}", err=True)
        return error.exit_code


if __name__ == "__main__":
    main()
