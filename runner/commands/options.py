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
) -> Decorator:
    """`--format`, as `layout`; the first of the layouts is the default."""
    return click.option(
        "--format",
        "layout",
        type=click.Choice(layouts),
        default=layouts[0],
        show_default=True,
        help=help,
    )


def format_by_ending_option(*layouts: str, of: str) -> Decorator:
    """`--format`, as `layout`; None, where the file's ending decides, then the first layout.

    Args:
        layouts: What there is.
        of: The option that names the file.
    """
    endings = {"markdown": ".md", "csv": ".csv", "json": ".json"}
    known = ", ".join(endings[layout] for layout in layouts if layout in endings)
    return click.option(
        "--format",
        "layout",
        type=click.Choice(layouts),
        help=f"Default: by the ending of {of} ({known}), else {layouts[0]}.",
    )
