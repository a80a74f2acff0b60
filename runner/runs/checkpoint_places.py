"""Where a run's checkpoints lie, and what their files are called; nothing is read here."""

from pathlib import Path

FORMAT = 2
ARRAYS, MANIFEST = "weights.npz", "manifest.json"


def best(run: Path) -> Path:
    """Where the weights of a run's best epoch are."""
    return run / "checkpoint" / "best"


def last(run: Path) -> Path:
    """All that it takes to go on with a run."""
    return run / "checkpoint" / "last"


def being_written(checkpoint: Path) -> Path:
    """What will replace a checkpoint; whole only if a crash came right before the rename."""
    return checkpoint.with_name(f".{checkpoint.name}.new")


def previous(checkpoint: Path) -> Path:
    """The one before, where it is kept."""
    return checkpoint.with_name(f"{checkpoint.name}.previous")


def being_dropped(checkpoint: Path) -> Path:
    """What a checkpoint has replaced, until it is deleted."""
    return checkpoint.with_name(f".{checkpoint.name}.old")


def newest_first(checkpoint: Path) -> tuple[Path, ...]:
    """A checkpoint's own place and those of its successor and predecessors, existing or not.

    Saving begins by deleting what was left half written, so what lies there is never older than
    what is in place.
    """
    newest = (being_written(checkpoint), checkpoint)
    return (*newest, previous(checkpoint), being_dropped(checkpoint))


def in_place(checkpoint: Path) -> Path:
    """Where a checkpoint is, also between the two renames that put a new one in its place."""
    places = (checkpoint, being_written(checkpoint), being_dropped(checkpoint))
    return next((place for place in places if place.exists()), checkpoint)
