"""Kaggle's ids and the list that they are checked by: what is wrong is said before any work."""

import zipfile
from pathlib import Path

import pytest
from optrun.runner.errors import UserError
from optrun.runner.inference.submit import (
    check_ids,
    gaps,
    ids_of,
    photo_id,
    place_of_test_photos,
    sample_submission,
    submission,
)

ARCHIVE = Path("dogs-vs-cats.zip")


def test_ids_are_in_numerical_order() -> None:
    names = [f"test1/{number}.jpg" for number in (10, 9, 1, 100, 2)]
    assert ids_of(names, ARCHIVE) == [1, 2, 9, 10, 100]
    assert ids_of(["C:\\photos\\test\\7.JPG", "deep/er/3.png"], ARCHIVE) == [3, 7]


def test_what_is_no_photo_has_no_id() -> None:
    names = ("sampleSubmission.csv", "test1/Thumbs.db", "test1/.DS_Store", "__MACOSX/._1.jpg")
    assert [photo_id(name) for name in names] == [None] * 4


@pytest.mark.parametrize("name", ["train/cat.0.jpg", "test1/one.jpg", "test1/-1.jpg", "٣.jpg"])
def test_a_photo_that_is_not_numbered_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"numbered, as test1/17\.jpg is, received one with"):
        ids_of(["test1/1.jpg", name], ARCHIVE)


def test_two_photos_of_one_id_are_refused() -> None:
    with pytest.raises(UserError, match=r"two for 7 in .*: test1/7\.jpg and test1/007\.jpg"):
        ids_of(["test1/7.jpg", "test1/007.jpg"], ARCHIVE)


def test_an_archive_without_test_photos_is_refused() -> None:
    with pytest.raises(UserError, match=r"test1\.zip.*received: dogs-vs-cats\.zip.*none"):
        ids_of(["readme.txt"], ARCHIVE)


def test_the_ids_must_be_those_of_the_list() -> None:
    sample = ("sampleSubmission.csv", frozenset(range(1, 11)))
    check_ids(list(range(1, 11)), *sample)
    with pytest.raises(UserError, match=r"10 ids, received 9; without a photo: 4\."):
        check_ids([1, 2, 3, 5, 6, 7, 8, 9, 10], *sample)
    with pytest.raises(
        UserError,
        match=r"received 3; without a photo: 1, 2, 3, 4, 5 and 4 more; not listed: 77, 78",
    ):
        check_ids([10, 77, 78], *sample)


def test_without_a_list_missing_ids_are_noticed() -> None:
    assert gaps([1, 2, 3]) is None
    assert gaps([0, 1, 2]) is None
    assert gaps([1, 3, 6]) is not None
    assert "3 of the ids up to 6: 2, 4, 5." in str(gaps([1, 3, 6]))
    assert "999,999,999,998 of the ids" in str(gaps([1, 10**12]))
    assert "2, 3, 4, 5, 6 and 999,999,999,993 more" in str(gaps([1, 10**12]))


def write_list(text: str | bytes, path: Path) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_list_is_found_in_the_archive_and_beside_it(tmp_path: Path) -> None:
    archive = tmp_path / "dogs-vs-cats.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("test1.zip", b"")
    assert sample_submission(archive) is None
    assert sample_submission(tmp_path) is None
    write_list("\ufeffid,label\r\n1,0\r\n2,0\r\n\r\n", tmp_path / "sample_submission.csv")
    for place in (archive, tmp_path):
        found = sample_submission(place)
        assert found is not None
        assert found[1] == {1, 2}
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("competition/sampleSubmission.csv", "id,label\n1,0\n2,0\n3,0\n")
    found = sample_submission(archive)
    assert found is not None
    assert found == ("competition/sampleSubmission.csv in dogs-vs-cats.zip", {1, 2, 3})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "its first line must be id,label"),
        ("image,label\n1,0\n", "its first line must be id,label"),
        ("id,label\n1,0\n1,0\n", "it lists 1 twice"),
        ("id,label\ncat,0\n", "row 2 has no id: cat"),
        ("id,label\n\x1b[2J,0\n", r"row 2 has no id: \\x1b\[2J"),
        (b"id,label\n\xff,0\n", "it is no CSV text"),
        ('id,label\n"' + "x" * 200_000 + '",0\n', "it is no CSV text"),
    ],
)
def test_a_list_that_is_none_is_named(tmp_path: Path, text: str | bytes, reason: str) -> None:
    write_list(text, tmp_path / "sampleSubmission.csv")
    with pytest.raises(UserError, match=f"sampleSubmission.csv must be a list.*{reason}"):
        sample_submission(tmp_path)


def test_a_list_of_any_size_once_unpacked_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("sampleSubmission.csv", b"id,label\n" + b"0" * (70 * 2**20))
    with pytest.raises(UserError, match="larger than 64 MiB"):
        sample_submission(archive)


def test_of_a_folder_as_downloaded_the_test_photos_alone_are_taken(tmp_path: Path) -> None:
    assert place_of_test_photos(tmp_path) == tmp_path
    (tmp_path / "test").mkdir()
    assert place_of_test_photos(tmp_path) == tmp_path / "test"
    (tmp_path / "test1.zip").touch()
    assert place_of_test_photos(tmp_path) == tmp_path / "test1.zip"
    assert place_of_test_photos(tmp_path / "test1.zip") == tmp_path / "test1.zip"


def test_the_file_has_a_line_for_each_id() -> None:
    assert submission({10: 0.25, 9: 1 - 1e-9, 1: 0.5}) == (
        "id,label\n1,0.500000000000\n9,0.999999999000\n10,0.250000000000\n"
    )
    assert submission({2: 0, 1: 1}) == "id,label\n1,1\n2,0\n"
