"""What all rooms' tests share."""

import gc
import os
import runpy
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Two workers on two cores: more threads each would only get in each other's way.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# The same tests on every processor: by default on one without native bfloat16. For the others,
# `OPTRUN_TEST_CPU_FLAGS=avx512_bf16 make test`.
os.environ.setdefault("OPTRUN_TEST_CPU_FLAGS", "")
_PROCESSOR = Path(__file__).parent / "processor"
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(_PROCESSOR), *filter(None, [os.environ.get("PYTHONPATH")])]
)
runpy.run_path(str(_PROCESSOR / "sitecustomize.py"))
# The tests themselves, of which xdist's workers are processes too, have scikit-learn as an oracle.
sys.meta_path[:] = [
    one for one in sys.meta_path if "ScikitLearn" not in getattr(one, "__name__", "")
]


def pytest_collection_finish() -> None:
    """Let the collector pass over what is imported by now; every training in a test calls it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=[False, True], ids=["plain processor", "native bfloat16"])
def native_bfloat16(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the processor computes bfloat16 natively, for this process and those it starts."""
    monkeypatch.setenv("OPTRUN_TEST_CPU_FLAGS", "avx512_bf16" if request.param else "avx2")
    return bool(request.param)


@pytest.fixture(scope="session")
def photo_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of decoded photos of the tests' own, for all that test at once."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose folders lie in that of their controller
        folder = folder.parent
    folder /= "photos"
    before = os.environ.get("OPTRUN_CACHE")
    os.environ["OPTRUN_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["OPTRUN_CACHE"]
    else:
        os.environ["OPTRUN_CACHE"] = before


@pytest.fixture(scope="session")
def make_archive() -> Callable[[Path, Sequence[str]], Path]:
    """Writes a zip of small noise photos under the given names."""

    def make(path: Path, names: Sequence[str]) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for index, name in enumerate(names):
                buffer = BytesIO()
                noise = np.random.default_rng(index).integers(0, 256, (40, 40, 3), np.uint8)
                Image.fromarray(noise).save(buffer, "JPEG")
                archive.writestr(name, buffer.getvalue())
        return path

    return make


@pytest.fixture(scope="session")
def kaggle_archive(
    tmp_path_factory: pytest.TempPathFactory,
    make_archive: Callable[[Path, Sequence[str]], Path],
) -> Path:
    """A hundred photos of noise in Kaggle's layout."""
    names = [f"train/{kind}.{index}.jpg" for index in range(50) for kind in ("cat", "dog")]
    return make_archive(tmp_path_factory.mktemp("archive") / "photos.zip", names)
