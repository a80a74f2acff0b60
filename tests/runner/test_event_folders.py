"""`optrun judge FOLDER`: TensorBoard's event files, as TensorFlow's own writers write them."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from optrun.runner.untrusted import DamageError
from optrun.runner.verdict.event_files import last_scalars

Optrun = Callable[..., tuple[int, str, str]]
Scalars = Sequence[tuple[int, Mapping[str, float]]]  # by step

# No float32 is one of these: what is read is the decimal that a person would have written.
ADAM = {1: 0.9101, 2: 0.9203, 3: 0.9302, 4: 0.9405, 5: 0.9307, 6: 0.9502}
SGD = {1: 0.9001, 2: 0.9012, 3: 0.9024, 4: 0.9033, 5: 0.9046, 6: 0.9052}


def written(folder: Path, scalars: Scalars, form: str = "tensor", *, file: int = 1) -> Path:
    """An event file by TensorFlow's writer of records and its own messages."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events.out.tfevents.170000000{file}.host.1.0.v2"
    with tf.io.TFRecordWriter(str(path)) as writer:
        first = event_pb2.Event(wall_time=100.0 * file, file_version="brain.Event:2")
        writer.write(first.SerializeToString())
        for number, (step, values) in enumerate(scalars):
            event = event_pb2.Event(wall_time=100.0 * file + number, step=step)
            for tag, value in values.items():
                one = event.summary.value.add(tag=tag)
                if form == "simple":
                    one.simple_value = value
                else:
                    one.metadata.plugin_data.plugin_name = "scalars"
                    kind = tf.float64 if form == "double" else tf.float32
                    one.tensor.CopyFrom(tf.make_tensor_proto(value, kind))
            writer.write(event.SerializeToString())
    return path


def runs(place: Path, tag: str = "accuracy", form: str = "tensor") -> None:
    for name, values in (("adam", ADAM), ("sgd", SGD)):
        for seed, value in values.items():
            written(place / f"{name}-s{seed}", [(0, {tag: 0.5}), (9, {tag: value})], form)


@pytest.mark.parametrize("form", ["simple", "tensor", "double"])
def test_the_verdict_is_that_of_the_same_numbers_in_a_csv(
    optrun: Optrun, tmp_path: Path, form: str
) -> None:
    runs(tmp_path / "runs", form=form)
    table = tmp_path / "numbers.csv"
    lines = [f"{name},{seed},{value!r}\n" for name, values in (("adam", ADAM), ("sgd", SGD))
             for seed, value in values.items()]  # fmt: skip
    table.write_text("experiment,seed,accuracy\n" + "".join(lines))
    answers = []
    for path in (tmp_path / "runs", table):
        code, out, err = optrun("judge", path, "--format", "json")
        assert (code, err) == (0, "")
        answers.append(json.loads(out))
    assert answers[0].pop("notes")[0] == "Each value is that of its run's last step, 9."
    answers[1].pop("notes")
    assert answers[0] == answers[1]
    out = optrun("judge", tmp_path / "runs")[1]
    assert out.startswith("adam is better than sgd: +0.028 accuracy [+0.0")


def test_what_tensorflows_own_writers_write_is_read_as_tensorflow_reads_it(tmp_path: Path) -> None:
    import tensorflow as tf
    from tensorflow.core.framework import summary_pb2

    values = [0.1, 1 / 3, -2.5e-8, 7e30]
    metadata = summary_pb2.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    writer = tf.summary.create_file_writer(str(tmp_path / "new"))
    with writer.as_default():
        for step, value in enumerate(values):
            data = metadata.SerializeToString()
            tf.summary.write(f"x{step}", tf.constant(value), step=step, metadata=data)
        tf.summary.write("image", tf.zeros((2, 2)), step=1)
        tf.summary.write("text", tf.constant("words"), step=1)
    writer.close()
    with tf.Graph().as_default():
        old = tf.compat.v1.summary.FileWriter(str(tmp_path / "old"))
        for step, value in enumerate(values):
            one = tf.compat.v1.Summary.Value(tag=f"x{step}", simple_value=value)
            old.add_summary(tf.compat.v1.Summary(value=[one]), step)
        old.close()
    for name in ("new", "old"):
        found = last_scalars(sorted((tmp_path / name).iterdir()))
        told = [tf.constant(found[f"x{step}"].value) for step in range(len(values))]
        assert [float(one) for one in told] == [float(tf.constant(one)) for one in values]
        assert [one.step for one in found.values()] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "name", ["{}-s{}", "{}_s{}", "{}/s{}", "{}-seed{}", "{}_seed_{}", "{}.S{}"]
)
def test_a_run_is_called_by_experiment_and_seed(optrun: Optrun, tmp_path: Path, name: str) -> None:
    for experiment in ("adam", "sgd"):
        for seed in (1, 2):
            written(tmp_path / name.format(experiment, seed), [(1, {"loss": seed})])
    code, out, _ = optrun("judge", tmp_path, "--format", "json")
    assert code == 0
    values = {"1": 1.0, "2": 2.0}
    found = {one["name"]: one["values"] for one in json.loads(out)["experiments"]}
    assert found == {"adam": values, "sgd": values}


def test_folders_below_a_run_are_part_of_a_scalars_name(optrun: Optrun, tmp_path: Path) -> None:
    for name, values in (("adam", ADAM), ("sgd", SGD)):
        for seed, value in values.items():
            for part in ("train", "validation"):
                shown = value if part == "validation" else 1.0
                scalars = {"epoch_accuracy": shown, "epoch_loss": 0.5}
                written(tmp_path / f"{name}-s{seed}" / part, [(3, scalars)])
    code, out, _ = optrun("judge", tmp_path, "--metric", "validation/epoch_accuracy")
    assert code == 0
    assert out.startswith("adam is better than sgd: +0.028 validation/epoch_accuracy [")
    code, _, err = optrun("judge", tmp_path, "--metric", "epoch_accuracy")
    assert code == 2
    assert "received: epoch_accuracy. Did you mean train/epoch_accuracy? There are: train/" in err
    code, _, err = optrun("judge", tmp_path)
    assert code == 2
    assert "--metric must name one of the scalars in" in err
    assert "There are: train/epoch_accuracy, train/epoch_loss, validation/epoch_acc" in err


def test_the_last_step_counts_and_runs_that_end_elsewhere_are_told(
    optrun: Optrun, tmp_path: Path
) -> None:
    runs(tmp_path)
    # Interrupted after step 4, gone on with from step 3: what was written later of a step counts.
    folder = tmp_path / "adam-s1"
    written(folder, [(3, {"accuracy": 0.1}), (4, {"accuracy": 0.2})])
    written(folder, [(4, {"accuracy": 0.25}), (9, {"accuracy": 0.75})], file=2)
    written(tmp_path / "adam-s2", [(0, {"accuracy": 0.5}), (4, {"accuracy": 0.625})])
    # Another run, shorter, into the folder of one that was over.
    written(tmp_path / "adam-s3", [(5, {"accuracy": 0.375})], file=2)
    code, out, _ = optrun("judge", tmp_path, "--format", "json")
    assert code == 0
    found = json.loads(out)
    adam = next(one for one in found["experiments"] if one["name"] == "adam")
    assert (adam["values"]["1"], adam["values"]["2"]) == (0.75, 0.625)
    assert adam["values"]["3"] == ADAM[3]
    assert found["notes"][:2] == [
        "Each value is that of its run's last step, 9, but of adam-s2 4.",
        "adam-s3 was written after its last step, 9, up to step 5: two runs in one folder?",
    ]


def test_a_record_cut_off_by_a_kill_is_none_and_a_damaged_one_is_told(
    optrun: Optrun, tmp_path: Path
) -> None:
    runs(tmp_path)
    path = next((tmp_path / "adam-s1").iterdir())
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    code, out, _ = optrun("judge", tmp_path)
    assert code == 0
    assert "last step, 9, but of adam-s1 0." in " ".join(out.split())
    path.write_bytes(content[:-10] + b"xxx" + content[-7:])
    code, out, err = optrun("judge", tmp_path)
    assert (code, out) == (2, "")
    assert "adam-s1: events.out.tfevents.1700000001.host.1.0.v2 is damaged. Take it away" in err


def test_no_damage_gives_another_number(tmp_path: Path) -> None:
    path = written(tmp_path, [(1, {"a": 0.5}), (2, {"a": 0.25, "b": -1.0})])
    content = path.read_bytes()
    whole = last_scalars([path])
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :])
        with pytest.raises(DamageError):
            last_scalars([path])
    path.write_bytes(content)
    assert last_scalars([path]) == whole


def test_a_value_that_is_not_finite_is_told_and_so_is_a_run_without_the_scalar(
    optrun: Optrun, tmp_path: Path
) -> None:
    runs(tmp_path)
    written(tmp_path / "adam-s3", [(1, {"accuracy": 0.5}), (9, {"accuracy": math.nan})])
    written(tmp_path / "sgd-s5", [(9, {"loss": 0.5})])
    code, out, _ = optrun("judge", tmp_path, "--metric", "accuracy")
    assert code == 0
    told = " ".join(out.split())
    assert (
        "2 folders have no finite accuracy and have no part in any mean: adam, seed 3 (folder "
        "adam-s3), sgd, seed 5 (folder sgd-s5)." in told
    )
    assert "4 paired seeds can never give p < 0.05" in told


def test_a_table_says_which_run_a_folder_is(optrun: Optrun, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    lines = ["folder,experiment,seed"]
    for number, (name, seed) in enumerate(
        (name, seed) for name in ("adam", "sgd") for seed in "ab"
    ):
        written(tmp_path / "logs" / f"version_{number}" / "train", [(1, {"loss": number})])
        lines.append(f"version_{number}/,{name},{seed}")
    written(tmp_path / "logs" / "old" / "train", [(1, {"loss": 7.0})])
    table.write_text("\n".join(lines))
    arguments = ["judge", tmp_path / "logs", "--runs-from", table]
    code, out, err = optrun(*arguments, "--format", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert {one["name"]: one["values"] for one in found["experiments"]} == {
        "adam": {"a": 0.0, "b": 1.0},
        "sgd": {"a": 2.0, "b": 3.0},
    }
    assert found["notes"][1] == f"Not in {table}, and left out: old/train."
    for line, said in (
        ("version_9,adam,c", "runs.csv:6: must name a folder in"),
        ("version_0,adam,c", "runs.csv:6: the folder version_0 stands there twice"),
        ("old,adam,b", "seed b of adam stands twice, in folders version_1 and old"),
    ):
        table.write_text("\n".join([*lines, line]))
        code, out, err = optrun(*arguments)
        assert (code, out, said in err) == (2, "", True), err
    table.write_text("name,experiment,seed\n")
    assert "must have a column folder (--runs-from" in optrun(*arguments)[2]
    code, _, err = optrun("judge", table, "--runs-from", table)
    assert (code, "--runs-from is for a folder of event files" in err) == (2, True)


def a_doubled_seed(place: Path) -> None:
    runs(place)
    written(place / "adam_s03", [(1, {"accuracy": 0.5})])


def names_without_a_seed(place: Path) -> None:
    runs(place)
    written(place / "version_0" / "validation", [(1, {"accuracy": 0.5})])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Path.mkdir, "runs must hold TensorBoard's event files, a folder for each run"),
        (
            lambda place: (place / "adam-s1").mkdir(parents=True),
            "there are none in it. Runs of optrun are for `optrun compare`",
        ),
        (a_doubled_seed, "seed 3 of adam stands twice, in folders adam-s3 and adam_s03. A seed"),
        (
            names_without_a_seed,
            "must be called by experiment and seed, like adam-s3, received: version_0/validation. "
            "Rename them, or say which they are in a CSV file with the columns folder, experiment "
            "and seed: --runs-from FILE.csv",
        ),
        (lambda place: written(place, [(1, {"loss": 0.5})]), "received: .. Rename them"),
        (lambda place: written(place / "adam-s1", []), "must hold scalars, and hold none"),
        (
            lambda place: written(place / "adam-s1", [(1, {"loss": 0.5})]),
            "two experiments with numbers to compare, received: adam",
        ),
    ],
    ids=["empty", "no events", "doubled", "no seed", "no folders", "no scalars", "one experiment"],
)
def test_what_is_wrong_with_a_folder_is_told_with_what_to_do(
    optrun: Optrun, tmp_path: Path, make: Callable[[Path], Any], said: str
) -> None:
    make(tmp_path / "runs")
    code, out, err = optrun("judge", tmp_path / "runs")
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_links_are_followed_but_not_in_circles(optrun: Optrun, tmp_path: Path) -> None:
    runs(tmp_path / "elsewhere")
    place = tmp_path / "runs"
    place.mkdir()
    for run in (tmp_path / "elsewhere").iterdir():
        (place / run.name).symlink_to(run)
    (place / "circle").symlink_to(place)
    code, out, _ = optrun("judge", place)
    assert code == 0
    assert out.startswith("adam is better than sgd: ")
