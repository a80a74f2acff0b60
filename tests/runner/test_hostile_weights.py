"""Weights from people who mean no good: read whole, or refused; nothing runs, nothing waits."""

import contextlib
import hashlib
import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optrun.runner.engine import checkpoint
from optrun.runner.engine.checkpoint import FORMAT
from optrun.runner.inference.classifier import read_weights
from optrun.runner.untrusted import DamageError


def write_checkpoint(folder: Path, weights: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "weights.npz").write_bytes(weights)
    digest = hashlib.sha256(weights).hexdigest()
    stated = {"bytes": len(weights), "sha256": digest}
    manifest = {"format": FORMAT, "facts": {"epoch": 2}, "weights.npz": stated}
    manifest["dtypes"] = {"0000": "float32", "0001": "float32"}
    manifest["sha256"] = checkpoint._hash_of(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def an_archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{"0000": np.ones((2, 3), np.float32), "0001": np.zeros(2, np.float32)})
    return buffer.getvalue()


def test_weights_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "best", an_archive())
    assert [array.shape for array in read_weights(tmp_path / "best")[0]] == [
        (2, 3),
        (2,),
    ]


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=4)), max_size=4),
    header=st.sampled_from(
        [b"", b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", b"(", b"{",
         b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", b"'" * 3, b"[" * 60,
         b"\xff" * 9]
    ),
    cut=st.integers(0, 800),
)  # fmt: skip
def test_weights_that_were_altered_with_their_manifest_are_damaged_or_whole(
    tmp_path: Path, changes: list[tuple[int, bytes]], header: bytes, cut: int
) -> None:
    """Whoever alters the weights can make the manifest fit them."""
    content = bytearray(an_archive())
    at = content.find(b"{'descr'")
    content[at : at + len(header)] = header
    for position, replacement in changes:
        content[position : position + len(replacement)] = replacement
    write_checkpoint(tmp_path / "best", bytes(content[: -cut or None] if cut < 30 else content))
    started = time.process_time()
    with contextlib.suppress(DamageError):
        arrays, _ = read_weights(tmp_path / "best")
        assert all(array.nbytes < 1000 for array in arrays)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("name", ["weights.npz", "manifest.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "circle", "missing"])
def test_weights_that_are_no_files_are_not_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    write_checkpoint(tmp_path / "best", an_archive())
    path = tmp_path / "best" / name
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "circle":
            path.symlink_to(path)
    with pytest.raises(DamageError):
        read_weights(tmp_path / "best")
