import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from optrun.data.exceptions import PhotoError
from optrun.data.unlabelled import UnlabelledPhoto, unlabelled

Files = dict[str, bytes]

TEST = {f"test1/{i}.jpg": b"photo %d" % i for i in (1, 2, 10)}
TRAIN = {"train/cat.0.jpg": b"cat", "train/dog.0.jpg": b"dog"}


def zipped(files: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def read(*paths: Path) -> list[tuple[str, bytes]]:
    photos = list(unlabelled(paths))
    assert [photo for photo in photos if photo.unreadable] == []
    return [(photo.name, photo.encoded) for photo in photos]


def names(*paths: Path) -> list[str]:
    return [photo.name for photo in unlabelled(paths)]


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[Files], Path]:
    def write(files: Files, name: str = "photos.zip") -> Path:
        (tmp_path / name).write_bytes(zipped(files))
        return tmp_path / name

    return write


def test_files_are_taken_whatever_their_names(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("b.jpg", "a.txt", "no ending")]
    for path in paths:
        path.write_bytes(path.name.encode())

    assert read(*paths) == [(str(path), path.name.encode()) for path in paths]


def test_a_folder_gives_its_photos_sorted_and_nothing_else(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    photos = ["a/z.JPG", "b/1.png", "b/10.webp", "b/2.heic", "b.jpeg", "c"]
    others = ["sample.csv", ".DS_Store", ".cache/1.jpg", "b/Thumbs.db", "__MACOSX/b/1.jpg", "d.zip"]
    folder = write_folder(
        tmp_path / "photos", {name: name.encode() for name in [*reversed(photos), *others]}
    )

    assert read(folder) == [(f"{folder}/{name}", name.encode()) for name in photos]


def test_a_folder_of_any_size_is_listed_in_pieces(
    tmp_path: Path,
    write_folder: Callable[[Path, Files], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optrun.data.sources.folder._SORTED_AT_ONCE", 7)
    files = {f"{i // 30}/{i:03}.jpg": b"%d" % i for i in range(70)}
    folder = write_folder(tmp_path / "photos", files)
    found = read(folder)

    assert found == [(f"{folder}/{name}", content) for name, content in sorted(files.items())]


def test_an_archive_gives_its_photos_by_their_names_in_it(archive: Callable[..., Path]) -> None:
    files = {"b/2.jpg": b"2", "b/notes.txt": b"x", "1.jpg": b"1", "__MACOSX/._1.jpg": b"x"}
    path, other = archive(files), archive({"1.jpg": b"3"}, "other.zip")
    nameless = path.rename(path.with_name("archive"))

    assert read(nameless) == [("b/2.jpg", b"2"), ("1.jpg", b"1")]
    assert names(nameless, other) == [
        f"{nameless}/b/2.jpg",
        f"{nameless}/1.jpg",
        f"{other}/1.jpg",
    ]


@pytest.mark.parametrize("test", ["test1", "test"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_of_kaggles_archive_the_test_photos_alone_are_taken(
    tmp_path: Path,
    write_folder: Callable[[Path, Files], Path],
    test: str,
    compression: int,
) -> None:
    photos = {name.replace("test1", test): content for name, content in TEST.items()}
    downloaded = {
        "train.zip": zipped(TRAIN),
        f"{test}.zip": zipped(photos),
        "sampleSubmission.csv": b"id,label\n",
    }
    nested, plain = tmp_path / "nested.zip", tmp_path / "plain.zip"
    nested.write_bytes(zipped(downloaded, compression))
    plain.write_bytes(zipped({**TRAIN, **photos}, compression))
    folder = write_folder(tmp_path / "folder", downloaded)

    assert read(nested) == list(photos.items())
    assert read(plain) == list(photos.items())
    assert read(folder / f"{test}.zip") == list(photos.items())
    assert read(folder) == [
        (f"{folder}/{test}.zip/{name}", content) for name, content in photos.items()
    ]
    write_folder(folder, photos)
    assert read(folder) == [
        (f"{folder}/{name}", content) for name, content in sorted(photos.items())
    ]


def test_photos_in_a_folder_called_test_are_no_reason_to_pass_over_others(
    archive: Callable[..., Path],
) -> None:
    labelled = {"train/cats/1.jpg": b"a", "test/cats/1.jpg": b"b"}
    mixed = {"test/1.jpg": b"a", "holiday/2.jpg": b"b", **TRAIN}

    assert names(archive(labelled)) == list(labelled)
    assert names(archive(mixed)) == list(mixed)
    assert names(archive(TEST)) == list(TEST)


def test_of_other_archives_within_an_archive_all_are_taken(archive: Callable[..., Path]) -> None:
    one, two = zipped({"1.jpg": b"1"}), zipped({"1.jpg": b"2", "notes.txt": b"x"})

    assert read(archive({"a.zip": one})) == [("1.jpg", b"1")]
    assert read(archive({"a.zip": one, "b.zip": two})) == [
        ("a.zip/1.jpg", b"1"),
        ("b.zip/1.jpg", b"2"),
    ]


def test_what_cannot_be_read_has_a_reason_and_spares_the_others(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    folder = write_folder(tmp_path / "photos", {"a.jpg": b"a", "c.jpg": b"c"})
    (folder / "b.jpg").symlink_to(tmp_path / "nowhere")

    assert list(unlabelled([folder])) == [
        UnlabelledPhoto(f"{folder}/a.jpg", b"a"),
        UnlabelledPhoto(
            f"{folder}/b.jpg", b"", "a link that can't be read: No such file or directory"
        ),
        UnlabelledPhoto(f"{folder}/c.jpg", b"c"),
    ]


def test_a_missing_path_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as caught:
        unlabelled([tmp_path, tmp_path / "ab\x1bsent.jpg"])

    assert str(caught.value) == (
        f"There is no photo, folder or archive at {tmp_path}/ab\\x1bsent.jpg."
    )


def test_a_truncated_archive_is_said(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    path.write_bytes(zipped(TEST)[:-30])

    with pytest.raises(PhotoError, match="is not a zip archive, or is truncated"):
        list(unlabelled([path]))


def test_many_photos_take_no_more_memory_than_few(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        folder, path = tmp_path / str(count), tmp_path / f"{count}.zip"
        folder.mkdir()
        with zipfile.ZipFile(path, "w") as archive:
            for i in range(count):
                archive.writestr(f"test1/{i}.jpg", bytes(10_000))
                if i < 100:
                    (folder / f"{i}.jpg").write_bytes(bytes(10_000))
        tracemalloc.start()
        seen = sum(len(photo.encoded) > 0 for photo in unlabelled([path, folder]))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == count + 100
        return most

    few, many = peak(100), peak(1000)
    # What is read at once of the list of names is all that may grow, up to 1 MiB.
    assert many < few + 1.5 * 2**20


def test_kaggles_test_photos_as_downloaded(real_photos: Callable[[str], Path]) -> None:
    path = real_photos("dogs-vs-cats.zip")
    with zipfile.ZipFile(path) as outer, zipfile.ZipFile(outer.open("test1.zip")) as inner:
        expected = [(name, inner.read(name)) for name in inner.namelist()]

    assert read(path) == expected
    assert len(expected) == 1000
