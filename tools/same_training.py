"""Do two revisions of this project train the same networks, to the bit?

    python tools/same_training.py REVISION [OTHER] [--keep DIR] [--only NAME]

REVISION and OTHER are what git calls a revision, or folders of working trees; OTHER is by default
the working tree that this file lies in. Each trains every registered optimizer, and some in more
intricate settings, on the built-in sample, in float32, with dropout and augmentation, through the
command line alone: whatever is inside may have been written anew. Compared are, of every run:

- the hashes of experiment, initial weights and first batches in run.json;
- the rows of metrics.jsonl that end epochs: losses, scores, learning rate, counts;
- the weights of the best epoch, in their order, and what the last checkpoint holds (see `_state`);
- all of predictions.npz, logits included, and how the run ended with which result, from run.json.

Clocks and rates are left out, and so are events, fields and predictions that only OTHER has. The
trees share Python, packages, cache of photos and number of threads. Exit codes: 0 all is the same,
1 something differs or can't be trained, 2 a mistake in the command.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
# Of a run: by part, then by label, a value as JSON has it; of an array its digest.
Facts = Mapping[str, Mapping[str, Any]]

# 211 training photos: 14 steps an epoch, the last of them of 3 photos.
SETTINGS = (
    *("data.image_size=32", "data.limit=270", "model.width=0.125", "model.head.hidden_units=[8]"),
    *("data.augmentation.flip=true", "data.augmentation.shift=0.1", "data.augmentation.zoom=0.1"),
    *("data.augmentation.rotation=10", "data.augmentation.brightness=0.1"),
    *("data.augmentation.contrast=0.1", "model.head.dropout=0.5", "training.batch_size=16"),
    "training.precision=float32",
)
THREADS = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}

Settings = dict[str, Any]
SGD: Settings = {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9, "global_clipnorm": 1}
ADAM: Settings = {"name": "adam", "learning_rate": 2e-3}
HEUN: Settings = {"name": "heun", "learning_rate": 0.2, "global_clipnorm": 1}
COSINE = {"schedule": "cosine", "initial_learning_rate": 0.02, "warmup_updates": 10}
STEPS = {"schedule": "step", "initial_learning_rate": 0.02, "decay_updates": 9, "decay_rate": 0.5}
# What a registered optimizer is given beside its name; of those not here, a rate of 0.001.
STATED: dict[str, Settings] = {
    "sgd": SGD,
    "adagrad": {"learning_rate": 0.005},
    "adadelta": {"learning_rate": 0.5},
    "adafactor": {"learning_rate": 1e-3, "epsilon_1": 1e-12},  # 1e-30 divides by 0 here
    "ftrl": {"learning_rate": 0.01},
    "heun": HEUN,
    "rk23": {"learning_rate": 0.2, "global_clipnorm": 1},
    "rk45": {"learning_rate": 0.02, "global_clipnorm": 1},
    "ranger": {"learning_rate": 5e-3},
    "lookahead": {"inner_optimizer": SGD},
    "soft_batch": {"batches_per_update": 4, "inner_optimizer": SGD},
}
CENTRALIZED = {"gradient_centralization": True}
PULLBACK = {"inner_state": "pullback", "sync_period": 3, "slow_step_size": 0.8}
MORE: dict[str, Settings] = {
    "lookahead_adam": {"name": "lookahead", "inner_optimizer": ADAM},
    "lookahead_reset": {"name": "lookahead", "inner_optimizer": ADAM, "inner_state": "reset"},
    "lookahead_pullback": {"name": "lookahead", "inner_optimizer": SGD, **PULLBACK},
    "lookahead_heun": {"name": "lookahead", "inner_optimizer": HEUN | CENTRALIZED},
    "soft_batch_of_3": {"name": "soft_batch", "batches_per_update": 3, "inner_optimizer": SGD},
    "soft_batch_carry": {
        **{"name": "soft_batch", "batches_per_update": 3, "tail": "carry"},
        "inner_optimizer": {"name": "lookahead", "sync_period": 2, "inner_optimizer": ADAM},
    },
    "centralized_adamw": ADAM | CENTRALIZED | {"name": "adamw", "weight_decay": 0.01},
    "warmup_nesterov": SGD | {"learning_rate": COSINE, "nesterov": True, "weight_decay": 1e-3},
    "stepwise_radam": {"name": "radam", "learning_rate": STEPS, "unadapted_steps": "skip"},
    "early_stopping": SGD | {"learning_rate": 0.1},
}
# These train all layers; the others the upper ones alone, which is half the time.
WHOLE = ("sgd", "lookahead", "soft_batch", "heun", "ranger", "muon")
UPPER = {"trainable": "block5"}
EPOCHS = {"epochs": 3}
EARLY = {"epochs": 5, "early_stopping_patience": 1}
# Run in either tree; refuses to answer for another one, which an installed optrun might be.
OPTRUN = """
import pathlib, sys
from {package} import cli
if not pathlib.Path(cli.__file__).resolve().is_relative_to(pathlib.Path(sys.argv.pop(1)).resolve()):
    sys.exit(f"imported from {{cli.__file__}}")
cli.main()
"""


def main() -> None:
    """Compare two revisions; says what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("revision", type=_tree_or_commit, metavar="REVISION", help="what was")
    parser.add_argument(
        "other", type=_tree_or_commit, nargs="?", default=ROOT, metavar="OTHER", help="what is now"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what a commit's runs gave")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this experiment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="same-training-") as scratch:
        before, after = (
            _facts_of_all(tree, Path(scratch), options.keep, options.only)
            for tree in (options.revision, options.other)
        )
    if not before | after:
        parser.error(f"no experiment is called {' or '.join(options.only)}")
    different = 0
    for name in before | after:
        found = differences(before.get(name, {}), after.get(name, {}))
        different += bool(found)
        print(f"{name:18}  {'DIFFERS  ' + '; '.join(found) if found else 'same'}")
    print(f"{len(before | after)} experiments, {different} of them different")
    sys.exit(bool(different))


def differences(facts: Facts, others: Facts) -> list[str]:
    """In what a run differs from its twin in the other revision, a line for each part.

    Example:
        >>> differences({"result": {"epochs": 3}}, {"result": {"epochs": 2, "new": 1}})
        ['result: epochs 3 against 2']
    """
    if not facts or not others:
        return [f"only in the {'first' if facts else 'second'}"]
    told = []
    for part, values in facts.items():
        theirs = others.get(part, {})
        labels = [one for one in values if not _is_same(values[one], theirs.get(one), one)]
        if labels:
            pairs = [
                f"{one} {_shown(values[one])} against {_shown(theirs.get(one))}" for one in labels
            ]
            told.append(f"{part}: {', '.join(pairs)}")
        elif not any(values.values()):
            told.append(f"{part}: there is nothing to compare")
    return told


def _is_same(value: Any, other: Any, label: str) -> bool:
    """Whether two values are the same in every bit; of lists of digests, as `_state` explains.

    An area under the ROC curve is a fraction of whole numbers that revisions sum up in another
    order: of those the last bits may differ.
    """
    if label.endswith("roc_auc") and isinstance(value, float) and isinstance(other, float):
        return abs(value - other) < 1e-15
    if not isinstance(value, list) or not isinstance(other, list):
        return repr(value) == repr(other)
    fewer, more = sorted((Counter(value), Counter(other)), key=Counter.total)
    return fewer <= more if label == "scalars" else fewer == more


def _shown(value: Any) -> str:
    return f"({len(value)} of them)" if isinstance(value, list) else str(value)


def _tree_or_commit(name: str) -> Path | str:
    """The folder of a working tree, or a commit's full hash."""
    if (Path(name) / "configs" / "vgg19.yaml").is_file():
        return Path(name).resolve()
    asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    answer = subprocess.run(["git", "-C", str(ROOT), *asked], capture_output=True, text=True)
    if answer.returncode:
        message = f"must be a revision or the folder of a working tree, received {name!r}"
        raise argparse.ArgumentTypeError(message)
    return answer.stdout.strip()


def _facts_of_all(
    tree: Path | str, scratch: Path, keep: Path | None, only: Sequence[str] | None
) -> dict[str, Facts]:
    """By experiment what its run gave; of a commit, kept where there is a folder for that."""
    kept = None if keep is None or isinstance(tree, Path) else keep / f"{tree}-{_circumstances()}"
    if kept is not None and kept.is_file():
        print(f"{tree}: kept in {kept}", flush=True)
        facts = json.loads(kept.read_text())
        return {name: facts[name] for name in facts if only is None or name in only}
    started = time.monotonic()
    with _checked_out(tree, scratch) as folder:
        found = _train(folder, Path(tempfile.mkdtemp(dir=scratch)), only)
    print(f"{tree}: {len(found)} trained in {time.monotonic() - started:.0f} s", flush=True)
    if kept is not None and only is None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found, indent=1))
    return found


def _circumstances() -> str:
    """A digest of all beside the revision that decides on the bits."""
    packages = [version(name) for name in ("tensorflow", "keras", "numpy", "pillow")]
    cpu = Path("/proc/cpuinfo")
    flags = [line for line in cpu.read_text().splitlines() if line.startswith("flags")][:1]
    constants = (SETTINGS, THREADS, STATED, MORE, WHOLE, UPPER, EPOCHS, EARLY)
    everything = [sys.version, packages, flags if cpu.is_file() else [], constants]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:8] + ".json"


@contextmanager
def _checked_out(tree: Path | str, scratch: Path) -> Iterator[Path]:
    """A folder with the files of a commit; that of a working tree as it is."""
    if isinstance(tree, Path):
        yield tree
        return
    folder = scratch / tree
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), tree], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def _train(tree: Path, scratch: Path, only: Sequence[str] | None) -> dict[str, Facts]:
    """Train a tree's experiments, all in one process."""
    names = [
        one["name"] for one in json.loads(_optrun(tree, scratch, "optimizers", "--format", "json"))
    ]
    registered = {
        name: {"name": name, **STATED.get(name, {"learning_rate": 1e-3})} for name in names
    }
    configs = []
    for name, optimizer in {**registered, **MORE}.items():
        if only is None or name in only:
            content = {
                "extends": str(tree / "configs" / "vgg19.yaml"),
                "optimizer": optimizer,
                "model": {} if name in WHOLE else UPPER,
                "sample": {"training": EARLY if name == "early_stopping" else EPOCHS},
            }
            configs.append(scratch / f"{name}.yaml")
            configs[-1].write_text(json.dumps(content))  # JSON is YAML
    if not configs:
        return {}
    settings = [*SETTINGS]
    # Trees of before this key keep it always.
    if "keep_last_checkpoint" in (tree / "configs" / "vgg19.yaml").read_text():
        settings.append("training.keep_last_checkpoint=true")
    sets = [part for setting in settings for part in ("--set", setting)]
    where = ("--sample", "--device", "cpu", "--seed", "1", "--quiet", "--results", "results")
    _optrun(tree, scratch, "train", *configs, *where, *sets)
    runs = {run.name.split("-")[1]: _facts(run) for run in (scratch / "results").iterdir()}
    return {config.stem: runs[config.stem] for config in configs if config.stem in runs}


def _optrun(tree: Path, scratch: Path, *arguments: str | Path) -> str:
    """What a tree's command line prints; ends this program where it prints nothing."""
    links = tree / "tools" / "optrun"
    package, path = ("optrun.runner", links.parent) if links.exists() else ("runner", tree)
    places = {"PYTHONPATH": str(path), "OPTRUN_CACHE": str(scratch.parent / "cache")}
    quiet = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    answer = subprocess.run(
        [sys.executable, "-P", "-c", OPTRUN.format(package=package), tree, *arguments],
        cwd=scratch,
        env={**os.environ, **THREADS, **places, **quiet},
        capture_output=True,
        text=True,
    )
    if answer.returncode not in (0, 3):  # 3: one diverged
        print(answer.stderr[-3000:], file=sys.stderr)
        if not answer.stdout:
            sys.exit(f"{tree} can't be trained")
    return answer.stdout


def _facts(run: Path) -> Facts:
    """All of a run that is compared."""
    recorded = json.loads((run / "run.json").read_text())
    provenance = recorded["provenance"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    predictions = _digests(run / "predictions.npz")
    return {
        "start": {
            "experiment": recorded["experiment"],
            **{name: provenance.get(name) for name in ("initial_weights", "first_batches")},
        },
        "epochs": {
            f"{row['epoch']}, {label}": value
            for row in rows
            if row["event"] == "epoch"
            for label, value in _without_clocks(row).items()
        },
        "best weights": _digests(run / "checkpoint" / "best" / "weights.npz", by_order=True),
        "last checkpoint": _state(run / "checkpoint" / "last" / "weights.npz", predictions),
        "predictions": predictions,
        "result": {"state": recorded["state"], **_without_clocks(recorded["result"] or {})},
    }


def _state(file: Path, predictions: Mapping[str, str]) -> dict[str, list[str]]:
    """The digests of a last checkpoint's arrays, sorted: names and order may change.

    Those of one axis or more are the weights, what the optimizer keeps for each, and the seeds of
    dropout: both revisions must have the same, each as often. The scalars are counters, a rate, and
    the running means of loss and accuracy, which a revision need not save: of the revision with
    fewer, each must be among the other's. The best epoch's logits are compared as predictions.
    """
    arrays = [one for one in _digests(file).values() if one not in predictions.values()]
    return {
        "arrays": sorted(one for one in arrays if not one.startswith("[]")),
        "scalars": sorted(one for one in arrays if one.startswith("[]")),
    }


def _digests(file: Path, *, by_order: bool = False) -> dict[str, str]:
    """By an array's name or place its shape, dtype and hash; empty where there is no file."""
    if not file.is_file():
        return {}
    with np.load(file, allow_pickle=False) as archive:
        arrays: dict[str, npt.NDArray[Any]] = {name: archive[name] for name in archive.files}
    return {
        str(place) if by_order else name: f"{list(array.shape)} {array.dtype} "
        + hashlib.sha256(array.tobytes()).hexdigest()[:16]
        for place, (name, array) in enumerate(arrays.items())
    }


def _without_clocks(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "time" and "second" not in name}


if __name__ == "__main__":
    main()
