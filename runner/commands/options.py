"""Options that several commands take, said once."""

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def device_option(purpose: str, *, auto: str = "auto takes a GPU where there is one") -> Decorator:
    """`--device`; the purpose is what the device is for, as a verb: "train"."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "gpu"]),
        default="auto",
        show_default=True,
        help=f"Where to {purpose}; {auto}.",
    )


flip_option: Decorator = click.option(
    "--flip", is_flag=True, help="Average each photo with its mirror image, at twice the time."
)
