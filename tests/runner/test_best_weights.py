"""The best epoch's weights are there for every checkpoint that names them, whatever was damaged."""

from pathlib import Path

import numpy as np
import pytest
from optrun.runner.engine import checkpoint
from optrun.runner.engine.checkpointer import put_best_in_place
from optrun.runner.runs import checkpoint_places as places

RUN = "k3x9ab"


def save(folder: Path, epoch: int) -> None:
    weights = [np.full((2, 2), epoch, np.float32)]
    checkpoint.save(folder, weights, {"epoch": epoch}, owner=RUN, keep_previous=True)


def epoch_at(folder: Path) -> float:
    return float(checkpoint.load(folder, owner=RUN)[0][0, 0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Those of epoch 5, and those of epoch 2 before."""
    folder = tmp_path / "checkpoint" / "best"
    save(folder, 2)
    save(folder, 5)
    return folder


def test_those_in_place_stay(folder: Path) -> None:
    put_best_in_place(folder, 5, owner=RUN)
    assert epoch_at(folder) == 5
    assert epoch_at(places.previous(folder)) == 2


def test_those_before_are_put_back_for_a_checkpoint_that_names_them(folder: Path) -> None:
    put_best_in_place(folder, 2, owner=RUN)
    assert epoch_at(folder) == 2


def test_a_crash_between_the_two_renames_loses_none(folder: Path) -> None:
    folder.rename(places.being_written(folder))
    put_best_in_place(folder, 5, owner=RUN)
    assert epoch_at(folder) == 5


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("cut", "best"),
        ("other epoch", "is of epoch 5"),
        ("other run", "best"),
        ("gone", "does not exist"),
    ],
)
def test_without_them_nothing_is_changed_and_the_reason_said(
    folder: Path, damage: str, said: str
) -> None:
    epoch = 5
    if damage == "cut":
        (folder / places.ARRAYS).write_bytes((folder / places.ARRAYS).read_bytes()[:-7])
    elif damage == "other epoch":
        epoch = 4
    elif damage == "gone":
        folder.rename(folder.with_name("elsewhere"))
        places.previous(folder).rename(folder.with_name("elsewhere too"))
    before = sorted(path for path in folder.parent.rglob("*"))
    owner = "another" if damage == "other run" else RUN
    with pytest.raises(
        checkpoint.CheckpointError, match=f"best epoch, {epoch}, are missing.*{said}"
    ):
        put_best_in_place(folder, epoch, owner=owner)
    assert sorted(path for path in folder.parent.rglob("*")) == before
