"""`optrun train`: options and help; the work is in `optrun.runner.plan.executor`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from optrun.runner.commands import options as shared

if TYPE_CHECKING:
    from optrun.runner.plan.tuning import Tuning
    from optrun.runner.plan.until_sure import UntilSure


def _seeds(text: str) -> list[int]:
    """`N` for seeds 1 to N, `A-B` for seeds A to B."""
    match = re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", text)
    if match is None:
        raise click.BadParameter(f"must be a count (8) or a range (4-6), received {text!r}")
    first, last = match.groups()
    seeds = range(1, int(first) + 1) if last is None else range(int(first), int(last) + 1)
    if last is not None and int(last) > shared.LARGEST_SEED:
        raise click.BadParameter(f"must end at {shared.LARGEST_SEED} or below, received {text!r}")
    if not seeds:
        raise click.BadParameter(f"must name at least one seed, received {text!r}")
    if len(seeds) > 10_000:
        raise click.BadParameter(f"must name at most 10,000 seeds, received {len(seeds):,}")
    return list(seeds)


@click.command()
@click.argument("configs", nargs=-1, required=True, metavar="CONFIG...")
@shared.set_option()
@shared.seed_option
@click.option(
    "--seeds", type=_seeds, metavar="N|A-B", help="Train each config with seeds 1 to N, or A to B."
)
@click.option(
    "--grid",
    multiple=True,
    metavar="KEY=V1,V2,...",
    help="First try these values, with --tune-seeds, and train with the best by validation loss. "
    "learning_rate is the optimizer's own wherever it lies; x0.3,x1,x3 are multiples of each "
    "config's. May be repeated.",
)
@click.option(
    "--trials",
    type=click.IntRange(2, 1000),
    help="Try so many settings from every --range, the same for each config.",
)
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="KEY=LOW..HIGH",
    help="With --trials: even on a logarithmic scale. May be repeated.",
)
@shared.defaulted(
    "--tune-seeds",
    "1001-1002",
    _seeds,
    "Seeds of what is tried; no verdict uses them.",
    metavar="N|A-B",
)
@shared.flag(
    "--until-sure",
    "Add seeds, pair by pair, until it is sure which config is better, or --max-seeds is reached.",
)
@shared.defaulted(
    "--max-seeds", 32, click.IntRange(1, 1000), "With --until-sure: the most.", metavar="N"
)
@click.option("--baseline", metavar="NAME", help="With --until-sure, as in optrun compare.")
@click.option("--metric", metavar="MEASURE", help="With --until-sure, as in optrun compare.")
@shared.margin_option(
    "With --until-sure, as in optrun compare: no larger difference is an answer, too."
)
@shared.sample_option
@shared.flag("--real", "Never let the sample stand in for photos that cannot be had.")
@shared.device_option("train")
@shared.defaulted("--results", Path("results"), shared.PATH, "Folder for the run folders.")
@shared.flag(
    "--resume",
    "Go on with the plan's unfinished runs in the results folder, and start those that are missing "
    "there.",
)
@shared.flag("--dry-run", "Print what would be trained, and stop.")
@shared.quiet_option
def train(configs: tuple[str, ...], overrides: tuple[str, ...], **options: Any) -> None:
    """Train what the CONFIG files describe, one run per config and seed.

    \b
    optrun train configs/lookahead_vgg19.yaml --sample
    optrun train configs/sgd_vgg19.yaml configs/lookahead_vgg19.yaml --seeds 8

    With --grid, or --trials and --range, every config gets the same number of settings, tried on
    seeds of their own; the best of each then trains with the seeds of the verdict.

    With --until-sure, seeds are looked at after 8, 12, 16, 24 and 32 of them, honest about having
    looked: what is asked is written to the results folder before the first run and cannot be
    changed after. `optrun compare` judges these runs by it.

    With --resume, the same command picks up a plan that was cut short. A run is the plan's where
    experiment, seed and name are the same. Completed and diverged ones are left as they are;
    interrupted, failed and killed ones go on from their last checkpoint, of several the one that
    is furthest; those that another process writes are left to it; the others start. What `auto`
    was when the plan began (precision, XLA, device) is kept.

    Exit codes: 0 done; 1 a run failed or can't be resumed; 2 a mistake in the command or a config;
    3 a run diverged, with --resume also one that did so before; 5 another process writes one of
    the plan's runs; 130 or 143 interrupted. Of several the first of 1, 5 and 3 counts.
    """
    if options["sample"] and options["real"]:
        raise click.UsageError("--sample and --real contradict each other.")
    seed, seeds = options.pop("seed"), options.pop("seeds")
    if seed is not None and seeds is not None:
        raise click.UsageError("--seed and --seeds cannot be given together; --seeds 3-3 is one.")
    from optrun.runner.plan.executor import Request, execute
    from optrun.runner.plan.plan import Entry

    entries = [Entry(Path(config), overrides) for config in configs]
    chosen = seeds if seed is None else [seed]
    until_sure = _until_sure(chosen, **{name: options.pop(name) for name in _OF_UNTIL_SURE})
    tuning = _tuning(chosen, **{name: options.pop(name) for name in _OF_TUNING})
    request = Request(entries, chosen, tuning=tuning, until_sure=until_sure, **options)
    raise SystemExit(execute(request))


_OF_UNTIL_SURE = ("until_sure", "max_seeds", "baseline", "metric", "margin")


def _until_sure(
    seeds: list[int] | None, *, until_sure: bool, max_seeds: int, **asked: Any
) -> "UntilSure | None":
    if not until_sure:
        if given := [name for name, value in asked.items() if value is not None]:
            raise click.UsageError(f"--{given[0]} is what --until-sure asks about.")
        return None
    if seeds is not None:
        raise click.UsageError("--until-sure takes seeds from 1 on; --max-seeds says how many.")
    from optrun.runner.plan.until_sure import UntilSure

    return UntilSure(max_seeds, **asked)


_OF_TUNING = ("grid", "trials", "ranges", "tune_seeds")


def _tuning(
    seeds: list[int] | None,
    *,
    grid: tuple[str, ...],
    trials: int | None,
    ranges: tuple[str, ...],
    tune_seeds: list[int],
) -> "Tuning | None":
    if grid and (trials or ranges):
        raise click.UsageError("--grid and --trials contradict each other.")
    if bool(trials) != bool(ranges):
        raise click.UsageError("--trials and --range need each other.")
    if not grid and not trials:
        return None
    if both := sorted({*tune_seeds} & {*(seeds or [1])}):
        raise click.UsageError(
            f"--tune-seeds must not be seeds of the verdict, and {both[0]} is one of both."
        )
    from optrun.runner.plan import tuning

    settings = tuning.grid(grid) if grid else tuning.sampled(ranges, trials or 0)
    return tuning.Tuning(settings, tune_seeds)
