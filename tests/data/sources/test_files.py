import bz2
import gzip
import hashlib
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pytest
from optrun.data.exceptions import PhotoError
from optrun.data.sources.layout import LAYOUTS
from optrun.data.sources.opening import open_source
from optrun.data.sources.source import Photo

Files = dict[str, bytes]

PHOTOS = {"cat.0.jpg": b"first cat", "dog.0.jpg": b"first dog", "cat.1.jpg": b"second cat"}
EXPECTED = [
    ("cat.0.jpg", 0, b"first cat"),
    ("cat.1.jpg", 0, b"second cat"),
    ("dog.0.jpg", 1, b"first dog"),
]


def zipped(files: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def inside(folder: str, files: Files) -> Files:
    return {f"{folder}/{name}": content for name, content in files.items()}


def read(path: Path) -> list[tuple[str, int, bytes]]:
    source = open_source(str(path))
    photos = list(source.read())
    assert {photo.id: photo.label for photo in photos} == source.entries()
    return sorted((photo.id, photo.label, photo.encoded) for photo in photos)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_kaggle_layout_is_the_same_folder_zip_or_zip_of_zips(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path], compression: int
) -> None:
    train, test = inside("train", PHOTOS), {"test1/1.jpg": b"unlabelled"}
    submission = {"sampleSubmission.csv": b"id,label\n1,0\n"}
    downloaded = {"train.zip": zipped(train), "test1.zip": zipped(test), **submission}
    plain, nested = tmp_path / "plain.zip", tmp_path / "nested.zip"
    plain.write_bytes(zipped(train, compression))
    nested.write_bytes(zipped(downloaded, compression))

    assert read(plain) == EXPECTED
    assert read(nested) == EXPECTED
    assert read(write_folder(tmp_path / "unpacked", {**train, **test})) == EXPECTED
    assert read(tmp_path / "unpacked" / "train") == EXPECTED
    assert read(write_folder(tmp_path / "downloaded", downloaded)) == EXPECTED


def test_unpacked_photos_hide_the_zip_that_they_came_from(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    train = inside("train", PHOTOS)
    folder = write_folder(tmp_path / "both", {**train, "train.zip": zipped(train)})

    assert read(folder) == EXPECTED


@pytest.mark.parametrize(
    ("cats", "dogs", "around"),
    [
        ("PetImages/Cat", "PetImages/Dog", {"readme[1].txt": b"x", "MSR-LA - 3467.docx": b"x"}),
        ("cat", "dog", {}),
        ("photos/cats", "photos/dogs", {"photos/notes.txt": b"x", "__MACOSX/cats/._0.jpg": b"x"}),
    ],
)
def test_class_folders_are_the_same_folder_or_zip(
    tmp_path: Path,
    write_folder: Callable[[Path, Files], Path],
    cats: str,
    dogs: str,
    around: Files,
) -> None:
    files = {f"{cats}/0.jpg": b"cat", f"{dogs}/0.jpg": b"dog", f"{cats}/.DS_Store": b"x", **around}
    archive = tmp_path / "archive.zip"
    archive.write_bytes(zipped(files))
    found = read(archive)

    assert [(label, content) for _, label, content in found] == [(0, b"cat"), (1, b"dog")]
    assert [photo_id for photo_id, _, _ in found] == [
        f"{cats.split('/')[-1]}/0.jpg",
        f"{dogs.split('/')[-1]}/0.jpg",
    ]
    assert read(write_folder(tmp_path / "folder", files)) == found


def test_photos_of_one_name_in_different_folders_keep_ids_of_their_own(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    files = {"train/cats/1.jpg": b"a", "test/cats/1.jpg": b"b", "train/dogs/1.jpg": b"c"}

    assert [photo_id for photo_id, _, _ in read(write_folder(tmp_path / "all", files))] == [
        "test/cats/1.jpg",
        "train/cats/1.jpg",
        "train/dogs/1.jpg",
    ]


def test_folders_that_name_parts_are_kept_apart(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    files = {
        "set/Training/cats/1.jpg": b"a",
        "set/training/dogs/1.jpg": b"b",
        "set/val/Dog/1.jpg": b"c",
        "set/TEST/cat.2.jpg": b"d",
        "set/cats/more.jpg": b"e",
        "set/test1/3.jpg": b"unlabelled",
    }
    expected = {
        "Training/cats/1.jpg": 1,
        "training/dogs/1.jpg": 1,
        "val/Dog/1.jpg": 2,
        "TEST/cat.2.jpg": 3,
    }
    archive, nested = tmp_path / "photos.zip", tmp_path / "nested.zip"
    archive.write_bytes(zipped(files))
    parts = {"train": {"cat/1.jpg": b"a", "dog/1.jpg": b"b"}, "test": {"cat/1.jpg": b"c"}}
    nested.write_bytes(zipped({f"{part}.zip": zipped(inner) for part, inner in parts.items()}))

    assert open_source(str(archive)).parts() == expected
    assert open_source(str(write_folder(tmp_path / "folder", files))).parts() == expected
    assert open_source(str(nested)).parts() == {
        "train.zip/cat/1.jpg": 1,
        "train.zip/dog/1.jpg": 1,
        "test.zip/cat/1.jpg": 3,
    }


@pytest.mark.parametrize(
    "files",
    [
        inside("train", PHOTOS),
        {**inside("train", PHOTOS), "test1/1.jpg": b"x", "test/2.jpg": b"x"},
        {"validation/cat.0.jpg": b"x", "test/dog.0.jpg": b"x"},
        {"PetImages/Cat/0.jpg": b"x", "PetImages/Dog/0.jpg": b"x"},
    ],
)
def test_without_training_and_another_labelled_part_there_are_none(
    tmp_path: Path, files: Files
) -> None:
    archive = tmp_path / "archive.zip"
    archive.write_bytes(zipped(files))

    assert open_source(str(archive)).parts() == {}


def test_the_place_of_the_archive_names_no_part(tmp_path: Path) -> None:
    (tmp_path / "train" / "test").mkdir(parents=True)
    archive = tmp_path / "train" / "test" / "archive.zip"
    archive.write_bytes(zipped({**inside("train", PHOTOS), "more/cat.7.jpg": b"x"}))

    assert open_source(str(archive)).parts() == {}


@pytest.mark.parametrize(
    ("train", "test", "list_of_ids"),
    [
        ("train.zip", "test1.zip", "sampleSubmission.csv"),
        ("train.zip", "test.zip", "sample_submission.csv"),
        ("Train.ZIP", "TEST.zip", "sample_submission.csv"),
    ],
)
def test_kaggles_archives_by_their_names(
    tmp_path: Path, train: str, test: str, list_of_ids: str
) -> None:
    archive = tmp_path / "dogs-vs-cats-redux-kernels-edition.zip"
    unlabelled = {f"{test[:-4]}/{i}.jpg": b"x" for i in range(1, 4)}
    downloaded = {train: zipped(inside("train", PHOTOS)), test: zipped(unlabelled)}
    archive.write_bytes(zipped({**downloaded, list_of_ids: b"id,label\n"}, zipfile.ZIP_STORED))

    assert read(archive) == EXPECTED
    assert open_source(str(archive)).parts() == {}


@pytest.mark.parametrize("name", ["cat", "CATS", "Dogs", "dOg"])
def test_class_folders_in_any_case(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "archive.zip"
    others = {"x/dog/2.jpg": b"d", "x/cat/2.jpg": b"c"}
    archive.write_bytes(zipped({f"x/{name}/1.jpg": b"a", **others}))

    assert open_source(str(archive)).entries()[f"{name}/1.jpg"] == int(name.lower()[0] == "d")


def test_an_archive_with_something_before_and_after_it_is_read(tmp_path: Path) -> None:
    archive = tmp_path / "extracts-itself.zip"
    archive.write_bytes(b"#!/bin/sh\n" * 99 + zipped(PHOTOS))
    with zipfile.ZipFile(archive, "a") as opened:
        opened.comment = b"PK a comment " * 999

    assert read(archive) == EXPECTED


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2])
def test_an_archive_written_as_a_stream_is_read(tmp_path: Path, compression: int) -> None:
    archive = tmp_path / "stream.zip"
    with (
        archive.open("wb") as file,
        zipfile.ZipFile(file, "w", compression, allowZip64=True) as opened,
    ):
        # Without going back, sizes and checksum follow the bytes rather than precede them.
        file.seekable = lambda: False  # type: ignore[method-assign]
        for name, content in PHOTOS.items():
            with opened.open(name, "w", force_zip64=True) as entry:
                entry.write(content)

    assert read(archive) == EXPECTED


def test_photos_larger_than_a_piece_are_whole(tmp_path: Path) -> None:
    noise = os.urandom(1_200_000) + bytes(100_000)
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        inner = zipped({**PHOTOS, "cat.1.jpg": noise}, compression)
        archive = tmp_path / f"{compression}.zip"
        archive.write_bytes(zipped({"train.zip": inner}, compression))

        assert ("cat.1.jpg", 0, noise) in read(archive)


def test_only_the_photos_asked_for_are_read(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    archive.write_bytes(zipped(PHOTOS))

    assert list(open_source(str(archive)).read({"dog.0.jpg"})) == [
        Photo("dog.0.jpg", 1, b"first dog")
    ]


def test_a_damaged_photo_in_an_archive_has_a_reason_and_spares_the_others(tmp_path: Path) -> None:
    content = bytearray(zipped(PHOTOS, zipfile.ZIP_STORED))
    content[content.index(b"first dog")] ^= 1
    archive = tmp_path / "archive.zip"
    archive.write_bytes(content)
    photos = {photo.id: photo for photo in open_source(str(archive)).read()}

    assert photos["dog.0.jpg"].unreadable == "damaged in the archive: its checksum does not fit"
    assert photos["cat.0.jpg"] == Photo("cat.0.jpg", 0, b"first cat")


def test_a_photo_that_cannot_be_opened_has_a_reason(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    folder = write_folder(tmp_path / "photos", inside("train", PHOTOS))
    (folder / "train" / "cat.2.jpg").symlink_to(tmp_path / "nowhere")
    photos = {photo.id: photo for photo in open_source(str(folder)).read()}

    assert photos["cat.2.jpg"].unreadable == (
        "a link that can't be read: No such file or directory"
    )


def test_identity_changes_with_the_photos_and_costs_no_reading(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    folder = write_folder(tmp_path / "photos", inside("train", PHOTOS))
    before = open_source(str(folder)).identity()
    (folder / "train" / "cat.9.jpg").write_bytes(b"another")

    assert before == {**before, "files": 3}
    after = open_source(str(folder)).identity()
    assert after != before
    # Another label, with the number of files, their bytes and times of change all as they were.
    (folder / "train" / "cat.9.jpg").rename(folder / "train" / "dog.9.jpg")
    assert open_source(str(folder)).identity() == {**after, "names": ANY}
    assert open_source(str(folder)).identity() != after
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"not a zip")
    assert open_source(str(broken)).identity()["bytes"] == 9


def message_about(path: Path) -> str:
    with pytest.raises(PhotoError) as caught:
        open_source(str(path)).entries()
    return str(caught.value)


def test_a_missing_path_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "dogs-vs-cats.zip").touch()

    assert message_about(tmp_path / "dog-vs-cats.zip") == (
        f"There are no photos at {tmp_path}/dog-vs-cats.zip: no such file or folder. "
        f"Did you mean {tmp_path}/dogs-vs-cats.zip?"
    )
    assert message_about(tmp_path / "nothing" / "photos.zip") == (
        f"There are no photos at {tmp_path}/nothing/photos.zip: no such file or folder. "
        f"Its folder {tmp_path}/nothing does not exist either."
    )
    assert message_about(tmp_path / "qqq") == (
        f"There are no photos at {tmp_path}/qqq: no such file or folder. data.source must be "
        "cats_vs_dogs, sample, an imported name (optrun data list), or the path of a folder or a "
        "zip archive."
    )


def test_a_misspelt_name_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PhotoError, match=r"Did you mean cats_vs_dogs\?$"):
        open_source("cat_vs_dogs")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is empty: it holds no files."),
        (
            {"a.txt": b"x", "b": b"x"},
            "holds 2 files, but none that is known to be a cat or a dog.",
        ),
        (
            {f"{folder}/{i}.jpg": b"x" for folder in ("kittens", "puppies") for i in range(2)},
            "holds 4 files, but none that is known to be a cat or a dog (without a label: "
            "kittens/ (2 photos), puppies/ (2 photos)).",
        ),
        (
            {"train/dog.0.jpg": b"x"},
            "holds 1 dog but no cat; photos of both are needed.",
        ),
        (
            {"cat/0.jpg": b"x", "cat/1.jpg": b"x"},
            "holds 2 cats but no dog; photos of both are needed.",
        ),
    ],
)
def test_a_source_without_both_animals_is_said(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path], files: Files, message: str
) -> None:
    archive = tmp_path / "photos.zip"
    archive.write_bytes(zipped(files))
    folder = tmp_path / "photos"
    folder.mkdir()
    write_folder(folder, files)

    for path in (archive, folder):
        assert message_about(path) == f"{path} {message}\n{LAYOUTS}"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
        (b"Rar!\x1a\x07\1\0", "a RAR archive"),
        (gzip.compress(b"photos", mtime=0), "compressed by gzip, as .tgz and .tar.gz are"),
        (bz2.compress(b"photos"), "compressed by bzip2, as .tar.bz2 is"),
        (lzma.compress(b"photos"), "compressed by xz, as .tar.xz is"),
        (b"\0" * 257 + b"ustar\0" + b"\0" * 500, "a tar archive"),
    ],
    ids=["7z", "rar", "gzip", "bzip2", "xz", "tar"],
)
def test_another_kind_of_archive_is_named(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "photos.any"
    path.write_bytes(content)
    said = f"{path} is {kind}, and of archives zip alone is read: unpack it, and give the folder."
    assert message_about(path) == said


def test_what_is_no_zip_or_truncated_is_said(tmp_path: Path) -> None:
    advice = "Give a folder or a complete zip; an interrupted download must be repeated."
    text, cut = tmp_path / "notes.txt", tmp_path / "cut.zip"
    text.write_text("not an archive")
    cut.write_bytes(zipped(PHOTOS)[:-40])

    for path in (text, cut):
        assert message_about(path) == (
            f"{path} is not a zip archive, or is truncated: its end is missing. {advice}"
        )
    outer = tmp_path / "outer.zip"
    outer.write_bytes(zipped({"train.zip": zipped(PHOTOS)[:-40]}))
    assert message_about(outer).startswith(f"train.zip in {outer} is not a zip archive, or is")


def test_an_encrypted_archive_is_said(tmp_path: Path) -> None:
    content = bytearray(zipped(PHOTOS))
    # The flags of the first entry, in the central directory: 8 bytes after its signature.
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive = tmp_path / "secret.zip"
    archive.write_bytes(content)

    assert message_about(archive) == (
        f"{archive} is encrypted. Unpack it with its password and give the folder."
    )


@pytest.mark.parametrize(
    ("name", "count", "digest"),
    [
        ("dogs-vs-cats.zip", 3000, "7735f4ac40a5a660"),
        ("kagglecatsanddogs_5340.zip", 418, "bd36d52e54bcfa52"),
    ],
)
def test_ids_and_labels_of_real_archives_never_change(
    real_photos: Callable[[str], Path], name: str, count: int, digest: str
) -> None:
    """Fingerprints of runs are over them."""
    entries = open_source(str(real_photos(name))).entries()

    assert len(entries) == count
    assert hashlib.sha256(repr(sorted(entries.items())).encode()).hexdigest()[:16] == digest


def test_real_photos_are_what_independent_reading_gives(
    real_photos: Callable[[str], Path],
) -> None:
    path = real_photos("dogs-vs-cats.zip")
    with zipfile.ZipFile(path) as outer, zipfile.ZipFile(outer.open("train.zip")) as inner:
        expected = {name.removeprefix("train/"): inner.read(name) for name in inner.namelist()}

    assert {photo.id: photo.encoded for photo in open_source(str(path)).read()} == expected
