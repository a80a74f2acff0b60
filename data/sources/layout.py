"""Which files of a folder or an archive are labelled photos, by their names alone."""

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable

from optrun.data.labels import CAT, DOG, NO_PART, TEST, TRAIN, VALIDATION

_PART_FOLDERS = {
    **dict.fromkeys(("train", "training", "training_set"), TRAIN),
    **dict.fromkeys(("validation", "val", "valid", "validation_set"), VALIDATION),
    **dict.fromkeys(("test", "testing", "test_set"), TEST),
}
_CLASS_FOLDERS = {"cat": CAT, "cats": CAT, "dog": DOG, "dogs": DOG}
# Kaggle's cat.0.jpg, and what becomes of it when it is copied, renamed or numbered anew: the class
# and a number, with nothing else but signs between and behind.
_LABELLED_NAME = re.compile(
    r"(cat|dog)s?[\W_]*\d[\W\d_]*\.(jpe?g|png|bmp|gif|webp|tiff?)", re.IGNORECASE
)

LAYOUTS = """\
Photos are found in any of these layouts, as a folder or zipped:
  cat/…  dog/…                 class folders (also cats, dogs; also further down)
  PetImages/Cat/0.jpg          as Microsoft publishes them
  train/cat.0.jpg              as Kaggle publishes them (also the zip that holds train.zip), or
                               any file named by its class and a number: dog_12.png
Folders named train, validation and test around them keep these parts apart."""
_MOST_FOLDERS = 5  # named in a message
_PHOTO_NAME = re.compile(
    r"[^.]+|.+\.(jpe?g?|jfif|png|bmp|gif|webp|tiff?|hei[cf]|avif|jp2)", re.IGNORECASE | re.DOTALL
)


def label_of(name: str) -> int | None:
    """Returns the label that a file's place within the source gives it, or None.

    The nearest folder named after a class decides, whatever lies in it: what turns out to be no
    photo is then left out with a reason. Elsewhere, the file's own name must be a class and a
    number, as Kaggle's are: `cat.0.jpg`, `cat-0.jpg`, `dog_0_1.jpeg`, `dog.0 (1).jpg`.
    Files that operating systems hide are passed over.
    """
    if is_hidden(name):
        return None
    *folders, file = name.split("/")
    for folder in reversed(folders):
        if (label := _CLASS_FOLDERS.get(folder.lower())) is not None:
            return label
    return label_of_name(file)


def label_of_name(name: str) -> int | None:
    """Returns the label that a file's own name gives it, whatever folder it lies in, or None.

    >>> label_of_name("cats/dog.12.jpg"), label_of_name("cats/12.jpg")
    (1, None)
    """
    match = _LABELLED_NAME.fullmatch(posixpath.basename(name))
    return _CLASS_FOLDERS[match[1].lower()] if match else None


def part_of(name: str) -> int:
    """Returns the part that the nearest folder, or zip, so named gives a file, else `NO_PART`.

    >>> part_of("train/cats/1.jpg"), part_of("Test/dog/1.jpg"), part_of("PetImages/Cat/0.jpg")
    (1, 3, 0)
    """
    folders = reversed(name.lower().split("/")[:-1])
    parts = (_PART_FOLDERS.get(folder.removesuffix(".zip"), NO_PART) for folder in folders)
    return next(filter(None, parts), NO_PART)


def is_named(folder: str) -> bool:
    """Returns whether a folder is named after a class or a part.

    >>> is_named("train/Cats"), is_named("val"), is_named("cats/kittens")
    (True, True, False)
    """
    name = posixpath.basename(folder).lower()
    return name in _CLASS_FOLDERS or name in _PART_FOLDERS


def is_hidden(name: str) -> bool:
    """Returns whether operating systems hide the file, or a folder that it lies in."""
    # Looked for at once rather than folder by folder: this is asked of every file.
    return name.startswith(".") or "/." in name or "__MACOSX" in name.split("/")


def is_archive_name(name: str) -> bool:
    """Returns whether a file is called a zip archive."""
    return name.lower().endswith(".zip")


def is_photo_name(name: str) -> bool:
    """Returns whether a file found among others is to be taken for a photo, by its name alone.

    One without an ending is; whether it can be decoded is not asked.

        >>> is_photo_name("test1/1.jpg"), is_photo_name("sampleSubmission.csv")
        (True, False)
    """
    return not is_hidden(name) and _PHOTO_NAME.fullmatch(posixpath.basename(name)) is not None


def is_left_unlabelled(name: str) -> bool:
    """Returns whether a file that has no label is a photo all the same, and none to be predicted.

    >>> [is_left_unlabelled(name) for name in ("kittens/1.jpg", "test1/1.jpg", "notes.txt")]
    [True, False, False]
    """
    has_ending = "." in posixpath.basename(name)
    return has_ending and is_photo_name(name) and not is_test_name(name)


def is_test_name(name: str) -> bool:
    """Returns whether a file is one of Kaggle's unlabelled test photos, or the zip that holds them.

    >>> [is_test_name(name) for name in ("test1/1.jpg", "test.zip", "test/cats/1.jpg")]
    [True, True, False]
    """
    folder, _, file = name.lower().rpartition("/")
    return posixpath.basename(folder) in ("test1", "test") or file in ("test1.zip", "test.zip")


def by_folder(names: Iterable[str], told: Callable[[int], str]) -> str:
    """Returns in which folders files lie, the fullest first, with how many there are told.

    >>> by_folder(["kittens/1.jpg", "a.jpg", "kittens/2.jpg"], str)
    'kittens/ (2), ./ (1)'
    """
    folders = Counter(posixpath.dirname(name) or "." for name in names).most_common()
    parts = [f"{folder}/ ({told(count)})" for folder, count in folders[:_MOST_FOLDERS]]
    if more := [count for _, count in folders[_MOST_FOLDERS:]]:
        parts.append(f"{len(more):,} folder{'s' * (len(more) > 1)} more ({told(sum(more))})")
    return ", ".join(parts)


def without_common_folder(names: Collection[str]) -> dict[str, str]:
    """Returns each name's id: the name without the folders that all have in common.

    So photos have the same ids zipped or not, and with or without a folder around them.
    """
    folders = {name.rpartition("/")[0] for name in names}
    common = posixpath.commonpath(folders)
    return {name: name.removeprefix(f"{common}/") for name in names}
