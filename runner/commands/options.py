"""Options that several commands take, and how their arguments are called, said once."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class WithMeasures(click.Command):
    """Its help explains each measure, in the words of the module that knows them."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from optrun.runner.verdict.metrics import MEASURES

        super().format_help_text(ctx, formatter)
        with formatter.section("Measures"):
            formatter.write_dl([(one.key, one.description) for one in MEASURES])


class _Path(click.Path):
    """A path that is not empty, which would be the working directory."""

    def convert(self, value: Any, *more: Any) -> Any:
        if value == "":
            self.fail("must not be empty; the working directory is .", *more)
        return super().convert(value, *more)


def finite(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    """Refuses what computers call inf and nan."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"must be a finite number, received {value}")
    return value


PATH = _Path(path_type=Path)
FILE = _Path(path_type=Path, dir_okay=False)
LARGEST_SEED = 2**31 - 1
SEED = click.IntRange(0, LARGEST_SEED)

results_argument: Decorator = click.argument("results", nargs=-1, type=PATH)


def flag(name: str, help: str) -> Decorator:
    return click.option(name, is_flag=True, help=help)


def defaulted(name: str, default: Any, kind: Any, help: str, **more: Any) -> Decorator:
    """An option whose help shows its default."""
    return click.option(name, default=default, show_default=True, type=kind, help=help, **more)


def path_option(
    name: str,
    metavar: str,
    help: str,
    *,
    short: str | None = None,
    kind: click.Path = PATH,
    default: str | None = None,
) -> Decorator:
    names = (name,) if short is None else (short, name)
    shown = default is not None
    return click.option(
        *names, type=kind, metavar=metavar, default=default, show_default=shown, help=help
    )


def margin_option(help: str) -> Decorator:
    """`--margin`, in whatever unit the help says."""
    kind = click.FloatRange(min=0, min_open=True)
    return click.option("--margin", type=kind, callback=finite, metavar="NUMBER", help=help)


flip_option = flag("--flip", "Average each photo with its mirror image, at twice the time.")
sample_option = flag("--sample", "Use the built-in sample of drawn cats and dogs.")
quiet_option = flag("--quiet", "Print nothing but each run's folder.")
seed_option: Decorator = click.option("--seed", type=SEED, help="Train with this seed.")
yes_option = flag("--yes", "Do not ask.")

# What is asked of runs that are set side by side.
metric_option: Decorator = click.option(
    "--metric",
    metavar="MEASURE",
    help="The measure that the verdict is about, one of those named above. Default: test_accuracy.",
)
baseline_option: Decorator = click.option(
    "--baseline",
    metavar="NAME",
    help="The experiment, or optimizer, that the others are set against. Default: SGD, else the "
    "plainest.",
)
margin_of_tables = margin_option(
    "The smallest difference that matters, in the unit of the table (points, for accuracies)."
)
allow_option: Decorator = click.option(
    "--allow",
    metavar="FIELD",
    multiple=True,
    help="Set runs side by side though they differ in this field; said above the table. May be "
    "repeated.",
)


def set_option(
    help: str = "Override any key, nested with dots: --set training.epochs=3.",
) -> Decorator:
    """`--set KEY=VALUE`, as `overrides`."""
    return click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help=f"{help} May be repeated."
    )


def device_option(purpose: str, *, auto: str = "auto takes a GPU where there is one") -> Decorator:
    """`--device`; the purpose is what the device is for, as a verb: "train"."""
    devices = click.Choice(["auto", "cpu", "gpu"])
    return defaulted("--device", "auto", devices, f"Where to {purpose}; {auto}.")


def format_option(
    *layouts: str,
    help: str = "What to print; json holds more than the table has room for.",
    ending_of: str | None = None,
) -> Decorator:
    """`--format`, as `layout`; the first is the default, or what the ending of a file says."""
    default = layouts[0] if ending_of is None else None
    if ending_of is not None:
        help = f"Default: by the ending of {ending_of}, else {layouts[0]}."
    names, kind = ("--format", "layout"), click.Choice(layouts)
    return click.option(*names, default=default, show_default=True, type=kind, help=help)
