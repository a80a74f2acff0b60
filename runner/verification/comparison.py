"""Two run folders compared, bit for bit, in all that a training decides; clocks are no part of it.

Example:
    >>> same, other = {"loss": 0.25}, {"loss": 0.5}
    >>> first_difference(same, same), first_difference(same, other)
    (None, 'loss: 0.25 against 0.5')
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optrun.runner.engine import checkpoint
from optrun.runner.engine.checkpoint import CheckpointError
from optrun.runner.runs import checkpoint_places as places
from optrun.runner.ui.wording import number_of
from optrun.runner.untrusted import DamageError, content_of, json_object

Values = Mapping[str, Any]

# What depends on the hour and on what else the machine has to do.
_TIMES = ("_seconds", "_per_second")
_PARTS = (
    "start",
    "weights",
    "optimizer state",
    "progress and means",
    "best epoch's weights",
    "metric rows",
    "predictions",
    "best epoch",
    "result",
)


class UnreadableError(Exception):
    """A part of a run that is missing or damaged."""


@dataclass(frozen=True)
class Compared:
    """One part of two runs.

    Attributes:
        name: What it is.
        extent: How much of it there is, in words.
        hashes: SHA-256 of the part in each run; None where it can't be read.
        difference: The first difference, in words; None where there is none.
    """

    name: str
    extent: str
    hashes: tuple[str | None, str | None]
    difference: str | None

    @property
    def is_identical(self) -> bool:
        return self.difference is None


def compare(run: Path, other: Path) -> list[Compared]:
    """Compare all parts of two completed runs.

    Args:
        run: Folder of a run.
        other: Folder of another.
    """
    return [_compared(name, _part(run, name), _part(other, name)) for name in _PARTS]


def first_difference(values: Values, others: Values) -> str | None:
    """Where two mappings differ first, with numbers; None where they are the same in every bit."""
    for label in {**values, **others}:
        if label not in others or label not in values:
            return f"{label}: only in the {'first' if label in values else 'second'}"
        one, two = values[label], others[label]
        if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
            if told := _array_difference(one, two):
                return f"{label}: {told}"
        elif json.dumps(one) != json.dumps(two):
            return f"{label}: {one} against {two}"
    return None


def _array_difference(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> str | None:
    if one.dtype != two.dtype or one.shape != two.shape:
        return f"{one.dtype} {list(one.shape)} against {two.dtype} {list(two.shape)}"
    if one.tobytes() == two.tobytes():
        return None
    # Bits, not values: NaN differs from itself, and -0.0 is not 0.0.
    width = one.dtype.itemsize
    bits_one, bits_two = (
        np.frombuffer(array.tobytes(), np.uint8).reshape(-1, width) for array in (one, two)
    )
    where = np.flatnonzero((bits_one != bits_two).any(axis=1))
    place = [int(index) for index in np.unravel_index(where[0], one.shape)]
    text = f"{len(where):,} of {number_of(one.size, 'value')}, the first"
    text += f" at {place}" if place else ""
    text += f", {one[tuple(place)]} against {two[tuple(place)]}"
    if one.dtype.kind == "f":
        text += f"; at most {np.nanmax(np.abs(one.astype(float) - two.astype(float))):.3g} apart"
    return text


def _compared(
    name: str, values: Values | UnreadableError, others: Values | UnreadableError
) -> Compared:
    hashes = (_hash(values), _hash(others))
    if isinstance(values, UnreadableError):
        return Compared(name, "", hashes, f"can't be read in the first: {values}")
    if isinstance(others, UnreadableError):
        return Compared(name, "", hashes, f"can't be read in the second: {others}")
    return Compared(name, _extent(values), hashes, first_difference(values, others))


def _extent(values: Values) -> str:
    arrays = [value for value in values.values() if isinstance(value, np.ndarray)]
    if not arrays:
        return number_of(len(values), "value")
    return number_of(sum(array.size for array in arrays) + len(values) - len(arrays), "value")


def _hash(values: Values | UnreadableError) -> str | None:
    if isinstance(values, UnreadableError):
        return None
    digest = hashlib.sha256()
    for label, value in values.items():
        if isinstance(value, np.ndarray):
            digest.update(f"{label} {value.dtype} {value.shape} ".encode())
            digest.update(value.tobytes())
        else:
            digest.update(json.dumps([label, value]).encode())
    return digest.hexdigest()


def _part(run: Path, name: str) -> Values | UnreadableError:
    try:
        return _READERS[name](run)
    except (CheckpointError, DamageError) as error:
        return UnreadableError(str(error))
    except (*checkpoint.DAMAGE, UnreadableError) as error:
        return UnreadableError(f"{type(error).__name__}: {error}")


def _start(run: Path) -> Values:
    recorded = _recorded(run)
    provenance = recorded["provenance"]
    return {
        "experiment": recorded["experiment"],
        "initial weights": provenance["initial_weights"],
        "first batches": provenance["first_batches"],
    }


def _of_kind(kind: str) -> Callable[[Path], Values]:
    def read(run: Path) -> Values:
        saved = checkpoint.read(places.last(run)).arrays
        return {name: array for name, array in saved.items() if name.startswith(f"{kind}/")}

    return read


def _progress(run: Path) -> Values:
    saved = checkpoint.read(places.last(run))
    facts = {
        name: _without_clocks(saved.facts[name]) for name in ("position", "records", "best_epoch")
    }
    rest = {
        name: array
        for name, array in saved.arrays.items()
        if not name.startswith(("model/", "optimizer/"))
    }
    return {**facts, **rest}


def _best(run: Path) -> Values:
    saved = checkpoint.read(places.best(run))
    weights = {f"weights/{name}": array for name, array in saved.arrays.items()}
    return {"epoch": saved.facts["epoch"], **weights}


def _rows(run: Path) -> Values:
    values: dict[str, Any] = {}
    lines = content_of(run / "metrics.jsonl").splitlines()
    rows = [row for row in map(json.loads, lines) if row["event"] in ("epoch", "notice")]
    for number, row in enumerate(rows, start=1):
        kept = _without_clocks(row)
        kind = kept.pop("event")
        label = f"epoch {kept['epoch']}" if kind == "epoch" else f"row {number}, {kind}"
        values |= {f"{label}, {key}": value for key, value in kept.items()}
    if not values:
        raise UnreadableError("metrics.jsonl has no epoch")
    return values


def _predictions(run: Path) -> Values:
    with np.load(run / "predictions.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _result(run: Path) -> Values:
    result: Values = _without_clocks(_recorded(run)["result"])
    return result


def _best_epoch(run: Path) -> Values:
    return {"best epoch": _recorded(run)["result"]["best_epoch"]}


def _recorded(run: Path) -> dict[str, Any]:
    recorded = json_object(content_of(run / "run.json"))
    if recorded.get("state") != "completed":
        raise UnreadableError(f"the run is not completed, but {recorded.get('state')}")
    return recorded


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_clocks(item)
            for key, item in value.items()
            if key != "time" and not key.endswith(_TIMES)
        }
    if isinstance(value, list):
        return [_without_clocks(item) for item in value]
    return value


_READERS: Mapping[str, Callable[[Path], Values]] = dict(
    zip(
        _PARTS,
        (
            *(_start, _of_kind("model"), _of_kind("optimizer"), _progress, _best),
            *(_rows, _predictions, _best_epoch, _result),
        ),
        strict=True,
    )
)
