"""Which files of a folder or an archive are labelled photos, by their names alone."""

import posixpath
import re
from collections.abc import Iterable

from data.photos import CAT, DOG

_CLASS_FOLDERS = {"cat": CAT, "cats": CAT, "dog": DOG, "dogs": DOG}
_KAGGLE_NAME = re.compile(
    r"(?P<animal>cat|dog)\.\d+\.(jpe?g|png|bmp|gif|webp|tiff?)", re.IGNORECASE
)

LAYOUTS = """\
Photos are found in any of these layouts, as a folder or zipped:
  cat/…  dog/…                 class folders (also cats, dogs; also further down)
  PetImages/Cat/0.jpg          as Microsoft publishes them
  train/cat.0.jpg              as Kaggle publishes them (also the zip that holds train.zip)"""


def label_of(name: str) -> int | None:
    """Returns the label that a file's place gives it, or None.

    The nearest folder named after a class decides, whatever lies in it: what turns out to be no
    photo is then left out with a reason. Elsewhere, the file's own name must be one of Kaggle's.
    Files that operating systems hide are passed over.

    Args:
        name: Path within the source, with forward slashes.

    Example:
        >>> label_of("PetImages/Dog/0.jpg"), label_of("train/cat.0.jpg"), label_of("test1/1.jpg")
        (1, 0, None)
    """
    *folders, file = name.split("/")
    if any(part.startswith(".") or part == "__MACOSX" for part in (*folders, file)):
        return None
    for folder in reversed(folders):
        label = _CLASS_FOLDERS.get(folder.lower())
        if label is not None:
            return label
    match = _KAGGLE_NAME.fullmatch(file)
    return _CLASS_FOLDERS[match["animal"].lower()] if match else None


def without_common_folder(names: Iterable[str]) -> dict[str, str]:
    """Returns each name's id: the name without the folders that all have in common.

    So photos have the same ids zipped or not, and with or without a folder around them.

    Example:
        >>> without_common_folder(["PetImages/Cat/0.jpg", "PetImages/Dog/0.jpg"])
        {'PetImages/Cat/0.jpg': 'Cat/0.jpg', 'PetImages/Dog/0.jpg': 'Dog/0.jpg'}
    """
    names = list(names)
    common = posixpath.commonpath([posixpath.dirname(name) for name in names]) if names else ""
    start = len(common) + 1 if common else 0
    return {name: name[start:] for name in names}
