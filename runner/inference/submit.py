"""What `optrun predict --kaggle` does: every test photo answered, in the file that Kaggle takes.

An id is the number that a photo's file is named by (`test1/17.jpg`); ids are checked by the list
that comes with the photos, sampleSubmission.csv.
"""

import csv
import io
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt
from optrun.data.printable import printable
from optrun.data.sources.archive import opened
from optrun.data.sources.regular_file import UnreadableError
from optrun.data.unlabelled import MAXIMUM_ENTRIES, unlabelled
from optrun.runner.engine.scores import score, sigmoid
from optrun.runner.errors import UserError, photo_errors
from optrun.runner.inference.prediction import Progress, check_exists, check_writable, new_file
from optrun.runner.inference.statistics import choose_clipping, clipped
from optrun.runner.runs.predictions import kept_predictions
from optrun.runner.runs.reader import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.ui.wording import some
from optrun.runner.untrusted import DamageError, content_of

if TYPE_CHECKING:
    from optrun.runner.inference.classifier import Trained

_TEST_PLACES = ("test1.zip", "test.zip", "test1", "test")
_SAMPLE_NAMES = ("samplesubmission.csv", "sample_submission.csv")
_LARGEST_SAMPLE = 64 * 2**20  # bytes; Kaggle's has 12,500 lines of some ten bytes
_PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_MOST_NAMED = 5


def submit(
    run: str, archive: Path, output: Path, *, labels: str, force: bool, flip: bool, device: str
) -> int:
    """Writes the submission, as `optrun predict`; 1 where photos could not be read, else 0."""
    folder = find_run(run)
    check_exists(archive, "--kaggle")
    check_writable(output, force=force)
    shown = printable(str(archive))
    with photo_errors():
        place = place_of_test_photos(archive)
        # The names first: what is wrong with them should not be found out after an hour.
        ids = ids_of((photo.name for photo in unlabelled([place])), archive)
        sample = sample_submission(archive)
        if sample is not None:
            check_ids(ids, *sample)
        with native_stderr_captured():
            progress = Progress(folder, device=device, flip=flip)
            checked = f"as {sample[0]} lists" if sample else "without a list to check them by"
            progress.say(f"{len(ids):,} test photos in {shown}, {checked}")
            if sample is None and (missing := gaps(ids)):
                progress.say(f"note: {missing}")
            limit = None if labels == "hard" else _limit(progress, flip=flip)
            photos = (one for one in unlabelled([place]) if photo_id(one.name) is not None)
            answers = progress.answers(photos, total=len(ids))
            logits = {photo_id(one.name): one.logit for one in answers}
            if set(logits) != set(ids):
                raise UserError(f"{shown} changed while it was read; run the command again.")
            # Of one that can't be read nothing is known but that the classes are equally frequent.
            known = np.array([logits[number] or 0.0 for number in ids])
            said = (known > 0).astype(int) if limit is None else clipped(sigmoid(known), limit)
            with new_file(output, force=force) as file:
                file.write(submission(dict(zip(ids, said.tolist(), strict=True))))
            progress.say(progress.counted())
            if progress.unreadable:
                given = "0.5" if labels == "probability" else "0"
                progress.say(f"note: those that could not be read are in the file with {given}")
    click.echo(f"Wrote {len(ids):,} rows to {printable(str(output))}")
    return 1 if progress.unreadable else 0


def place_of_test_photos(archive: Path) -> Path:
    """Where the test photos are: in a folder as downloaded, in its test1.zip or test1 alone."""
    places = [archive / name for name in _TEST_PLACES if archive.is_dir()]
    return next((place for place in places if place.exists()), archive)


def photo_id(name: str) -> int | None:
    """The id in a photo's name; None for files that are no photos."""
    path = PurePosixPath(name.replace("\\", "/"))
    if _ID.fullmatch(path.stem):
        return int(path.stem)
    if path.suffix.lower() not in _PHOTO_SUFFIXES or path.name.startswith("."):
        return None
    raise UserError(
        "--kaggle must name an archive whose test photos are numbered, as test1/17.jpg is, "
        f"received one with {printable(name, longest=200)}. Without --kaggle, `optrun predict` "
        "takes photos of any name."
    )


def ids_of(photos: Iterable[str], archive: Path) -> list[int]:
    """The ids of the test photos of these names, ascending; there must be one, and none twice."""
    names: dict[int, str] = {}
    for name in photos:
        if (number := photo_id(name)) is None:
            continue
        if number in names:
            raise UserError(
                f"Every id must have one photo, received two for {number} in "
                f"{printable(str(archive))}: {printable(names[number], longest=200)} and "
                f"{printable(name, longest=200)}."
            )
        names[number] = name
    if not names:
        raise UserError(
            "--kaggle must name the competition's archive, with its test photos (test1.zip, or "
            f"test1/1.jpg ...), received: {printable(str(archive))}, which holds none."
        )
    return sorted(names)


def check_ids(ids: Sequence[int], place: str, listed: frozenset[int]) -> None:
    """Raises `UserError` unless the photos' ids are those listed, in `place`."""
    missing, unknown = sorted(listed.difference(ids)), sorted(set(ids) - listed)
    if missing or unknown:
        differences = [
            f"{kind}: {some(list(map(str, numbers)), _MOST_NAMED)}"
            for kind, numbers in (("without a photo", missing), ("not listed", unknown))
            if numbers
        ]
        raise UserError(
            f"The test photos must be those that {place} lists, {len(listed):,} ids, "
            f"received {len(ids):,}; {'; '.join(differences)}. Get the archive again, or move the "
            "list away if it belongs to other photos."
        )


def gaps(ids: Sequence[int]) -> str | None:
    """Says which ids between 1 and the highest have no photo; None where all have one."""
    have, count = set(ids), ids[-1] - sum(number > 0 for number in ids)
    if count == 0:
        return None
    # An id may have 18 digits: no more of them are looked at than are named.
    missing = (str(number) for number in range(1, ids[-1]) if number not in have)
    first = ", ".join(itertools.islice(missing, _MOST_NAMED))
    more = f" and {count - _MOST_NAMED:,} more" if count > _MOST_NAMED else ""
    return (
        f"no photo for {count:,} of the ids up to {ids[-1]:,}: {first}{more}. Kaggle takes a file "
        "with every id alone"
    )


def sample_submission(archive: Path) -> tuple[str, frozenset[int]] | None:
    """The name and the ids of the list in the archive, or else in its folder; None for none."""
    for place, read in _lists(archive):
        try:
            return place, _ids_in(read())
        except (DamageError, UnreadableError) as error:
            reason = str(error) if isinstance(error, DamageError) else f"it can't be read ({error})"
            raise UserError(
                f"{place} must be a list of ids as Kaggle gives it, but {reason}. Move it away, or "
                "get it again."
            ) from error
    return None


def _lists(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """How each list of ids is to be named, and what reads it."""
    if archive.is_file():
        with opened(archive, printable(str(archive))) as opened_archive:
            for entry in opened_archive.files(MAXIMUM_ENTRIES):
                if PurePosixPath(entry.name).name.lower() in _SAMPLE_NAMES:
                    name = printable(entry.name, longest=200)
                    yield f"{name} in {printable(archive.name)}", entry.read
    folder = archive if archive.is_dir() else archive.absolute().parent
    try:
        found = sorted(path for path in folder.iterdir() if path.name.lower() in _SAMPLE_NAMES)
    except OSError:  # one that may not be listed has no list for us
        return
    for path in found:
        yield printable(str(path)), partial(content_of, path, _LARGEST_SAMPLE)


def _ids_in(content: bytes) -> frozenset[int]:
    try:
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DamageError("it is no CSV text") from error
    if not rows or [cell.strip().lower() for cell in rows[0]] != ["id", "label"]:
        raise DamageError("its first line must be id,label")
    ids: set[int] = set()
    for number, row in enumerate(rows[1:], start=2):
        text = row[0].strip()
        if not _ID.fullmatch(text):
            raise DamageError(f"row {number} has no id: {printable(text, longest=40)}")
        if int(text) in ids:
            raise DamageError(f"it lists {text} twice")
        ids.add(int(text))
    return frozenset(ids)


def _limit(progress: Progress, *, flip: bool) -> float:
    """The limit of probabilities, chosen on the validation photos and said."""
    from optrun.data.feed.batches import EVALUATION_BATCH, evaluation_batches

    # A completed run has kept their logits without flipping, and its photos may be gone.
    trained = progress.trained
    kept = None if flip else _kept_logits(trained)
    if kept is None:
        photos, positions, notes = trained.evaluated_photos()
        for note in notes:
            progress.say(note)
        validation = positions["validation"]
        batches = evaluation_batches(photos, validation, batch_size=EVALUATION_BATCH)
        kept = trained.logits(batches, flip=flip), photos.labels[validation]
    chosen = choose_clipping(*kept)
    progress.say(
        f"clipped to {chosen.limit:.4f} ... {1 - chosen.limit:.4f}, by the log loss of "
        f"{chosen.photos:,} validation photos: {chosen.log_loss_before:.4f} before, "
        f"{chosen.log_loss_after:.4f} after"
    )
    progress.say(
        f"  ({chosen.beyond:,} of them clipped, of which the network has {chosen.wrong_beyond:,} "
        "wrong)"
    )
    if chosen.log_loss_after > chosen.log_loss_before:
        progress.say(
            f"  (a little higher: {chosen.photos:,} photos cannot show that it may be any surer)"
        )
    return chosen.limit


def _kept_logits(
    trained: "Trained",
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]] | None:
    """Logits [n] of the validation photos and their labels [n] in predictions.npz, if usable."""
    loss = trained.run.record.measure("best_validation_loss")
    kept = kept_predictions(trained.run.folder, "validation")
    if loss is None or kept is None:
        return None
    # Predictions of another run, put in place, have another loss than the one recorded.
    is_own = math.isclose(score(*kept).log_loss, loss, rel_tol=1e-9)
    return kept if is_own else None


def submission(labels: Mapping[int, float | int]) -> str:
    """The file: a header, then the label of each id, in numerical order."""
    # Twelve decimals, so that photos that differ little keep their order.
    rows = [
        f"{number},{label}\n" if isinstance(label, int) else f"{number},{label:.12f}\n"
        for number, label in sorted(labels.items())
    ]
    return "".join(["id,label\n", *rows])
