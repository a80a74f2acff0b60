"""The epochs of a run as a table, with the time that each of them took."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from optrun.runner.runs.saved import whole
from optrun.runner.runs.standing import Progress
from optrun.runner.ui.text import padded
from optrun.runner.ui.wording import duration
from optrun.runner.untrusted import number

# Of very many epochs the first and the last are shown.
_MOST, _FIRST, _LAST = 40, 5, 30

_Event = Mapping[str, Any]


def epoch_lines(epochs: Sequence[_Event], progress: Progress | None, width: int) -> Iterator[str]:
    """A heading and a line for each epoch; the times go first where the width is short.

    Args:
        epochs: Their events, in order.
        progress: How many there are to be.
        width: Columns of the terminal.
    """
    columns = _columns(progress)
    while len(columns) > 1 and sum(size for _, size, _ in columns) > width:
        columns.pop()
    yield "".join(padded(title, size, right=True) for title, size, _ in columns)
    previous: _Event = {}
    for index, epoch in enumerate(epochs):
        hidden = len(epochs) > _MOST and _FIRST <= index < len(epochs) - _LAST
        if not hidden:
            cells = [padded(cell(epoch, previous), size, right=True) for _, size, cell in columns]
            yield "".join(cells)
        elif index == _FIRST:
            yield padded("…", columns[0][1], right=True)
        previous = epoch


def _columns(
    progress: Progress | None,
) -> list[tuple[str, int, Callable[[_Event, _Event], str]]]:
    """Title, width and content, which may need the epoch before."""

    def name(epoch: _Event, _: _Event) -> str:
        done = whole(epoch.get("epoch"))
        of_all = f"/{progress.epochs}" if progress and progress.epochs else ""
        return "?" if done is None else f"{done}{of_all}"

    def plain(key: str, form: str) -> Callable[[_Event, _Event], str]:
        def cell(epoch: _Event, _: _Event) -> str:
            value = number(epoch.get(key))
            return "–" if value is None else form.format(value)

        return cell

    def loss(key: str) -> Callable[[_Event, _Event], str]:
        def cell(epoch: _Event, _: _Event) -> str:
            value = number(epoch.get(key))
            return "–" if value is None else f"{value:.4f}" if value < 1000 else f"{value:.3g}"

        return cell

    def spent(key: str) -> Callable[[_Event, _Event], str]:
        def cell(epoch: _Event, previous: _Event) -> str:
            until, before = number(epoch.get(key)), number(previous.get(key)) or 0.0
            return "–" if until is None else duration(until - before)

        return cell

    return [
        ("epoch", 9, name),
        ("train loss", 12, loss("training_loss")),
        ("acc.", 8, plain("training_accuracy", "{:.1%}")),
        ("val. loss", 11, loss("validation_loss")),
        ("acc.", 8, plain("validation_accuracy", "{:.1%}")),
        ("images/s", 10, plain("images_per_second", "{:,.1f}")),
        ("training", 11, spent("training_seconds")),
        ("evaluation", 11, spent("evaluation_seconds")),
    ]
