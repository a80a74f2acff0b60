"""A run opened again gives the numbers that it recorded, or says why it can't."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from optrun.runner.engine import checkpoint
from optrun.runner.errors import UserError
from optrun.runner.inference.classifier import open_trained
from optrun.runner.runs.reader import find_run

MakeArchive = Callable[[Path, Sequence[str]], Path]


@pytest.fixture
def copied(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, to be damaged."""
    return Path(shutil.copytree(trained_run, tmp_path / "results" / trained_run.name))


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_config(run: Path, section: str, **changes: object) -> None:
    content = yaml.safe_load((run / "config.yaml").read_text())
    content[section] |= changes
    (run / "config.yaml").write_text(yaml.safe_dump(content))


def change_weights(run: Path, change: Callable[[list[np.ndarray]], list[np.ndarray]]) -> None:
    folder = run / "checkpoint" / "best"
    owner = json.loads((run / "run.json").read_text())["id"]
    checkpoint.save(folder, change(checkpoint.load(folder)), {"epoch": 1}, owner=owner)


def test_the_recorded_predictions_come_out_again(trained_run: Path) -> None:
    trained = open_trained(trained_run, device="cpu")
    photos, parts, _ = trained.evaluated_photos()
    with np.load(trained_run / "predictions.npz") as kept:
        for name, positions in (("validation", parts["validation"]), ("test", parts["test"])):
            assert list(kept[f"{name}_ids"]) == [photos.ids[i] for i in positions]
            found = trained.logits(photos.pixels[positions])
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, kept[f"{name}_logits"], rtol=0, atol=1e-6)
    assert trained.best_epoch == 1
    assert trained.notes == ()


def test_batches_with_and_without_labels_are_taken(trained_run: Path) -> None:
    from optrun.data.feed.batches import evaluation_batches

    trained = open_trained(trained_run, device="cpu")
    photos, parts, _ = trained.evaluated_photos()
    whole = trained.logits(photos.pixels[parts["test"]])
    pairs = evaluation_batches(photos, parts["test"], batch_size=7)
    np.testing.assert_allclose(trained.logits(pairs), whole, rtol=0, atol=1e-6)
    alone = (photos.pixels[parts["test"][i : i + 3]] for i in range(0, len(parts["test"]), 3))
    np.testing.assert_allclose(trained.logits(alone), whole, rtol=0, atol=1e-6)
    assert trained.logits(photos.pixels[:0]).shape == (0,)


def test_flipping_averages_a_photo_and_its_mirror_image(trained_run: Path) -> None:
    trained = open_trained(trained_run, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
    one, other = trained.logits(pixels), trained.logits(mirrored)
    assert not np.allclose(one, other)
    np.testing.assert_allclose(trained.logits(pixels, flip=True), (one + other) / 2, atol=1e-6)


def test_a_photo_is_decoded_as_it_was_for_training(trained_run: Path, kaggle_archive: Path) -> None:
    trained = open_trained(trained_run, device="cpu")
    photos, _, _ = trained.evaluated_photos()
    with zipfile.ZipFile(kaggle_archive) as archive:
        for i in (0, 40, 99):
            assert np.array_equal(
                trained.pixels(archive.read(f"train/{photos.ids[i]}")), photos.pixels[i]
            )


def test_neither_the_optimizer_nor_the_starting_weights_are_needed(copied: Path) -> None:
    content = yaml.safe_load((copied / "config.yaml").read_text())
    content["optimizer"] = {"name": "optimizer.py:Mine"}
    del content["sample"]
    content["model"]["weights"] = "/nowhere/vgg19.h5"
    (copied / "config.yaml").write_text(yaml.safe_dump(content))
    (copied / "optimizer.py").write_text("raise RuntimeError('imported')\n")
    run = json.loads((copied / "run.json").read_text())
    run["comparable"]["model"]["weights"] = "ab" * 32
    change_json(copied / "run.json", **run)
    trained = open_trained(copied, device="cpu")
    normalise = trained.model.get_layer("normalise")
    assert normalise.scale == 1.0  # as for the published weights, where random ones take 1/127.5


@pytest.mark.parametrize("state", ["interrupted", "running", "failed"])
def test_the_best_weights_of_a_run_that_did_not_end_are_used_and_that_is_said(
    copied: Path, state: str
) -> None:
    change_json(copied / "run.json", state=state, result=None)
    (note,) = open_trained(copied, device="cpu").notes
    said = "killed" if state == "running" else state  # nobody holds its lock
    assert note == f"{copied.name} is {said}, not completed: these are the best weights so far"


def test_a_precision_that_is_not_native_here_is_left_and_that_is_said(
    copied: Path, native_bfloat16: bool
) -> None:
    run = json.loads((copied / "run.json").read_text())
    run["comparable"]["precision"] = "mixed_bfloat16"
    change_json(copied / "run.json", **run)
    trained = open_trained(copied, device="cpu")
    if native_bfloat16:
        assert (trained.machine.precision, trained.notes) == ("mixed_bfloat16", ())
    else:
        assert trained.machine.precision == "float32"
        assert "trained in mixed_bfloat16" in trained.notes[0]


def torn(run: Path) -> None:
    path = run / "checkpoint" / "best" / "weights.npz"
    path.write_bytes(path.read_bytes()[:-100])


def compressed(run: Path) -> None:
    folder = run / "checkpoint" / "best"
    arrays = checkpoint.load(folder)
    np.savez_compressed(folder / "weights.npz", *arrays)
    size_and_hash = checkpoint._size_and_hash(folder / "weights.npz")
    manifest = json.loads((folder / "manifest.json").read_text()) | {"weights.npz": size_and_hash}
    del manifest["sha256"]
    (folder / "manifest.json").write_text(
        json.dumps(manifest | {"sha256": checkpoint._hash_of(manifest)})
    )


def deep(run: Path) -> None:
    (run / "checkpoint" / "best" / "manifest.json").write_text("[" * 100_000)


def piped(run: Path) -> None:
    (run / "checkpoint" / "best" / "manifest.json").unlink()
    os.mkfifo(run / "checkpoint" / "best" / "manifest.json")


def not_a_number(run: Path) -> None:
    change_weights(run, lambda arrays: [arrays[0] * np.nan, *arrays[1:]])


def of_another_network(run: Path) -> None:
    change_weights(run, lambda arrays: [*arrays[:-2], arrays[-1], arrays[-2]])


def too_wide(run: Path) -> None:
    """As run.json and config.yaml agree."""
    head = {"hidden_units": [2_000_000_000]}
    change_config(run, "model", head=head)
    recorded = json.loads((run / "run.json").read_text())
    recorded["comparable"]["model"]["head"] |= head
    (run / "run.json").write_text(json.dumps(recorded))


DAMAGES = [
    (lambda run: (run / "run.json").unlink(), "run.json cannot be read: no run.json"),
    (lambda run: (run / "run.json").write_text("{"), "run.json cannot be read: not JSON"),
    (lambda run: (run / "config.yaml").unlink(), "config.yaml cannot be read"),
    (lambda run: (run / "config.yaml").write_text("name: ["), "config.yaml cannot be read"),
    (
        lambda run: change_json(run / "run.json", state="diverged", why="at step 7\x1b[2J"),
        r"it diverged: at step 7\\x1b\[2J",
    ),
    (lambda run: shutil.rmtree(run / "checkpoint" / "best"), "no checkpoint/best"),
    (torn, "weights.npz"),
    (compressed, "weights.npz is compressed"),
    (deep, "not JSON"),
    (piped, "manifest.json is not a file"),
    (not_a_number, "no finite numbers"),
    (of_another_network, "of two networks"),
    (lambda run: change_config(run, "data", image_size=48), "data.image_size 48, run.json says 32"),
    (lambda run: change_config(run, "data", resize="pad"), "data.resize pad, run.json says squash"),
    (lambda run: change_config(run, "model", width=0.25), "model.width 0.25, run.json says 0.125"),
    (
        lambda run: change_config(run, "model", weights="/some/file.h5"),
        "model.weights pretrained, run.json says random",
    ),
    (
        lambda run: change_config(run, "model", head={"pooling": "max"}),
        "model.head.pooling max, run.json says average",
    ),
    (
        too_wide,
        "weights, its config.yaml describes",
    ),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES, ids=[reason for _, reason in DAMAGES])
def test_a_damaged_run_is_refused_with_the_reason(
    copied: Path, damage: Callable[[Path], object], reason: str
) -> None:
    damage(copied)
    with pytest.raises(UserError, match=reason) as caught:
        open_trained(copied, device="cpu")
    assert copied.name in str(caught.value)


def test_a_run_without_weights_yet_is_to_be_waited_for(copied: Path) -> None:
    change_json(copied / "run.json", state="interrupted", result=None)
    shutil.rmtree(copied / "checkpoint")
    with pytest.raises(UserError, match="is interrupted and has no weights yet: train it again"):
        open_trained(copied, device="cpu")


def test_a_source_of_other_photos_is_refused(
    copied: Path, make_archive: MakeArchive, tmp_path: Path
) -> None:
    names = [f"train/{kind}.{index}.jpg" for index in range(60, 80) for kind in ("cat", "dog")]
    change_config(copied, "data", source=str(make_archive(tmp_path / "others.zip", names)))
    (copied / "photos.npz").unlink()
    with pytest.raises(UserError, match=r"The photos must be as when .*others\.zip"):
        open_trained(copied, device="cpu").evaluated_photos()


def test_photos_divided_otherwise_than_a_run_that_did_not_keep_them_are_refused(
    copied: Path,
) -> None:
    change_config(copied, "data", validation_share=0.2)
    (copied / "photos.npz").unlink()
    with pytest.raises(UserError, match="The division of the photos must be as when"):
        open_trained(copied, device="cpu").evaluated_photos()


def test_what_was_validation_stays_it_whatever_the_configuration_says(copied: Path) -> None:
    _, before, _ = open_trained(copied, device="cpu").evaluated_photos()
    change_config(copied, "data", validation_share=0.2)
    _, after, _ = open_trained(copied, device="cpu").evaluated_photos()
    assert all(np.array_equal(before[name], after[name]) for name in ("validation", "test"))


@pytest.mark.parametrize("damage", ["another run's", "cut", "of text", "empty"])
def test_photos_that_a_run_kept_are_its_own_and_whole(copied: Path, damage: str) -> None:
    path = copied / "photos.npz"
    with np.load(path) as kept:
        arrays = dict(kept)
    if damage == "another run's":
        arrays["labels"][3] ^= 1
        np.savez(path, **arrays)
    elif damage == "of text":
        np.savez(path, **arrays | {"parts": arrays["parts"].astype(str)})
    else:
        path.write_bytes(path.read_bytes()[:-40] if damage == "cut" else b"")
    with pytest.raises(UserError, match=r"was trained on cannot be read: photos\.npz "):
        open_trained(copied, device="cpu").evaluated_photos()


@pytest.fixture
def results(tmp_path: Path, make_run: Callable[..., Path]) -> Path:
    for folder in ("sgd-s1-k3f9ab", "sgd-s2-mm2n7p", "adam-s1-x4y5z6"):
        make_run(folder)
    return tmp_path / "results"


@pytest.mark.parametrize(
    "named", ["k3f9ab", "sgd-s1", "sgd-s1-k3f9ab", "1-k3"], ids=["id", "start", "name", "part"]
)
def test_a_part_of_its_name_finds_a_run(results: Path, named: str) -> None:
    assert find_run(named, results) == results / "sgd-s1-k3f9ab"


def test_the_folder_of_a_run_or_of_a_single_one_is_taken(results: Path, tmp_path: Path) -> None:
    folder = results / "adam-s1-x4y5z6"
    assert find_run(str(folder)) == folder
    assert find_run(folder / "run.json") == folder
    shutil.copytree(folder, tmp_path / "one" / folder.name)
    assert find_run(tmp_path / "one") == tmp_path / "one" / folder.name


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("sgd", r"part of the names of 2 in .*: sgd-s1-k3f9ab, sgd-s2-mm2n7p"),
        ("k3f9bb", r"Did you mean .*sgd-s1-k3f9ab\?"),
        ("sdg-s2-mm2n7p", r"Did you mean .*sgd-s2-mm2n7p\?"),
        ("nothing", r"Runs in .*: adam-s1-x4y5z6, sgd-s1-k3f9ab, sgd-s2-mm2n7p\."),
        ("", r"received: \. Runs in"),
        ("\x1b[2J", r"received: \\x1b\[2J"),
    ],
)
def test_a_name_that_finds_no_run_is_answered_with_the_nearest(
    results: Path, named: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        find_run(named, results)


def test_a_folder_of_several_runs_or_of_none_is_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which holds 3: adam-s1-x4y5z6, sgd"):
        find_run(results)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"which holds no run\.json"):
        find_run(tmp_path / "empty")
    with pytest.raises(UserError, match=r"Did you mean .*sgd-s1-k3f9ab\?"):
        find_run(results / "sgd-s1-k3f9aa")
    with pytest.raises(UserError, match="`optrun train` makes one"):
        find_run("anything", tmp_path / "nowhere")
