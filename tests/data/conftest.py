"""Photos and sources for the tests of this room, made on the spot."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Files = dict[str, bytes]


def _picture(number: int, width: int = 40, height: int = 30) -> Image.Image:
    noise = np.random.default_rng(number).integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def _encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    """A soft random picture, different for every number."""
    return _picture


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """The bytes of an image file."""
    return _encoded


@pytest.fixture(scope="session")
def kaggle() -> Callable[[int], Files]:
    """`count` cats and dogs in turn, as Kaggle names them."""

    def files(count: int) -> Files:
        return {
            f"train/{('cat', 'dog')[i % 2]}.{i // 2}.jpg": _encoded(_picture(i))
            for i in range(count)
        }

    return files


@pytest.fixture(scope="session")
def write_folder() -> Callable[[Path, Files], Path]:
    """Writes files below a folder."""

    def write(folder: Path, files: Files) -> Path:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    return write


@pytest.fixture(scope="session")
def write_zip() -> Callable[[Path, Files], Path]:
    """Writes files into a zip archive, compressed as archives mostly are."""

    def write(path: Path, files: Files) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return write


@pytest.fixture
def real_photos() -> Callable[[str], Path]:
    """An archive of real photos beside the repository; skips where it is absent."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "photos"

    def find(name: str) -> Path:
        if not (folder / name).is_file():
            pytest.skip(f"needs the real photos {name} in ../shared/photos beside the repository")
        return folder / name

    return find
