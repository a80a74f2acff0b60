"""Settings outside of the configuration: taken over, refused, or recorded and told."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from optrun.runner import environment
from optrun.runner.errors import UserError
from optrun.runner.plan.progress import changes
from optrun.runner.runs.record import RunRecord

ROOT = Path(__file__).resolve().parents[2]
Answer = tuple[int, str, str]
MakeRun = Callable[..., Path]
ONEDNN_OFF = {"environment": {"TF_ENABLE_ONEDNN_OPTS": "0"}}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ('{"floatx": "float8"}', "floatx must be float16, float32 or float64, received: 'float8'"),
        ('{"epsilon": 1}', "epsilon must be a number with a point, as 1e-07, received: 1"),
        (
            '{"image_data_format": null}',
            "image_data_format must be channels_last or channels_first",
        ),
        ("[1]", "must hold a mapping, received: [1]"),
    ],
)
def test_settings_that_keras_stops_for_are_named_with_their_file(
    settings: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text(settings)
    with pytest.raises(UserError) as caught:
        environment.claim()
    assert str(tmp_path / "keras.json") in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize("settings", ["", "{", "{}", '{"floatx": "float64", "epsilon": 1e-3}'])
def test_other_settings_are_no_reason_to_stop(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text(settings)
    environment.claim()


@pytest.mark.slow
@pytest.mark.usefixtures("photo_cache")
def test_whatever_keras_is_set_to_outside_a_run_is_the_same(
    optrun: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = {"data.image_size": 32, "data.limit": 60, "model.width": 0.0625, "training.epochs": 2}
    sets = [part for key, value in tiny.items() for part in ("--set", f"{key}={value}")]
    train = ("train", str(ROOT / "configs" / "adam_vgg19.yaml"), "--sample", *sets, "--results")
    assert optrun(*train, tmp_path / "here")[0] == 0
    settings = {"floatx": "float64", "epsilon": 1e-2, "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps({**settings, "backend": "torch"}))
    for name, value in {
        "KERAS_HOME": str(tmp_path),
        "KERAS_BACKEND": "jax",
        "KERAS_MAX_EPOCHS": "1",
        "KERAS_MAX_STEPS_PER_EPOCH": "1",
    }.items():
        monkeypatch.setenv(name, value)
    program = "from optrun.runner import cli; cli.main()"
    subprocess.run([sys.executable, "-c", program, *train, tmp_path / "there"], check=True)
    runs = [next((tmp_path / place).iterdir()) for place in ("here", "there")]
    assert len({(run / "predictions.npz").read_bytes() for run in runs}) == 1
    results = [json.loads((run / "run.json").read_text())["result"] for run in runs]
    assert len({(one["epochs"], one["updates"], one["images"]) for one in results}) == 1


def test_what_may_be_wanted_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    monkeypatch.setenv("HOME_ADDRESS", "nobody else's business")
    found = environment.variables()
    assert found["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert found["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=true"
    assert not {"HOME_ADDRESS", "TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND"} & found.keys()


@pytest.mark.parametrize("other", [{"environment": {}}, {}], ids=["not set", "an older run"])
def test_compare_notes_a_variable_that_some_runs_had(
    other: Mapping[str, Any], optrun: Callable[..., Answer], make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(name="a", provenance=ONEDNN_OFF)
    make_run(name="b", provenance=other)
    _, out, _ = optrun("compare", tmp_path / "results")
    value = "not set" if other else "not recorded"
    said = f"Differs within this table: TF_ENABLE_ONEDNN_OPTS 0 (1 run), {value} (1 run)."
    assert said in " ".join(out.split())


def test_compare_says_nothing_where_no_run_had_any(
    optrun: Callable[..., Answer], make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(name="a", provenance={"environment": {}})
    make_run(name="b", provenance={})
    assert "Differs" not in optrun("compare", tmp_path / "results")[1]


def test_diff_shows_a_variable(optrun: Callable[..., Answer], make_run: MakeRun) -> None:
    runs = make_run("one", provenance=ONEDNN_OFF), make_run("two", provenance={"environment": {}})
    _, out, _ = optrun("runs", "diff", *runs)
    assert "environment: 1 differs" in out
    assert "environment.TF_ENABLE_ONEDNN_OPTS  0  –" in out


def test_a_resumed_run_tells_what_is_set_otherwise(
    run_record: Callable[..., RunRecord],
) -> None:
    before, now = (
        run_record(provenance={**ONEDNN_OFF}),
        run_record(provenance={"environment": {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2"}}),
    )
    assert changes(before, now) == [
        "environment.TF_ENABLE_ONEDNN_OPTS was 0, now missing",
        "environment.TF_XLA_FLAGS was missing, now --tf_xla_auto_jit=2",
    ]


@pytest.mark.parametrize(
    ("other", "is_said"),
    [
        ({"initial_weights": "cc" * 32}, True),
        ({"first_batches": "dd" * 32}, True),
        ({}, False),
    ],
)
def test_compare_says_where_a_seed_has_another_beginning(
    other: dict[str, str],
    is_said: bool,
    optrun: Callable[..., Answer],
    make_run: MakeRun,
    tmp_path: Path,
) -> None:
    start = {"initial_weights": "aa" * 32, "first_batches": "bb" * 32}
    for seed in (1, 2):
        make_run(name="a", seed=seed, provenance=start)
    make_run(name="b", seed=1, provenance=start)
    make_run(name="b", seed=2, provenance=start | other)
    _, out, _ = optrun("compare", tmp_path / "results")
    words = " ".join(out.split())
    assert ("Seed 2 did not begin from the same weights and photos in all rows" in words) is is_said
    _, exported, _ = optrun("compare", tmp_path / "results", "--format", "json")
    assert json.loads(exported)["tables"][0]["unpaired_seeds"] == ([2] if is_said else [])


def test_another_batch_size_is_no_other_beginning(
    optrun: Callable[..., Answer], make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(name="a", provenance={"first_batches": "aa" * 32})
    make_run(name="b", batch_size=64, provenance={"first_batches": "bb" * 32})
    assert "did not begin" not in optrun("compare", tmp_path / "results")[1]


def test_a_machine_without_a_place_for_temporary_files_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere", "/proc"])
    with pytest.raises(UserError, match=r"^There is no usable temporary .*/nowhere.*TMPDIR=FOLDER"):
        environment.claim()
