import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import PhotoError
from data.sources import Photo, open_source
from data.sources.layout import LAYOUTS

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

    assert photos["dog.0.jpg"].unreadable == (
        "damaged in the archive: Bad CRC-32 for file 'dog.0.jpg'"
    )
    assert photos["cat.0.jpg"] == Photo("cat.0.jpg", 0, b"first cat")


def test_a_photo_that_cannot_be_opened_has_a_reason(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    folder = write_folder(tmp_path / "photos", inside("train", PHOTOS))
    (folder / "train" / "cat.2.jpg").symlink_to(tmp_path / "nowhere")
    photos = {photo.id: photo for photo in open_source(str(folder)).read()}

    assert photos["cat.2.jpg"].unreadable == "can't be read: No such file or directory"


def test_identity_changes_with_the_photos_and_costs_no_reading(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    folder = write_folder(tmp_path / "photos", inside("train", PHOTOS))
    before = open_source(str(folder)).identity()
    (folder / "train" / "cat.9.jpg").write_bytes(b"another")

    assert before == {**before, "files": 3}
    assert open_source(str(folder)).identity() != before
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
        "cats_vs_dogs, sample, or the path of a folder or a zip archive."
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
            {"a.txt": b"x", "b.jpg": b"x"},
            "holds 2 files, but none that is known to be a cat or a dog.",
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


def test_what_is_no_zip_or_truncated_is_said(tmp_path: Path) -> None:
    advice = "Give a folder or a complete zip; an interrupted download must be repeated."
    text, cut = tmp_path / "notes.txt", tmp_path / "cut.zip"
    text.write_text("not an archive")
    cut.write_bytes(zipped(PHOTOS)[:-40])

    for path in (text, cut):
        assert message_about(path) == (
            f"{path} is not a zip archive, or is truncated (File is not a zip file). {advice}"
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
