"""The figures of a table, in the order of a page, and how one becomes a file."""

import functools
from collections.abc import Iterator

from optrun.runner.compare.comparison import Group
from optrun.runner.compare.judgement import Verdict
from optrun.runner.report import costs, curves, over_seeds, style, tuned
from optrun.runner.report.figure import Figure
from optrun.runner.verdict.metrics import AXES

ENDINGS = style.ENDINGS


def figures_of(group: Group, verdict: Verdict) -> list[Figure]:
    """What can be drawn of a table."""
    return [one for one in _candidates(group, verdict) if one is not None]


def encoded(figure: Figure, ending: str, size: str) -> bytes:
    """The bytes of a .png, .svg or .pdf in one of `style.SIZES`."""
    return style.encoded([("", [figure])], ending, size=size)


def svg_for_page(figure: Figure) -> bytes:
    """The figure without the words that a page says around it."""
    return style.encoded([("", [figure])], ".svg", size="two-columns", is_inline=True)


def _candidates(group: Group, verdict: Verdict) -> Iterator[Figure | None]:
    history_of = functools.cache(curves.history)
    yield over_seeds.seeds(group, verdict)
    for measure in curves.QUANTITIES:
        for axis in AXES:
            yield curves.learning_curves(group, axis, measure, history_of)
    for axis in AXES:
        yield curves.slow_and_fast(group, axis, history_of)
    for axis in AXES:
        yield costs.time_to_target(group, axis, baseline=verdict.baseline, history_of=history_of)
    for axis in ("gradient-evaluations", "training-seconds"):
        yield costs.cost(group, axis)
    yield tuned.sensitivity(group)
    yield tuned.expected_best(group)
    for of in ("loss", "accuracy"):
        yield over_seeds.generalisation_gap(group, of, history_of)
