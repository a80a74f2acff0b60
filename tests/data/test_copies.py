"""Prepared copies as they are found on the disk: what is of use, what is stale, what is ours."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optrun.data import locks
from optrun.data.cache.cache_key import Preparation
from optrun.data.cache.copies import copies, remove
from optrun.data.cache.prepare import prepare

Files = dict[str, bytes]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTRUN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "photos"


@pytest.fixture
def archive(
    tmp_path: Path, kaggle: Callable[[int], Files], write_zip: Callable[[Path, Files], Path]
) -> Path:
    return write_zip(tmp_path / "pets.zip", kaggle(7) | {"train/cat.99.jpg": b""})


def test_a_copy_is_told_by_how_it_was_made_and_what_is_in_it(cache: Path, archive: Path) -> None:
    photos = prepare(str(archive), image_size=16)
    prepare(str(archive), image_size=16, resize="crop", antialias=True, limit=4)
    few, whole = sorted(copies(), key=lambda copy: copy.counts)
    assert (whole.source, whole.how.image_size) == (str(archive), 16)
    assert whole.how == Preparation(16)
    assert (whole.counts, whole.left_out) == ((4, 3), 1)
    assert whole.fingerprint == photos.fingerprint
    assert few.how == Preparation(16, "crop", True, 4)
    assert few.counts == (2, 2)
    assert not few.stale
    assert not whole.stale
    assert whole.disk_bytes >= photos.pixels.nbytes


def test_nothing_is_found_where_nothing_is(cache: Path) -> None:
    assert copies() == []
    assert not cache.exists()


def test_a_copy_is_stale_when_its_source_is_another_or_gone(cache: Path, archive: Path) -> None:
    prepare(str(archive), image_size=16)
    os.utime(archive, ns=(1, 1))
    assert [copy.stale for copy in copies()] == ["its source has changed since"]
    archive.unlink()
    assert [copy.stale for copy in copies()] == ["its source is no longer there"]


def test_copies_of_the_sample_are_current_whatever_their_number(cache: Path) -> None:
    prepare("sample", image_size=16, limit=4)
    prepare("sample", image_size=16, limit=6)
    assert [(copy.source, copy.stale) for copy in copies()] == [("sample", "")] * 2


def only(folder: Path) -> Path:
    (found,) = (path for path in folder.iterdir() if path.is_dir())
    return found


def test_what_another_version_wrote_is_stale_and_keeps_its_source(
    cache: Path, archive: Path
) -> None:
    prepare(str(archive), image_size=16)
    index = only(cache) / "index.json"
    content = json.loads(index.read_text())
    del content["key"]
    index.write_text(json.dumps(content))
    (found,) = copies()
    assert found.source == str(archive)
    assert found.stale == "made by another version of optrun"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"key": 5}', b"\xff", b"[" * 100_000])
def test_whatever_an_index_holds_nothing_breaks(content: bytes, cache: Path, archive: Path) -> None:
    prepare(str(archive), image_size=16)
    (only(cache) / "index.json").write_bytes(content)
    (found,) = copies()
    assert found.stale
    assert remove(found)
    assert copies() == []


def test_pixels_cut_short_are_damage(cache: Path, archive: Path) -> None:
    prepare(str(archive), image_size=16)
    os.truncate(only(cache) / "pixels.npy", 500)
    assert [copy.stale for copy in copies()] == ["damaged"]


def test_folders_of_a_person_in_the_same_place_are_neither_listed_nor_removed(
    cache: Path, archive: Path
) -> None:
    for name in ("holiday", "cats-2019", "x-0123456789abcdef0123.bak"):
        (cache / name).mkdir(parents=True)
    target = cache / "elsewhere"
    target.mkdir()
    (cache / "link-0123456789abcdef0123").symlink_to(target)
    assert copies() == []


def test_a_copy_that_is_being_built_stays(cache: Path, archive: Path) -> None:
    prepare(str(archive), image_size=16)
    (found,) = copies()
    with locks.exclusive(found.folder.with_name(found.folder.name + ".lock")):
        program = (
            "from optrun.data.cache.copies import copies, remove;"
            "print([remove(c) for c in copies()])"
        )
        answer = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
    assert answer.stdout.strip() == "[False]"
    assert prepare(str(archive), image_size=16).fingerprint == found.fingerprint


def test_photos_in_use_stay_readable_while_their_copy_is_removed(
    cache: Path, archive: Path
) -> None:
    photos = prepare(str(archive), image_size=16)
    before = np.array(photos.pixels)
    (found,) = copies()
    assert remove(found)
    assert remove(found)  # somebody else was faster
    assert not found.folder.exists()
    assert np.array_equal(photos.pixels, before)
    assert archive.is_file()


def test_what_a_killed_removal_leaves_is_stale(cache: Path, archive: Path) -> None:
    prepare(str(archive), image_size=16)
    folder = only(cache)
    folder.rename(folder.with_name(folder.name + ".removed"))
    (found,) = copies()
    assert found.stale == "left over from a removal"
    assert remove(found)
    assert copies() == []


def test_an_unfinished_build_is_known_by_its_journal(cache: Path, archive: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(str(archive), image_size=16, progress=stop)
    (found,) = copies()
    assert (found.source, found.how.image_size) == (str(archive), 16)
    assert found.unfinished
    assert not found.stale
    os.utime(archive, ns=(1, 1))
    assert [copy.stale for copy in copies()] == ["its source has changed since"]
