"""Photos obtained and prepared for a command, with a live line meanwhile."""

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from optrun.data.cache import prepare
from optrun.data.cache.cache_key import Preparation
from optrun.data.labels import CLASS_NAMES
from optrun.data.photos import Photos
from optrun.data.printable import printable
from optrun.data.sources import cats_vs_dogs
from optrun.data.sources.built_in import PUBLIC
from optrun.data.sources.layout import by_folder, label_of_name
from optrun.runner.ui.console import Display, live_line
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.wording import duration, number_of
from rich.console import Console
from rich.progress import Progress, TaskID

# Without a terminal, a line this often: enough to see that it goes on, few enough for a log.
_LINE_EVERY_S = 30.0
_SHOW_EVERY_S = 0.1
_RATE_OVER_S = 15.0
_UNBALANCED = 0.75  # the share of one class from which on it is said


def in_classes(labels: npt.NDArray[np.uint8]) -> str:
    """How many photos of each class: `8 cats, 9 dogs`."""
    counts = np.bincount(labels, minlength=len(CLASS_NAMES)).tolist()
    return ", ".join(map(number_of, counts, CLASS_NAMES))


def without_label(photos: Photos) -> str:
    """Which photos of the source have no label, and where they lie; empty where all have one."""
    if not photos.unlabelled:
        return ""
    without = f"{number_of(len(photos.unlabelled), 'photo')} without a label"
    return f"{without}, used in no run: {by_folder(photos.unlabelled, '{:,}'.format)}"


def remarks(
    photos: Photos,
    limit: int | None = None,
    *,
    parts: Mapping[str, npt.NDArray[np.int64]],
) -> list[str]:
    """What a person should know of the photos that are there, a line for each matter.

    `parts` are the positions of those in each part, of which each should have both classes.
    """
    lines = []
    for part, positions in parts.items():
        if len(labels := np.unique(photos.labels[positions])) == 1:
            only = number_of(len(positions), CLASS_NAMES[labels[0]])
            lines.append(
                f"the {part} photos are of one class, {only}: an accuracy on them says little, and "
                "there is no ROC AUC"
            )
    elsewhere = [
        name
        for name, label in zip(photos.ids, photos.labels.tolist(), strict=True)
        if label_of_name(name) not in (None, label)
    ]
    if elsewhere:
        lines.append(
            f"{number_of(len(elsewhere), 'photo')} named after the other class than the folder it "
            f"lies in, which counts (the first: {printable(elsewhere[0])})"
        )
    if said := without_label(photos):
        lines.append(said)
    counts = np.bincount(photos.labels, minlength=len(CLASS_NAMES))
    most, least = int(counts.argmax()), int(counts.argmin())
    share = counts[most] / counts.sum()
    if limit is not None and len(photos) < limit:
        lines.append(
            f"data.limit is {limit:,}, and {number_of(len(photos), 'photo')} are all there are"
        )
    elif limit is not None and counts[most] - counts[least] > 1:
        few = number_of(int(counts[least]), CLASS_NAMES[least])
        lines.append(f"data.limit takes half of each class, and {few} are all there are")
    if share >= _UNBALANCED:
        lines.append(
            f"{in_classes(photos.labels)}: an accuracy of {share:.1%} is that of saying "
            f"{CLASS_NAMES[most]} of every photo"
        )
    return lines


def prepared(
    source: str, how: Preparation, place: Path | None = None
) -> tuple[Photos, float | None]:
    """The photos, and how many seconds it took to decode them; None where they were there."""
    here = prepare.prepared(source, how)
    if here is not None:
        return here, None
    display, started = Display(Console(stderr=True)), time.monotonic()
    with native_stderr_captured():
        try:
            if source != PUBLIC:  # whose download has a line of its own
                # TensorFlow takes seconds to start, in which nothing would be seen.
                display.photos_prepared(0, None)
            photos = prepare.prepare(
                source,
                **vars(how),
                progress=display.photos_prepared,
                obtain=lambda: place or obtain(display.console),
            )
        finally:
            display.end_bar()
    return photos, time.monotonic() - started


def obtain(console: Console, archive: Path | None = None, *, quiet: bool = False) -> Path:
    """Obtain the public photos, from an archive or by download, and show how it goes on."""
    view = View(console, quiet=quiet)
    try:
        return cats_vs_dogs.obtain(archive, progress=view.progress, say=view.say)
    finally:
        view.end()


class View:
    """Shows bytes, rate and time left: live on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._display = Display(console, quiet)
        self.say = self._display.notice
        self._line: Progress | None = None
        self._task = TaskID(0)
        self._stage = ""
        self._seen: deque[tuple[float, int]] = deque()
        self._next_line_s = 0.0

    def progress(self, stage: str, done: int, total: int) -> None:
        """Show how many bytes of a stage are done; called often."""
        if self._display.quiet:
            return
        now = time.monotonic()
        if stage != self._stage:
            self.end()
            self._stage, self._next_line_s = stage, now
            self._seen.clear()
            if self._display.console.is_terminal:
                self._line = live_line(self._display.console)
                self._task = self._line.add_task(stage, total=total, numbers="")
                self._line.start()
        elif done < self._seen[-1][1]:
            self._seen.clear()  # a download that began anew
        elif now < self._seen[-1][0] + _SHOW_EVERY_S and done < total:
            return
        self._seen.append((now, done))
        while self._seen[0][0] < now - _RATE_OVER_S:
            self._seen.popleft()
        first_s, first = self._seen[0]
        rate = (done - first) / (now - first_s) if now > first_s else 0.0
        numbers = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB"
        if rate > 0:
            numbers += f", {rate / 1e6:,.1f} MB/s"
            numbers += f", {duration((total - done) / rate)} left" if done < total else ""
        if self._line is not None:
            self._line.update(self._task, completed=done, numbers=numbers)
        elif now >= self._next_line_s:
            self._next_line_s = now + _LINE_EVERY_S
            self._display.say(f"  {stage} {numbers}")

    def end(self) -> None:
        """Take the live line away."""
        if self._line is not None:
            self._line.stop()
            self._line = None
