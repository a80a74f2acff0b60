"""`optrun config`: options and help; the work is in `optrun.runner.config`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from optrun.runner.commands.options import flag, set_option

if TYPE_CHECKING:
    from optrun.runner.config.load import Loaded

_on_sample = flag("--sample", "As it is for a run on the built-in sample (`sample:` counts).")


@click.group()
def config() -> None:
    """Show or check what a config file really says."""


@config.command()
@click.argument("config", metavar="CONFIG")
@set_option()
@_on_sample
def show(config: str, overrides: tuple[str, ...], sample: bool) -> None:
    """Print the resolved CONFIG: every value, and where it comes from.

    The output is a config file itself: it extends nothing and leaves nothing to a default.
    """
    from optrun.runner.config.load import load
    from optrun.runner.config.origins import show

    click.echo(show(load(config, overrides, sample=sample)), nl=False)


@config.command()
@click.argument("configs", nargs=-1, required=True, metavar="CONFIG...")
@set_option()
@_on_sample
def check(configs: tuple[str, ...], overrides: tuple[str, ...], sample: bool) -> None:
    """Check each CONFIG and say all that is wrong with it; nothing is trained.

    Exits with 2 where anything is wrong.
    """
    from optrun.runner.config.load import load
    from optrun.runner.config.origins import summary
    from optrun.runner.config.problems import ConfigurationError

    right = True
    for config in configs:
        try:
            loaded = load(config, overrides, sample=sample, import_own=True)
            notes = _tried(loaded, Path(config))
        except ConfigurationError as error:
            click.echo(str(error), err=True)
            right = False
        else:
            click.echo(f"{config}: ok: {summary(loaded.experiment)}")
            for note in notes:
                click.echo(f"{config}: note: {note}")
    if not right:
        raise click.exceptions.Exit(2)


def _tried(loaded: "Loaded", config: Path) -> list[str]:
    """What is found out by more than reading, where there is any need for it."""
    rule = loaded.experiment.optimizer
    if rule.user_defined_names:
        from optrun.runner.engine.rehearsal import try_out
        from optrun.runner.ui.stderr_capture import native_stderr_captured

        with native_stderr_captured():
            try_out(loaded.experiment, loaded.origins)
    if not rule.sync_periods and not any(updates for _, updates in rule.warmups()):
        return []
    from optrun.runner.plan.forecast import check_where_counted
    from optrun.runner.plan.plan import planned_run

    return check_where_counted(planned_run(loaded, config))


@config.command()
def schema() -> None:
    """Print the JSON Schema of config files, for an editor's completion and checks.

    \b
    optrun config schema > optrun.schema.json
    """
    import json

    from optrun.runner.config.documentation import json_schema

    click.echo(json.dumps(json_schema(), indent=1, ensure_ascii=False))
