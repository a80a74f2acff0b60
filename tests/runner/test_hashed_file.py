"""A file's hash is known when it is written."""

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
from optrun.runner.engine.hashed_file import HashedFile


def test_the_hash_is_that_of_the_file_and_numpy_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    arrays = {f"{n}": np.random.default_rng(n).standard_normal(100_000 * n) for n in range(6)}
    with path.open("wb") as file, HashedFile(file) as hashed:
        np.savez(hashed, **arrays)  # type: ignore[arg-type]
        digest = hashed.sha256()

    content = path.read_bytes()
    assert digest == hashlib.sha256(content).hexdigest()
    assert hashed.bytes == len(content)
    with np.load(path, allow_pickle=False) as found:
        assert set(found.files) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


def test_what_the_disk_refuses_is_raised_and_no_thread_is_left(tmp_path: Path) -> None:
    threads = threading.active_count()
    with (
        pytest.raises(OSError, match="No space left"),
        Path("/dev/full").open("wb", buffering=0) as file,
        HashedFile(file) as hashed,
    ):
        np.savez(hashed, array=np.ones(10_000_000))  # type: ignore[arg-type]
    assert threading.active_count() == threads
