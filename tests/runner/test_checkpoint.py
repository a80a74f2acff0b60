import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from optrun.runner.engine import checkpoint
from optrun.runner.runs import checkpoint_places

ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(0.1) * np.ones(4, np.float32)]


def test_what_was_saved_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "checkpoint" / "best", ARRAYS, {"epoch": 3})
    for before, after in zip(
        ARRAYS, checkpoint.load(tmp_path / "checkpoint" / "best"), strict=True
    ):
        assert before.tobytes() == after.tobytes()
        assert before.dtype == after.dtype


def test_a_second_save_replaces_the_first_and_leaves_nothing_else(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        checkpoint.save(tmp_path / "best", [np.full(3, value)], {})
    assert checkpoint.load(tmp_path / "best")[0].tolist() == [2.0, 2.0, 2.0]
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("damage", ["truncated", "altered", "gone", "format"])
def test_a_damaged_checkpoint_is_recognised(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "best"
    checkpoint.save(folder, ARRAYS, {})
    weights, manifest = folder / "weights.npz", folder / "manifest.json"
    content = bytearray(weights.read_bytes())
    if damage == "truncated":
        weights.write_bytes(content[:-1])
    elif damage == "altered":
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
    elif damage == "gone":
        weights.unlink()
    else:
        manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 99'))
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(folder)


def test_a_save_killed_between_its_renames_leaves_the_old_one_readable(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    checkpoint.save(folder, ARRAYS, {})
    folder.rename(tmp_path / ".best.old")
    assert len(checkpoint.load(folder)) == len(ARRAYS)


def test_a_whole_one_that_was_not_renamed_any_more_is_put_in_place(tmp_path: Path) -> None:
    folder = tmp_path / "last"
    checkpoint.save(folder, ARRAYS, {"step": 1}, owner="k3x9ab")
    checkpoint.save(tmp_path / "next", ARRAYS, {"step": 2}, owner="k3x9ab")
    (tmp_path / "next").rename(checkpoint_places.being_written(folder))
    assert checkpoint.read_newest(folder)[0].facts == {"step": 2}
    checkpoint.put_newest_in_place(folder, owner="k3x9ab")
    assert checkpoint.read(folder).facts == {"step": 2}
    assert checkpoint.read(checkpoint_places.previous(folder)).facts == {"step": 1}


def test_what_was_left_half_written_replaces_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "last"
    checkpoint.save(folder, ARRAYS, {"step": 1}, owner="k3x9ab")
    checkpoint.save(tmp_path / "next", ARRAYS, {"step": 2}, owner="k3x9ab")
    new = checkpoint_places.being_written(folder)
    (tmp_path / "next").rename(new)
    (new / "manifest.json").write_bytes((new / "manifest.json").read_bytes()[:-9])
    checkpoint.put_newest_in_place(folder, owner="k3x9ab")
    assert checkpoint.read(folder).facts == {"step": 1}


def test_large_arrays_are_as_their_manifest_says_and_plain_numpy_reads_them(tmp_path: Path) -> None:
    arrays = {f"{n}": np.random.default_rng(n).standard_normal(100_000 * n) for n in range(6)}
    checkpoint.save(tmp_path / "last", arrays, {})
    file = tmp_path / "last" / "weights.npz"
    written = json.loads((tmp_path / "last" / "manifest.json").read_text())["weights.npz"]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert written == {"bytes": file.stat().st_size, "sha256": digest}
    with np.load(file, allow_pickle=False) as found:
        assert set(found.files) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
