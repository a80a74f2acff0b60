import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optrun.data.cache import cache_key
from optrun.data.cache.cache_key import Resize
from optrun.data.cache.prepare import prepare
from optrun.data.exceptions import PhotoError
from optrun.data.images.decode import decode
from optrun.data.images.duplicates import groups
from optrun.data.photos import Photos, fingerprint
from PIL import Image

Files = dict[str, bytes]
SIZE = 16


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Photos]:
    def run(source: Path | str, **settings: object) -> Photos:
        arguments = {"image_size": SIZE, "cache": tmp_path / "cache"} | settings
        return prepare(str(source), **arguments)

    return run


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    kaggle: Callable[[int], Files],
    write_folder: Callable[[Path, Files], Path],
) -> Path:
    return write_folder(tmp_path_factory.mktemp("photos"), kaggle(40))


def same_photos(first: Photos, second: Photos) -> bool:
    return first.ids == second.ids and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("pixels", "labels", "digests", "pixel_digests", "parts")
    )


def same(first: Photos, second: Photos) -> bool:
    return same_photos(first, second) and first.fingerprint == second.fingerprint


def test_photos_are_in_the_order_of_their_ids_each_with_what_belongs_to_it(
    folder: Path, prepared: Callable[..., Photos]
) -> None:
    photos = prepared(folder)
    files = {path.name: path.read_bytes() for path in (folder / "train").iterdir()}

    assert photos.ids == tuple(sorted(files))
    assert photos.source == str(folder)
    assert not photos.is_sample
    assert photos.left_out == ()
    assert isinstance(photos.pixels, np.memmap)
    assert not photos.pixels.flags.writeable
    for i, name in enumerate(photos.ids):
        assert photos.labels[i] == name.startswith("dog")
        assert photos.digests[i].tobytes() == hashlib.sha256(files[name]).digest()
        assert np.array_equal(photos.pixels[i], decode(files[name], SIZE))


def test_zip_and_folder_give_the_same_photos(
    folder: Path,
    prepared: Callable[..., Photos],
    tmp_path: Path,
    kaggle: Callable[[int], Files],
    write_zip: Callable[[Path, Files], Path],
) -> None:
    backwards = dict(reversed(kaggle(40).items()))

    assert same(prepared(folder), prepared(write_zip(tmp_path / "photos.zip", backwards)))


def test_photos_are_decoded_once(
    folder: Path, prepared: Callable[..., Photos], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(folder)
    monkeypatch.setattr("optrun.data.cache.prepare.Builder", None)

    assert same(first, prepared(folder))


def test_cache_holds_each_size_and_limit_apart_and_new_photos_anew(
    kaggle: Callable[[int], Files],
    write_folder: Callable[[Path, Files], Path],
    tmp_path: Path,
    prepared: Callable[..., Photos],
) -> None:
    files = kaggle(8)
    folder = write_folder(tmp_path / "photos", files)
    shapes = [prepared(folder, image_size=size).pixels.shape for size in (8, 12)]
    assert shapes == [(8, 8, 8, 3), (8, 12, 12, 3)]
    assert len(prepared(folder, limit=4)) == 4
    write_folder(folder, kaggle(10))
    assert len(prepared(folder)) == 10


def test_unusable_files_are_left_out_with_a_reason(
    kaggle: Callable[[int], Files],
    write_zip: Callable[[Path, Files], Path],
    tmp_path: Path,
    prepared: Callable[..., Photos],
) -> None:
    good = kaggle(6)
    # In front, in the middle and at the end of the order of ids.
    bad = {
        "train/cat.00.jpg": b"",
        "train/cat.11.jpg": b"not an image",
        "train/dog.9.jpg": good["train/dog.0.jpg"][:-99],
    }
    photos = prepared(write_zip(tmp_path / "bad.zip", {**bad, **good}))

    assert photos.left_out == (
        ("cat.00.jpg", "empty file"),
        ("cat.11.jpg", "not an image"),
        ("dog.9.jpg", "truncated or damaged"),
    )
    without = prepared(write_zip(tmp_path / "good.zip", good))
    assert same_photos(photos, without)
    assert photos.fingerprint != without.fingerprint  # which counts what is left out


@pytest.mark.parametrize("limit", [2, 7, 20, 39, 40, 1000])
def test_limit_takes_the_first_digests_of_each_class(
    folder: Path, prepared: Callable[..., Photos], limit: int
) -> None:
    everything = prepared(folder)
    photos = prepared(folder, limit=limit)
    expected = []
    for label, count in ((0, (limit + 1) // 2), (1, limit // 2)):
        of_class = np.flatnonzero(everything.labels == label)
        ranked = sorted(of_class, key=lambda i: everything.digests[i].tobytes())
        expected += [everything.ids[i] for i in ranked[:count]]

    assert photos.ids == tuple(sorted(expected))
    chosen = [everything.ids.index(name) for name in photos.ids]
    assert np.array_equal(photos.pixels, everything.pixels[chosen])


def test_limit_replaces_unusable_photos_by_the_next(
    kaggle: Callable[[int], Files],
    write_zip: Callable[[Path, Files], Path],
    tmp_path: Path,
    prepared: Callable[..., Photos],
) -> None:
    good = kaggle(20)
    junk = {f"train/cat.{i}.jpg": b"junk %d" % i for i in range(100, 200)}
    limited = prepared(write_zip(tmp_path / "good.zip", good), limit=10)
    with_junk = prepared(write_zip(tmp_path / "junk.zip", good | junk), limit=10)

    assert same_photos(limited, with_junk)
    assert with_junk.left_out


def test_limit_fills_up_with_the_other_class(
    kaggle: Callable[[int], Files],
    write_zip: Callable[[Path, Files], Path],
    tmp_path: Path,
    prepared: Callable[..., Photos],
) -> None:
    files = {
        name: content
        for name, content in kaggle(40).items()
        if "dog" in name or name == "train/cat.0.jpg"
    }
    photos = prepared(write_zip(tmp_path / "dogs.zip", files), limit=10)

    assert np.bincount(photos.labels).tolist() == [1, 9]


def test_progress_counts_up_to_all_photos(folder: Path, prepared: Callable[..., Photos]) -> None:
    seen: list[tuple[int, int | None]] = []
    prepared(folder, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(done, 40) for done in range(1, 41)]


def test_fingerprint_is_over_id_label_and_content(
    folder: Path, prepared: Callable[..., Photos]
) -> None:
    photos = prepared(folder)
    other_digests = np.array(photos.digests)
    other_digests[3, 3] ^= 1
    variants = [
        (photos.ids, photos.labels, photos.digests),
        (("x", *photos.ids[1:]), photos.labels, photos.digests),
        (photos.ids, 1 - photos.labels, photos.digests),
        (photos.ids, photos.labels, other_digests),
        (photos.ids[1:], photos.labels[1:], photos.digests[1:]),
    ]

    assert photos.fingerprint == fingerprint(*variants[0])
    assert photos.fingerprint == fingerprint(*(values[::-1] for values in variants[0]))
    assert photos.fingerprint != fingerprint(*variants[0], left_out=["another"])
    assert len({fingerprint(*variant) for variant in variants}) == len(variants)


def test_sample_is_drawn_as_many_as_asked_for(prepared: Callable[..., Photos]) -> None:
    photos = prepared("sample", limit=6)

    assert photos.is_sample
    assert photos.source == "sample"
    assert np.bincount(photos.labels).tolist() == [3, 3]
    assert prepared("sample", limit=4).ids == tuple(
        name for name in photos.ids if int(name[-6:]) < 4
    )


def test_where_the_cache_lies_is_up_to_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTRUN_CACHE", str(tmp_path / "elsewhere"))
    photos = prepare(str(folder), image_size=SIZE)

    assert (tmp_path / "elsewhere" / "photos") in Path(photos.pixels.filename).parents
    monkeypatch.delenv("OPTRUN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_key.directory().parent.name == "optrun"


def test_what_is_stopped_is_gone_on_with(
    folder: Path, tmp_path: Path, prepared: Callable[..., Photos]
) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(folder, progress=interrupt)
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".lock", ".partial"}
    seen: list[int] = []
    whole = prepared(folder, progress=lambda done, total: seen.append(done))

    # Those that were on their way when it was stopped are done as well.
    assert len(seen) <= 20
    assert seen == list(range(41 - len(seen), 41))
    assert same(whole, prepared(folder, cache=tmp_path / "another"))
    assert [path.suffix for path in (tmp_path / "cache").iterdir() if path.suffix] == [".lock"]


@pytest.mark.parametrize(
    "name",
    ["pixels.npy", "labels.npy", "digests.npy", "pixel_digests.npy", "ids.json", "index.json"],
)
def test_a_damaged_cache_is_built_anew(
    folder: Path, prepared: Callable[..., Photos], name: str
) -> None:
    whole = prepared(folder)
    file = Path(whole.pixels.filename).parent / name
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-10])

    again = prepared(folder)
    assert file.read_bytes() == content
    assert len(again) == 40


def test_a_full_disk_is_said_before_it_is_filled(
    folder: Path, tmp_path: Path, prepared: Callable[..., Photos], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 3_000_000}))
    with pytest.raises(PhotoError) as caught:
        prepared(folder, image_size=1000)

    assert str(caught.value) == (
        f"The decoded photos need 0.1 GB in {tmp_path}/cache, where 0.0 GB are free. Free some, or "
        "set OPTRUN_CACHE to a folder on another disk, data.limit to fewer photos, or "
        "data.image_size to smaller ones."
    )
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_said(folder: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(PhotoError) as caught:
        prepare(str(folder), image_size=SIZE, cache=in_the_way)

    assert str(caught.value).startswith(f"The decoded photos can't be kept in {in_the_way}: ")


def test_no_usable_photo_of_a_class_is_said(
    kaggle: Callable[[int], Files],
    write_zip: Callable[[Path, Files], Path],
    tmp_path: Path,
    prepared: Callable[..., Photos],
) -> None:
    files = {name: b"" if "dog" in name else content for name, content in kaggle(6).items()}
    archive = write_zip(tmp_path / "photos.zip", files)

    for limit in (None, 4):
        with pytest.raises(PhotoError) as caught:
            prepared(archive, limit=limit)
        assert str(caught.value) == (
            f"None of the dogs in {archive} can be used. The first, dog.0.jpg: empty file."
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 0}, "image_size must be at least 1, received: 0"),
        ({"limit": 1}, "limit must be at least 2, one cat and one dog, received: 1"),
    ],
)
def test_settings_out_of_range_are_refused(
    folder: Path, prepared: Callable[..., Photos], settings: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepared(folder, **settings)


def test_photos_labelled_both_are_left_out(
    kaggle: Callable[[int], Files],
    write_zip: Callable[[Path, Files], Path],
    tmp_path: Path,
    prepared: Callable[..., Photos],
    picture: Callable[..., Image.Image],
    encoded: Callable[..., bytes],
) -> None:
    good = kaggle(20)
    both = {
        # The same bytes, and the same pixels in other bytes.
        "train/cat.100.jpg": encoded(picture(100)),
        "train/dog.100.jpg": encoded(picture(100)),
        "train/cat.101.jpg": encoded(picture(101), "PNG"),
        "train/dog.101.jpg": encoded(picture(101), "BMP"),
    }
    photos = prepared(write_zip(tmp_path / "photos.zip", good | both))

    assert photos.left_out == tuple(
        (name.removeprefix("train/"), "labelled both cat and dog") for name in sorted(both)
    )
    assert same_photos(photos, prepared(write_zip(tmp_path / "good.zip", good)))
    limited = prepared(tmp_path / "photos.zip", limit=20)
    assert same_photos(limited, photos)


def test_the_same_pixels_have_the_same_digest(
    kaggle: Callable[[int], Files],
    write_zip: Callable[[Path, Files], Path],
    tmp_path: Path,
    prepared: Callable[..., Photos],
    picture: Callable[..., Image.Image],
    encoded: Callable[..., bytes],
) -> None:
    copies = {
        f"train/cat.{100 + i}.jpg": encoded(picture(100), kind)
        for i, kind in enumerate(("PNG", "BMP", "TIFF"))
    }
    photos = prepared(write_zip(tmp_path / "photos.zip", kaggle(20) | copies))

    assert [[photos.ids[i] for i in group] for group in groups(photos.pixel_digests)] == [
        ["cat.100.jpg", "cat.101.jpg", "cat.102.jpg"]
    ]
    assert len({digest.tobytes() for digest in photos.digests}) == 23


@pytest.mark.parametrize(("resize", "antialias"), [("crop", False), ("pad", True)])
def test_other_preprocessing_is_kept_apart(
    folder: Path, prepared: Callable[..., Photos], resize: Resize, antialias: bool
) -> None:
    photos = prepared(folder, resize=resize, antialias=antialias)
    plain = prepared(folder)

    assert photos.preprocessing != plain.preprocessing == "tf-integer-fast bilinear squash 2"
    assert photos.fingerprint == plain.fingerprint  # the same photos
    content = (folder / "train" / photos.ids[3]).read_bytes()
    assert np.array_equal(photos.pixels[3], decode(content, SIZE, resize, antialias))
    assert not np.array_equal(photos.pixels, plain.pixels)


def test_strict_names_what_cannot_be_used(
    kaggle: Callable[[int], Files],
    write_zip: Callable[[Path, Files], Path],
    tmp_path: Path,
    prepared: Callable[..., Photos],
) -> None:
    junk = {f"train/cat.{i}.jpg": b"" for i in range(10, 22)}
    archive = write_zip(tmp_path / "photos.zip", kaggle(4) | junk)
    for _ in range(2):  # when they are prepared, and when they are
        with pytest.raises(PhotoError) as caught:
            prepared(archive, strict=True)
        lines = str(caught.value).splitlines()
        assert lines[0] == f"{archive} holds 12 files that can't be used:"
        assert lines[1:11] == [f"  cat.{i}.jpg: empty file" for i in range(10, 20)]
        assert lines[11:] == ["  and 2 more"]
    assert len(prepared(archive)) == 4
    assert len(prepared(write_zip(tmp_path / "good.zip", kaggle(4)), strict=True)) == 4


def test_kaggles_archive_as_downloaded(
    real_photos: Callable[[str], Path], prepared: Callable[..., Photos]
) -> None:
    photos = prepared(real_photos("dogs-vs-cats.zip"), limit=100)

    assert np.bincount(photos.labels).tolist() == [50, 50]
    assert photos.left_out == ()
    # Real photos are neither black nor white nor noise.
    assert 60 < photos.pixels.mean() < 190


def test_microsofts_archive_with_its_junk(
    real_photos: Callable[[str], Path], prepared: Callable[..., Photos]
) -> None:
    photos = prepared(real_photos("kagglecatsanddogs_5340.zip"))

    reasons = {
        "900.jpg": "empty file",
        "901.jpg": "truncated or damaged",
        "902.jpg": "not an image",
        "906.jpg": "4 x 3 px: smaller than 8 px on a side",
        "Thumbs.db": "not an image",
    }
    assert dict(photos.left_out) == {
        f"{animal}/{name}": reason for animal in ("Cat", "Dog") for name, reason in reasons.items()
    }
    # Another format under a .jpg name, greyscale and CMYK are photos as good as others.
    for number in (903, 904, 905, 907):
        assert f"Cat/{number}.jpg" in photos.ids
    grey = photos.pixels[photos.ids.index("Cat/904.jpg")]
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert np.bincount(photos.labels).tolist() == [204, 204]
