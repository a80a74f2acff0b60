"""Files of a run that are cut off, empty, garbage or another run's: said, or done without.

Never a traceback, never a wrong number, and nothing changed where a run is refused.
"""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optrun.runner.engine import checkpoint
from optrun.runner.inference.classifier import read_weights
from optrun.runner.untrusted import DamageError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
GoesOnOrIsRefused = Callable[[Path, Path], tuple[int, str]]

SETTINGS = (
    *("data.image_size=32", "data.limit=160", "model.width=0.0625", "model.head.hidden_units=[4]"),
    *("training.epochs=3", "training.keep_last_checkpoint=true", "training.batch_size=32"),
)
CHECKPOINTS = ("best", "last", "last.previous")
# What lies there that decides nothing.
OF_NO_CONSEQUENCE = ("log.txt", "writer.lock", "git.diff", ".reserve")
DAMAGES = (*(f"cut at {tenth}/10" for tenth in range(1, 10)), "empty", "garbage", "other", "gone")


@pytest.fixture(scope="module", autouse=True)
def _shallow_networks(shallow: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    with shallow():
        yield


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, photo_cache: Path) -> Path:
    """A run that was told to stop in its third epoch."""
    from optrun.runner.plan.executor import Request, execute
    from optrun.runner.plan.plan import Entry
    from optrun.runner.ui.console import Display

    results = tmp_path_factory.mktemp("interrupted") / "results"
    show, seen = Display._step_done, 0

    def shown(self: Display, *arguments: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == 10:
            signal.raise_signal(signal.SIGTERM)
        show(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Display, "_step_done", shown)
        request = Request(
            [Entry(CONFIGS / "sgd_vgg19.yaml", SETTINGS)], sample=True, results=results, quiet=True
        )
        assert execute(request) == 143
    (run,) = results.iterdir()
    for name in CHECKPOINTS:
        assert (run / "checkpoint" / name).is_dir()
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, interrupted: Path) -> Path:
    """The same run, gone on with and completed."""
    from optrun.runner.plan.executor import ResumeRequest, resume

    run = tmp_path_factory.mktemp("finished") / interrupted.name
    shutil.copytree(interrupted, run)
    assert resume(ResumeRequest([str(run)], quiet=True)) == 0
    return run


def _make_other(run: Path, other: Path) -> None:
    """A run of the same network with other numbers in every file, and files that fit each other."""
    shutil.copytree(run, other)
    recorded = json.loads((run / "run.json").read_text()) | {"id": "zzzzzz", "seed": 2}
    if recorded["result"] is not None:
        recorded["result"]["test_accuracy"] = 0.125
    (other / "run.json").write_text(json.dumps(recorded))
    config = (run / "config.yaml").read_text()
    assert "seed: 1" in config
    (other / "config.yaml").write_text(config.replace("seed: 1", "seed: 2"))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.update({key: 0.5 for key in line if key.endswith(("loss", "accuracy"))})
    (other / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for folder in (run / "checkpoint").iterdir():
        found = checkpoint.read(folder)
        arrays = {
            name: array + np.asarray(array.dtype.kind == "f", array.dtype)
            for name, array in found.arrays.items()
        }
        checkpoint.save(other / "checkpoint" / folder.name, arrays, found.facts, owner="zzzzzz")


@pytest.fixture
def damage(tmp_path: Path) -> Callable[[Path, str, str], Path]:
    """Copies a run and damages one of its files."""

    def make(run: Path, name: str, kind: str) -> Path:
        copy = tmp_path / "results" / run.name
        shutil.rmtree(copy.parent, ignore_errors=True)
        shutil.copytree(run, copy)
        _damage(run, copy / name, name, kind, tmp_path)
        return copy

    return make


def _damage(run: Path, path: Path, name: str, kind: str, tmp_path: Path) -> None:
    content = path.read_bytes()
    if kind.startswith("cut"):
        path.write_bytes(content[: len(content) * int(kind[7]) // 10])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "garbage":
        path.write_bytes(np.random.default_rng(0).bytes(len(content)))
    elif kind == "gone":
        path.unlink()
    else:
        other = tmp_path / "other"
        if not other.exists():
            _make_other(run, other)
        shutil.copyfile(other / name, path)


def _files(run: Path) -> list[str]:
    return [str(path.relative_to(run)) for path in sorted(run.rglob("*")) if path.is_file()]


def _content(run: Path) -> dict[str, bytes]:
    return {
        name: (run / name).read_bytes() for name in _files(run) if name not in OF_NO_CONSEQUENCE
    }


def _readers_answer(optrun: Optrun, run: Path) -> None:
    before = _content(run)
    for arguments in (("runs", run.parent), ("runs", "show", run), ("compare", run.parent)):
        code, out, err = optrun(*arguments)
        # A run that can't be read is shown as far as it can be, with exit code 1.
        assert code in ((0, 1, 2) if "show" in arguments else (0, 2)), (arguments, out, err)
        assert "Traceback" not in out + err
        assert out or err
        if code == 2:
            assert err.startswith("optrun: "), err
    assert _content(run) == before


@pytest.fixture
def goes_on_or_is_refused(
    optrun: Optrun, differences: Callable[[Path, Path], list[str]]
) -> GoesOnOrIsRefused:
    """Resumes a run, which becomes its twin or stays as it is; the exit code and what was said."""

    def call(run: Path, twin: Path) -> tuple[int, str]:
        before = _content(run)
        code, out, err = optrun("resume", run)
        assert code in (0, 2), out + err
        assert "Traceback" not in out + err
        if code == 2:
            assert "optrun: " in err
            assert _content(run) == before
        else:
            assert differences(run, twin) == []
        return code, out + err

    return call


MANIFEST, WEIGHTS = "manifest.json", "weights.npz"
STOPPED_FILES = (
    *("run.json", "config.yaml", "metrics.jsonl", "log.txt", "writer.lock"),
    *(f"checkpoint/{name}/{file}" for name in CHECKPOINTS for file in (MANIFEST, WEIGHTS)),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", STOPPED_FILES)
def test_a_run_with_any_damaged_file_is_gone_on_with_as_it_was_or_refused(
    optrun: Optrun,
    interrupted: Path,
    finished: Path,
    damage: Callable[..., Path],
    goes_on_or_is_refused: GoesOnOrIsRefused,
    name: str,
) -> None:
    for kind in DAMAGES:
        run = damage(interrupted, name, kind)
        _readers_answer(optrun, run)
        code, said = goes_on_or_is_refused(run, finished)
        if name.startswith(("run.json", "config.yaml", "checkpoint/best/")):
            assert code == 2, (kind, said)
        else:
            assert code == 0, (kind, said)
            assert ("is damaged" in said) == name.startswith("checkpoint/last/"), (kind, said)


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "checkpoint/best/weights.npz"])
@pytest.mark.parametrize("kind", ["cut at 5/10", "garbage", "other"])
def test_a_stopped_run_that_is_not_what_it_was_is_refused_before_it_trains(
    optrun: Optrun,
    interrupted: Path,
    damage: Callable[..., Path],
    goes_on_or_is_refused: GoesOnOrIsRefused,
    name: str,
    kind: str,
) -> None:
    run = damage(interrupted, name, kind)
    _readers_answer(optrun, run)
    assert goes_on_or_is_refused(run, run)[0] == 2


def test_metrics_and_a_last_checkpoint_of_another_run_are_done_without(
    optrun: Optrun,
    interrupted: Path,
    finished: Path,
    damage: Callable[..., Path],
    goes_on_or_is_refused: GoesOnOrIsRefused,
    tmp_path: Path,
) -> None:
    run = damage(interrupted, "metrics.jsonl", "other")
    for file in (MANIFEST, WEIGHTS):
        name = f"checkpoint/last/{file}"
        _damage(interrupted, run / name, name, "other", tmp_path)
    _readers_answer(optrun, run)
    code, said = goes_on_or_is_refused(run, finished)
    assert code == 0
    assert "is damaged, the one before it is used: " in said
    assert "is of the run 'zzzzzz', not of" in said
    assert "metrics.jsonl was not what it had been" in said


def test_where_no_checkpoint_is_whole_nothing_is_overwritten(
    optrun: Optrun,
    interrupted: Path,
    damage: Callable[..., Path],
    goes_on_or_is_refused: GoesOnOrIsRefused,
    tmp_path: Path,
) -> None:
    run = damage(interrupted, f"checkpoint/last/{MANIFEST}", "empty")
    name = f"checkpoint/last.previous/{WEIGHTS}"
    _damage(interrupted, run / name, name, "cut at 9/10", tmp_path)
    code, said = goes_on_or_is_refused(run, run)
    assert code == 2
    assert "none of its checkpoints is whole" in said
    assert "optrun train" in said


def test_a_checkpoint_of_another_format_is_said_to_be_so(
    optrun: Optrun,
    interrupted: Path,
    damage: Callable[..., Path],
    goes_on_or_is_refused: GoesOnOrIsRefused,
) -> None:
    run = damage(interrupted, f"checkpoint/last/{MANIFEST}", "cut at 9/10")
    for name in ("last", "last.previous"):
        manifest = run / "checkpoint" / name / MANIFEST
        source = interrupted / "checkpoint" / name / MANIFEST
        manifest.write_text(json.dumps(json.loads(source.read_text()) | {"format": 99}))
    code, said = goes_on_or_is_refused(run, run)
    assert code == 2
    assert "has the format '99', this version reads 2" in said


@pytest.mark.parametrize("change", [{"steps_done": 3}, {"metrics_bytes": 7}, {"best_epoch": 3}])
def test_a_manifest_of_which_a_number_was_changed_is_not_believed(
    interrupted: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    shutil.copytree(interrupted / "checkpoint" / "last", tmp_path / "last")
    manifest = json.loads((tmp_path / "last" / MANIFEST).read_text())
    manifest["facts"] |= change
    (tmp_path / "last" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(checkpoint.CheckpointError, match="is not as it was written"):
        checkpoint.read(tmp_path / "last")


FINISHED_FILES = (
    *("run.json", "config.yaml", "metrics.jsonl", "predictions.npz", "log.txt"),
    *(f"checkpoint/{name}/{file}" for name in ("best", "last") for file in (MANIFEST, WEIGHTS)),
)


def test_weights_of_another_run_are_not_taken_for_those_of_this_one(interrupted: Path) -> None:
    best = interrupted / "checkpoint" / "best"
    run_id = json.loads((interrupted / "run.json").read_text())["id"]
    assert read_weights(best, owner=run_id)[1] in (1, 2)
    with pytest.raises(DamageError, match=f"is of the run '{run_id}', not of zzzzzz"):
        read_weights(best, owner="zzzzzz")


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_finished_run_with_any_damaged_file_is_used_as_it_was_or_refused(
    optrun: Optrun,
    finished: Path,
    damage: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = _measured(optrun, finished)
    assert wanted[0] == 0
    for name in FINISHED_FILES:
        run = damage(finished, name, kind)
        _readers_answer(optrun, run)
        before = _content(run)
        measured = _measured(optrun, run)
        exported = optrun("export", run, "-o", tmp_path / "out.keras", "--force")
        for code, said in (measured, (exported[0], exported[1] + exported[2])):
            assert code in (0, 2), (name, said)
            assert "Traceback" not in said
        assert measured[0] == exported[0], name
        if measured[0] == 0:
            assert measured == wanted, name
        needed = ("run.json", "config.yaml", "checkpoint/best/")
        # Of another seed's configuration, or one cut at the end of a line, all may be there that
        # the network consists of.
        if name.startswith(needed) and (name != "config.yaml" or measured != wanted):
            assert measured[0] == 2, name
        assert optrun("resume", run)[0] in (0, 2)
        assert _content(run) == before


def _measured(optrun: Optrun, run: Path) -> tuple[int, str]:
    code, out, err = optrun("evaluate", run, "--format", "json", "--no-sheet")
    if code == 0:
        found = json.loads(out)
        return code, json.dumps({"parts": found["parts"]})
    return code, out + err
