"""`optrun config`: options and help; the work is in `optrun.runner.config.origins`."""

import click

_OVERRIDES = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override any key, nested with dots: --set training.epochs=3. May be repeated.",
)
_SAMPLE = click.option(
    "--sample", is_flag=True, help="As it is for a run on the built-in sample (`sample:` counts)."
)


@click.group()
def config() -> None:
    """Show or check what a config file really says."""


@config.command()
@click.argument("config", metavar="CONFIG")
@_OVERRIDES
@_SAMPLE
def show(config: str, overrides: tuple[str, ...], sample: bool) -> None:
    """Print the resolved CONFIG: every value, and where it comes from.

    The output is a config file itself: it extends nothing and leaves nothing to a default.
    """
    from optrun.runner.config.load import load
    from optrun.runner.config.origins import show

    click.echo(show(load(config, overrides, sample=sample)), nl=False)


@config.command()
@click.argument("configs", nargs=-1, required=True, metavar="CONFIG...")
@_OVERRIDES
@_SAMPLE
def check(configs: tuple[str, ...], overrides: tuple[str, ...], sample: bool) -> None:
    """Check each CONFIG and say all that is wrong with it; nothing is trained.

    Exits with 2 where anything is wrong.
    """
    from optrun.runner.config.origins import check

    right = True
    for fine, text in check(configs, overrides, sample=sample):
        click.echo(text, err=not fine)
        right = right and fine
    if not right:
        raise click.exceptions.Exit(2)


@config.command()
def schema() -> None:
    """Print the JSON Schema of config files, for an editor's completion and checks.

    \b
    optrun config schema > optrun.schema.json
    """
    import json

    from optrun.runner.config.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=1, ensure_ascii=False))
