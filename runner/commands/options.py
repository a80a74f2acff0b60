"""Options that several commands take, and how their arguments are called, said once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

ANY_PATH = click.Path(path_type=Path)
SEED = click.IntRange(0, 2**31 - 1)

results_argument: Decorator = click.argument("results", nargs=-1, type=ANY_PATH)
flip_option: Decorator = click.option(
    "--flip", is_flag=True, help="Average each photo with its mirror image, at twice the time."
)
quiet_option: Decorator = click.option(
    "--quiet", is_flag=True, help="Print nothing but each run's folder."
)
seed_option: Decorator = click.option("--seed", type=SEED, help="Train with this seed.")
yes_option: Decorator = click.option("--yes", is_flag=True, help="Do not ask.")


def set_option(
    help: str = "Override any key, nested with dots: --set training.epochs=3.",
) -> Decorator:
    """`--set KEY=VALUE`, as `overrides`."""
    return click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help=f"{help} May be repeated."
    )


def sample_option(help: str = "Use the built-in sample of drawn cats and dogs.") -> Decorator:
    """`--sample`."""
    return click.option("--sample", is_flag=True, help=help)


def device_option(purpose: str, *, auto: str = "auto takes a GPU where there is one") -> Decorator:
    """`--device`; the purpose is what the device is for, as a verb: "train"."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "gpu"]),
        default="auto",
        show_default=True,
        help=f"Where to {purpose}; {auto}.",
    )


def format_option(
    *layouts: str,
    help: str = "What to print; json holds more than the table has room for.",
    ending_of: str | None = None,
) -> Decorator:
    """`--format`, as `layout`.

    Args:
        layouts: What there is, the default first.
        help: What to say of it.
        ending_of: The option that names a file whose ending decides, and the endings; `layout` is
            then None where it isn't stated.
    """
    if ending_of is not None:
        help = f"Default: by the ending of {ending_of}, else {layouts[0]}."
    return click.option(
        "--format",
        "layout",
        type=click.Choice(layouts),
        default=layouts[0] if ending_of is None else None,
        show_default=True,
        help=help,
    )
