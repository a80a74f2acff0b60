import hashlib
import io
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from optrun.data import sample
from optrun.data.labels import CLASS_NAMES
from optrun.data.sample import dice as dice_module
from optrun.data.sample import looks, picture
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Pictures = npt.NDArray[np.uint8]

# What 600 test photos can tell: the standard deviation of an accuracy near one half is 2 %.
PHOTOS, TRAINING = 1800, 1200


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return np.stack([sample.draw(sample.SAMPLE_SEED, index) for index in range(PHOTOS)])


@pytest.fixture(scope="module")
def labels() -> npt.NDArray[np.uint8]:
    return np.array([sample.label(index) for index in range(PHOTOS)], np.uint8)


def test_a_drawing_depends_on_seed_and_index_alone() -> None:
    in_order = [sample.draw(3, index) for index in range(6)]
    backwards = [sample.draw(3, index) for index in reversed(range(6))][::-1]

    assert all((a == b).all() for a, b in zip(in_order, backwards, strict=True))
    assert not (sample.draw(3, 0) == sample.draw(4, 0)).all()


def test_another_process_draws_the_same_pixels() -> None:
    script = (
        "import hashlib; from optrun.data import sample;"
        "print(hashlib.sha256(b''.join(sample.draw(1, i).tobytes() for i in range(8))).hexdigest())"
    )
    drawn_there = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()

    assert drawn_there == hashlib.sha256(b"".join(sample.draw(1, i) for i in range(8))).hexdigest()


def test_this_version_is_drawn_the_same_on_every_machine() -> None:
    """When this fails, drawings have changed: raise SAMPLE_VERSION, and put the new hash here."""
    drawn = hashlib.sha256()
    for index in range(64):
        drawn.update(sample.encode(sample.draw(sample.SAMPLE_SEED, index)))

    assert (sample.SAMPLE_VERSION, drawn.hexdigest()) == (
        5,
        "8250ed67e1acd922a1cc1892c8c0d4ff24becc116bf47d252bac68270206f93a",
    )


def test_no_two_drawings_are_alike(pictures: Pictures) -> None:
    assert len({drawing.tobytes() for drawing in pictures}) == PHOTOS


def test_even_drawings_are_cats_and_odd_ones_dogs(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    for name in ("choose_cat", "choose_dog"):
        choose: Callable[[dice_module.Dice], looks.Looks] = getattr(looks, name)

        def noted(
            dice: dice_module.Dice,
            name: str = name,
            choose: Callable[[dice_module.Dice], looks.Looks] = choose,
        ) -> looks.Looks:
            drawn.append(name)
            return choose(dice)

        monkeypatch.setattr(picture, name, noted)
    for index in range(20):
        sample.draw(1, index)

    assert drawn == ["choose_cat", "choose_dog"] * 10
    assert [CLASS_NAMES[sample.label(index)] for index in range(2)] == ["cat", "dog"]


def test_cats_and_dogs_wear_the_same_coats() -> None:
    """Means of 2,000 coats of each; drawn from one distribution they differ by chance alone."""
    colours = np.array([looks.choose_coat(dice_module.Dice(5, index)).fur for index in range(4000)])
    cats, dogs = colours[::2], colours[1::2]
    spread = colours.std(axis=0) * (2 / len(cats)) ** 0.5

    assert (abs(cats.mean(axis=0) - dogs.mean(axis=0)) < 4 * spread).all()


def test_every_drawing_shows_an_animal_within_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the animal left out, hundreds of pixels near the middle look different."""
    shown = [sample.draw(1, index).astype(int) for index in range(40)]
    monkeypatch.setattr(picture, "draw_animal", lambda *_: None)
    monkeypatch.setattr(picture, "draw_obstacle", lambda *_: None)
    monkeypatch.setattr(picture, "_photographed", lambda painted, _: painted)
    for index, drawing in enumerate(shown):
        empty = sample.draw(1, index).astype(int)
        changed = np.abs(drawing - empty).sum(axis=2)[8:56, 8:56] > 60

        assert changed.sum() > 300, index


def test_encoded_drawings_decode_to_the_same_pixels() -> None:
    for index in range(5):
        drawing = sample.draw(1, index)
        encoded = sample.encode(drawing)
        Image.open(io.BytesIO(encoded)).verify()  # the checksums

        decoded = Image.open(io.BytesIO(encoded))

        assert decoded.format == "PNG"
        assert decoded.mode == "RGB"
        assert (np.asarray(decoded) == drawing).all()


def test_a_picture_too_large_for_one_block_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 65,535 bytes"):
        sample.encode(np.zeros((200, 200, 3), np.uint8))


def accuracy(features: npt.NDArray[np.floating], labels: npt.NDArray[np.uint8], c: float) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000, tol=1e-3))
    model.fit(features[:TRAINING], labels[:TRAINING])
    return float(model.score(features[TRAINING:], labels[TRAINING:]))


@pytest.mark.parametrize("c", [1e-5, 1e-3])
def test_logistic_regression_on_pixels_stays_below_65_per_cent(
    pictures: Pictures, labels: npt.NDArray[np.uint8], c: float
) -> None:
    # Means of 4 x 4 pixels: the strongest of the sizes (see benchmarks/sample.py), and fast.
    coarse = pictures.reshape(PHOTOS, 16, 4, 16, 4, 3).mean(axis=(2, 4)).reshape(PHOTOS, -1)

    assert accuracy(coarse, labels, c) < 0.65


@pytest.mark.parametrize("c", [1e-3, 1])
def test_logistic_regression_on_colour_histograms_stays_below_65_per_cent(
    pictures: Pictures, labels: npt.NDArray[np.uint8], c: float
) -> None:
    colour = (pictures.reshape(PHOTOS, -1, 3).astype(np.int64) // 64) @ np.array([16, 4, 1])
    histograms = np.stack([np.bincount(row, minlength=64) for row in colour]) / colour.shape[1]

    assert accuracy(histograms, labels, c) < 0.65
