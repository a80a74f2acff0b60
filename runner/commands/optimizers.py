"""`optrun optimizers`: options and help; the work is in `optrun.runner.optimizer_cards`."""

import click
from optrun.runner.commands.options import format_option


@click.command()
@click.argument("name", required=False)
@format_option("text", "json", help="What to print; json holds all that the text says.")
def optimizers(name: str | None, layout: str) -> None:
    """List the optimizers with their cost; with a NAME, print that one's card.

    \b
    optrun optimizers
    optrun optimizers lookahead

    A card says the update rule, the paper, the arguments with defaults and sensible values, the
    cost, what it is equal to, what surprises people, and a config file to start from.

    Exits with 2 for a name that is not known.
    """
    from optrun.runner.optimizer_cards import show

    show(name, layout=layout)
