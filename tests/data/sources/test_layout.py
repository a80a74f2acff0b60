import pytest
from optrun.data.sources.layout import label_of, without_common_folder


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("train/cat.0.jpg", 0),
        ("train/dog.12499.jpg", 1),
        ("dog.7.jpg", 1),
        ("cat-0.jpg", 0),
        ("cat_0_0.jpeg", 0),
        ("cat.0 (1).jpg", 0),
        ("Dogs 12.PNG", 1),
        ("dog(3).webp", 1),
        ("cat0001.jpg", 0),
        ("PetImages/Cat/0.jpg", 0),
        ("PetImages/Dog/11702.jpg", 1),
        ("cats/whiskers.png", 0),
        ("photos/train/dogs/2024/IMG_1.JPG", 1),
        ("dogs/cats/odd.jpg", 0),
        ("dogs/cat.1.jpg", 1),
        ("cat/Thumbs.db", 0),
    ],
)
def test_place_gives_the_label(name: str, label: int) -> None:
    assert label_of(name) == label


@pytest.mark.parametrize(
    "name",
    [
        "test1/1.jpg",
        "sampleSubmission.csv",
        "readme[1].txt",
        "catalogue/1.jpg",
        "cat.jpg",
        "cat.0.txt",
        "bobcat.0.jpg",
        "cat_and_dog_1.jpg",
        "cat.0.final.jpg",
        "category_1.jpg",
        "__MACOSX/cats/._1.jpg",
        "cats/.DS_Store",
        ".trash/cats/1.jpg",
    ],
)
def test_other_files_have_no_label(name: str) -> None:
    assert label_of(name) is None


def test_ids_leave_out_what_all_have_in_common() -> None:
    assert list(without_common_folder(["a/b/cat/0.jpg", "a/b/dog/0.jpg"]).values()) == [
        "cat/0.jpg",
        "dog/0.jpg",
    ]
    assert list(without_common_folder(["cat/0.jpg", "dog/0.jpg"]).values()) == [
        "cat/0.jpg",
        "dog/0.jpg",
    ]
    assert list(without_common_folder(["ab/cat.0.jpg", "abc/cat.0.jpg"]).values()) == [
        "ab/cat.0.jpg",
        "abc/cat.0.jpg",
    ]
