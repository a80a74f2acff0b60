"""The memory a run takes is estimated, set against what is free, and told where it is missing."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorflow as tf
from optrun.runner.config.load import load
from optrun.runner.config.schema import Experiment
from optrun.runner.plan import memory
from optrun.runner.plan.memory import available_bytes, group_free_bytes

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30


def experiment(*overrides: str, config: str = "adam") -> Experiment:
    path = ROOT / "configs" / f"{config}_vgg19.yaml"
    return load(path, list(overrides), sample=True).experiment


def total(*overrides: str, config: str = "adam", precision: str = "float32") -> int:
    return memory.estimate(experiment(*overrides, config=config), precision=precision).total


def test_the_estimate_counts_what_takes_memory() -> None:
    plain = total("model.width=1", "data.image_size=128", "training.batch_size=64")

    for more in ("model.width=2", "data.image_size=224", "training.batch_size=256"):
        key = more.partition("=")[0]
        before = {"model.width": "1", "data.image_size": "128", "training.batch_size": "64"}
        changed = [f"{name}={value}" for name, value in before.items() if name != key]
        assert total(*changed, more) > 1.2 * plain, more


def test_what_an_optimizer_keeps_counts_with_its_copy_in_the_making() -> None:
    # 20,024,897 weights of 4 bytes; Adam keeps two numbers for each, Lookahead two more.
    copy = 4 * 20_024_897
    adam, around = (
        total("model.width=1", "data.image_size=64", config=config)
        for config in ("adam", "lookahead_adam")
    )
    assert 2 * copy <= around - adam <= 4 * copy


def test_several_gradients_are_all_kept() -> None:
    heun, rk45 = (total("model.width=1", config=config) for config in ("heun", "rk45"))
    assert rk45 - heun == 4 * 4 * 20_024_897


def test_photos_take_half_in_half_the_precision() -> None:
    settings = experiment("model.width=1", "data.image_size=224", "training.batch_size=32")
    full = memory.estimate(settings, precision="float32")
    mixed = memory.estimate(settings, precision="mixed_bfloat16")
    assert mixed.photos == full.photos / 2
    assert mixed.network > full.network - 4 * 2 * 20_024_897


def groups(tmp_path: Path, lines: str, files: dict[str, str]) -> tuple[Path, Path]:
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text(lines)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc, root


V2 = {
    "memory.stat": "anon 1\n",
    "job/memory.max": f"{4 * GIB}\n",
    "job/memory.current": f"{3 * GIB}\n",
    "job/memory.stat": f"anon 5\ninactive_file {GIB}\nfile 7\n",
    "job/step/memory.max": "max\n",
    "job/step/memory.current": f"{GIB}\n",
}
V1 = {
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.usage_in_bytes": "5\n",
    "memory/docker/ab/memory.limit_in_bytes": f"{2 * GIB}\n",
    "memory/docker/ab/memory.usage_in_bytes": f"{GIB}\n",
    "memory/docker/ab/memory.stat": "total_inactive_file 1024\n",
}


@pytest.mark.parametrize(
    ("lines", "files", "left"),
    [
        pytest.param("0::/job/step\n", V2, [2 * GIB], id="version 2, the limit further up"),
        pytest.param("4:memory:/docker/ab\n0::/\n", V1, [GIB + 1024], id="version 1"),
        pytest.param(
            "9:cpu,memory:/docker/of/the/host\n",
            {"memory/memory.limit_in_bytes": f"{GIB}\n", "memory/memory.usage_in_bytes": "0\n"},
            [GIB],
            id="version 1, in a container that sees its own root",
        ),
        pytest.param(
            "0::/gone/../..\n",
            {"memory.max": "nonsense", "memory.current": "1"},
            [],
            id="no number",
        ),
        pytest.param("", {}, [], id="none"),
        pytest.param("0::/job\n\n:\nmemory\n", {}, [], id="torn"),
    ],
)
def test_what_a_control_group_has_left(
    tmp_path: Path, lines: str, files: dict[str, str], left: list[int]
) -> None:
    assert group_free_bytes(*groups(tmp_path, lines, files)) == left


def test_available_is_what_the_process_has_and_the_least_that_is_left(tmp_path: Path) -> None:
    nowhere = (tmp_path / "no file", tmp_path)
    unlimited = available_bytes(*nowhere)
    assert unlimited is not None
    assert 0 < unlimited < 1.1 * psutil.virtual_memory().total

    limits = {"memory.max": "1000000", "memory.current": "0"}
    own = psutil.Process().memory_info().rss
    available = available_bytes(*groups(tmp_path, "0::/\n", limits))
    assert available == pytest.approx(own + 1_000_000, rel=0.1)


def test_too_little_memory_is_said_with_numbers_and_what_would_lower_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = experiment("model.width=1", "data.image_size=224", "training.batch_size=64")
    small = experiment("model.width=0.0625", config="sgd")
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * 10**9)

    (said,) = memory.notices([(large, "float32"), (small, "float32"), (large, "float32")])
    assert said.startswith("adam_vgg19 may need ")
    assert "3.0 GB are free" in said
    for words in ("training.batch_size, now 64", "soft_batch", "data.image_size, now 224",
                  "model.width, now 1"):  # fmt: skip
        assert words in said

    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    assert memory.notices([(large, "float32")]) == []


def test_dry_run_says_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * 10**9)
    said = memory.described(experiment("training.precision=auto"))
    assert said.startswith("about ")
    assert said.endswith("on the processor, 3.0 GB free")


def failing_in_a_batch() -> None:
    def choose(_: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
        raise MemoryError("Unable to allocate 8.00 GiB for an array with shape (1073741824,)")

    numbers = tf.data.Dataset.range(1)
    next(iter(numbers.map(lambda n: tf.numpy_function(choose, [n], tf.float32))))


def failing_in_tensorflow() -> None:
    # More than any machine's address space.
    tf.zeros((2**17, 2**20, 2**10))


def failing_in_numpy() -> None:
    np.zeros(2**57)


@pytest.mark.parametrize(
    "fails", [failing_in_a_batch, failing_in_tensorflow, failing_in_numpy], ids=lambda f: f.__name__
)
def test_a_failed_allocation_is_known_wherever_it_is_raised(fails: Callable[[], None]) -> None:
    settings = experiment("training.batch_size=48", "data.image_size=96")
    with pytest.raises((MemoryError, tf.errors.OpError)) as raised:
        fails()
    assert memory.is_failed_allocation(raised.value)
    said = memory.why_it_failed(raised.value, settings)
    for words in ("48 photos", "96 x 96 px", "soft_batch", "training.batch_size", "allocat"):
        assert words in said
    assert "\n" not in said


def test_other_errors_are_no_failed_allocation() -> None:
    for error in (
        ValueError("MemoryError: of another kind"),
        OSError(28, "No space left on device"),
        tf.errors.InvalidArgumentError(None, None, "shapes differ"),
    ):
        assert not memory.is_failed_allocation(error)


# A hidden layer of 3.8 GB in a process that may address 2 GB more than it does when the training
# begins: neither is ever touched.
RUN_WITHOUT_MEMORY = """
import resource, sys
import psutil
from optrun.runner import cli
from optrun.runner.engine import loop
from optrun.runner.plan import memory
from optrun.runner.plan import forecast
memory.available_bytes = lambda: 2 * 10**9
forecast.free_bytes = lambda folder: None
train = loop.train
from optrun.runner.plan import run
def train_with_little(*arguments, **more):
    limit = psutil.Process().memory_info().vms + 2 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return train(*arguments, **more)
run.train = train_with_little
cli.main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to RLIMIT_AS")
def test_a_run_without_the_memory_it_needs_fails_with_what_would_need_less(
    tmp_path: Path, photo_cache: Path
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", RUN_WITHOUT_MEMORY, "train"),
            *(ROOT / "configs" / "adam_vgg19.yaml", "--sample", "--results", tmp_path),
            *(
                "--set",
                "data.image_size=32",
                "--set",
                "data.limit=40",
                "--set",
                "model.width=0.0625",
            ),
            *("--set", "model.head.pooling=flatten", "--set", "training.batch_size=12"),
            *("--set", "model.head.hidden_units=[30000000]", "--device", "cpu"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    # An estimate refuses nothing.
    assert "note: adam_vgg19 may need" in done.stdout
    assert "2.0 GB are free" in done.stdout
    (path,) = tmp_path.glob("*/run.json")
    recorded = json.loads(path.read_text())
    assert recorded["state"] == "failed"
    for words in ("12 photos", "32 x 32 px", "soft_batch", "OOM when allocating"):
        assert words in recorded["why"]
        assert words in done.stdout


@pytest.mark.slow
def test_the_estimate_is_near_what_a_run_takes() -> None:
    benchmark = ROOT / "benchmarks" / "memory.py"
    done = subprocess.run(
        [sys.executable, benchmark, "tiny", "adam-64px-8"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
