"""What a plan says of photos that no part has."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optrun.data.photos import Photos
from optrun.data.split import Split
from optrun.runner.config.schema import Experiment
from optrun.runner.datasets.preparation import remarks
from optrun.runner.errors import UserError
from optrun.runner.plan.plan import PlannedRun
from optrun.runner.plan.progress import is_deterministic
from optrun.runner.plan.resources import _left_out_lines

NOBODY = np.array([], np.int64)
PHOTOS = Photos(
    pixels=np.zeros((0, 1, 1, 3), np.uint8),
    ids=(),
    labels=np.zeros(0, np.uint8),
    digests=np.zeros((0, 32), np.uint8),
    pixel_digests=np.zeros((0, 32), np.uint8),
    parts=np.zeros(0, np.uint8),
    fingerprint="",
    source="",
    is_sample=False,
    left_out=(),
    preprocessing="",
)
SPLIT = Split(NOBODY, NOBODY, NOBODY, "", ())


def test_nothing_is_said_where_every_photo_is_used() -> None:
    assert _left_out_lines(PHOTOS, SPLIT) == []


def test_left_out_files_are_counted_by_reason() -> None:
    reasons = ["empty file", "not an image", "empty file", "animated", "truncated or damaged"]
    photos = replace(PHOTOS, left_out=tuple((str(i), why) for i, why in enumerate(reasons)))

    assert _left_out_lines(photos, SPLIT) == [
        "5 files left out: empty file (2), not an image (1), animated (1), other reasons (1)"
    ]


def test_a_part_of_one_class_is_told() -> None:
    photos = replace(PHOTOS, ids=tuple("abcdef"), labels=np.array([0, 1, 0, 1, 1, 0], np.uint8))
    parts = {"validation": np.array([1, 3, 4]), "test": np.array([0, 1]), "other": NOBODY}
    assert remarks(photos, parts=parts) == [
        "the validation photos are of one class, 3 dogs: an accuracy on them says little, and "
        "there is no ROC AUC"
    ]


def test_photos_named_after_the_class_that_their_folder_is_not_are_told() -> None:
    ids = ("cats/1.jpg", "cats/dog.3.jpg", "cats/cat_7.png", "dogs/2.jpg", "dogs/CAT (3).jpg")
    photos = replace(PHOTOS, ids=ids, labels=np.array([0, 0, 0, 1, 1], np.uint8))
    [told] = remarks(photos, parts={})
    assert told.startswith("2 photos named after the other class than the folder ")
    assert told.endswith("(the first: cats/dog.3.jpg)")


@pytest.mark.parametrize(
    ("count", "said"), [(1, "1 photo dropped"), (1200, "1,200 photos dropped")]
)
def test_dropped_copies_are_counted_and_the_first_is_named(count: int, said: str) -> None:
    split = replace(SPLIT, dropped=(("cat.1.jpg", "cat\x1b[2J.jpg"),) * count)

    (line,) = _left_out_lines(PHOTOS, split)
    assert line.startswith(f"{said}, the same as one in another part (the first: cat.1.jpg, ")
    assert "\x1b" not in line


def test_one_process_is_deterministic_or_not() -> None:
    one, other = (
        PlannedRun(
            name=name,
            experiment=Experiment.model_validate(
                {
                    "name": name,
                    "training": {"epochs": 1, "deterministic": deterministic},
                    "optimizer": {"name": "sgd", "learning_rate": 0.01},
                }
            ),
            identity=name,
            config=Path(f"{name}.yaml"),
            origins={},
        )
        for name, deterministic in (("strict", True), ("free", False))
    )
    assert is_deterministic([one, one])
    assert not is_deterministic([other])
    with pytest.raises(UserError, match="true in strict and false in free"):
        is_deterministic([one, other])
