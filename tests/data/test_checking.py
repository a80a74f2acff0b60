"""Prepared photos against their source: every kind of difference is found, and none invented."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optrun.data.cache.checking import check
from optrun.data.cache.copies import copies
from optrun.data.cache.prepare import prepare

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTRUN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "photos"


@pytest.fixture
def folder(
    tmp_path: Path, kaggle: Callable[[int], Files], write_folder: Callable[[Path, Files], Path]
) -> Path:
    pets = write_folder(tmp_path / "pets", kaggle(8))
    (pets / "train" / "dog.99.jpg").write_bytes(b"no photo")
    return pets


def differences(folder: Path) -> list[str]:
    here = copies()
    found = check(str(folder), here)
    return sorted(
        f"{finding.photo_id}: {finding.what}" for copy in here for finding in found[copy.folder]
    )


def test_what_was_just_prepared_is_whole_however_it_was(folder: Path) -> None:
    prepare(str(folder), image_size=16)
    prepare(str(folder), image_size=24, resize="crop", antialias=True)
    prepare(str(folder), image_size=16, resize="pad", limit=4)
    done: list[tuple[int, int | None]] = []
    here = copies()
    found = check(str(folder), here, progress=lambda *numbers: done.append(numbers))
    assert found == {copy.folder: [] for copy in here}
    assert len(here) == 3
    assert done[-1] == (9, 9)


def test_the_sample_is_whole(folder: Path) -> None:
    prepare("sample", image_size=16, limit=4)
    prepare("sample", image_size=16, limit=6)
    here = copies()
    assert check("sample", here) == {copy.folder: [] for copy in here}


def test_every_change_of_the_source_is_told(folder: Path, kaggle: Callable[[int], Files]) -> None:
    prepare(str(folder), image_size=16)
    others = kaggle(12)
    train = folder / "train"
    (train / "cat.0.jpg").write_bytes(others["train/cat.5.jpg"])
    (train / "dog.0.jpg").unlink()
    (train / "cat.7.jpg").write_bytes(others["train/cat.4.jpg"])
    (train / "cat.1.jpg").write_bytes(b"")
    (train / "dog.99.jpg").write_bytes(others["train/dog.4.jpg"])
    assert differences(folder) == [
        "cat.0.jpg: other bytes than when it was prepared",
        "cat.1.jpg: can't be used any more: empty file",
        "cat.7.jpg: new in the source",
        "dog.0.jpg: no longer in the source",
        "dog.99.jpg: left out as not an image, can be used now",
    ]


def test_another_label_is_told(tmp_path: Path, kaggle: Callable[[int], Files]) -> None:
    pets = tmp_path / "pets"
    for number, content in enumerate(kaggle(4).values()):
        place = pets / ("cat" if number % 2 else "dog") / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    prepare(str(pets), image_size=16)
    labels = next(copies()[0].folder.glob("labels.npy"))
    turned = np.load(labels)
    turned[0] = 1 - turned[0]
    np.save(labels, turned)
    found = differences(pets)
    assert found[1:] == ["cat/1.jpg: prepared as a dog, now a cat"]
    assert found[0].startswith(": its index has the fingerprint ")


def test_one_value_of_one_pixel_is_found(folder: Path) -> None:
    photos = prepare(str(folder), image_size=16)
    (copy,) = copies()
    pixels = np.load(copy.folder / "pixels.npy", mmap_mode="r+")
    row = photos.ids.index("dog.1.jpg")
    before = int(pixels[row, 3, 5, 1])
    pixels[row, 3, 5, 1] = before + 7 if before < 128 else before - 7
    pixels.flush()
    assert differences(folder) == [
        "dog.1.jpg: other pixels prepared than it decodes to: 1 of 768 values differ, by up to 7"
    ]


@pytest.mark.parametrize("file", ["digests.npy", "pixel_digests.npy"])
def test_one_bit_of_a_digest_is_found(file: str, folder: Path) -> None:
    photos = prepare(str(folder), image_size=16)
    (copy,) = copies()
    digests = np.load(copy.folder / file)
    digests[2, 9] ^= 1
    np.save(copy.folder / file, digests)
    found = differences(folder)
    assert f"{photos.ids[2]}: " in " ".join(found)
    assert ("fingerprint" in " ".join(found)) == (file == "digests.npy")


def test_a_forged_fingerprint_is_found(folder: Path) -> None:
    prepare(str(folder), image_size=16)
    (copy,) = copies()
    index = json.loads((copy.folder / "index.json").read_text())
    index["fingerprint"] = "0" * 64
    (copy.folder / "index.json").write_text(json.dumps(index))
    (found,) = differences(folder)
    assert found.startswith(": its index has the fingerprint 0000000000000000, ")


def test_a_copy_cut_short_is_found(folder: Path) -> None:
    prepare(str(folder), image_size=16)
    (copy,) = copies()
    np.save(copy.folder / "parts.npy", np.zeros(2, np.uint8))
    assert differences(folder) == [": its files can't be read, or are cut short"]
