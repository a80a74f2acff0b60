"""The files in configs/: right, commented, and different in the optimizer alone."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from optrun.optimizers import registry
from optrun.runner.config.documentation import expected, fields, is_section
from optrun.runner.config.load import Loaded, load
from optrun.runner.config.problems import Path as Keys
from optrun.runner.config.problems import received
from optrun.runner.config.strict_yaml import Node, dump_on_one_line, parse
from pydantic.fields import FieldInfo

CONFIGS = Path(__file__).parents[2] / "configs"
BASE = CONFIGS / "vgg19.yaml"
FILES = sorted(CONFIGS.glob("*.yaml"))
EXPERIMENTS = [file for file in FILES if file != BASE]
# Read off the issue, not off the files.
NAMES = {
    "sgd",
    "adam",
    "lookahead",
    "soft_batch",
    "heun",
    "sgd_batch64",
    "rk23",
    "rk45",
    "ranger",
    "radam",
    "adagrad",
    "nesterov",
    "lookahead_adam",
}


def documented(path: Keys) -> str:
    """What the base file says of a key: meaning, unit or type, default."""
    field = dict(fields())[path]
    if is_section(field) or path == ("optimizer",) or path == ("sample",):
        return f"{field.description}."
    return f"{field.description} ({expected(field)}; {default(field)})."


def default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, Mapping) and "default" in extra:
        return f"default {extra['default']}"
    if field.is_required():
        return "must be stated"
    value = field.get_default()
    if value == ():
        return "default []"
    return f"default {value if isinstance(value, str) and value else received(value)}"


def by_name(path: Path) -> str:
    return path.stem


def tree(file: Path) -> Node:
    node, problems = parse(file.read_text(encoding="utf-8"), file.name)
    assert problems == []
    return node


def keys(node: Node, path: Keys = ()) -> Iterator[tuple[Keys, Node]]:
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield (*path, key), child
            yield from keys(child, (*path, key))


def comment_of(file: Path, node: Node) -> str:
    """What is said about a key: behind it, and in the lines above it."""
    lines = file.read_text(encoding="utf-8").splitlines()
    here = node.key_place.line - 1
    above: list[str] = []
    while here - len(above) > 0 and lines[here - len(above) - 1].lstrip().startswith("#"):
        above.insert(0, lines[here - len(above) - 1].strip().removeprefix("#").strip())
    behind = re.search(r"\s#\s(.*)", lines[here])
    return " ".join([*above, *([behind[1]] if behind else [])])


def test_the_experiments_of_the_issue_are_there() -> None:
    names = {f"{name}_vgg19" for name in NAMES} | {"resnet50_lookahead"}
    assert {file.stem for file in EXPERIMENTS} == names


@pytest.mark.parametrize("sample", [False, True], ids=["photos", "sample"])
@pytest.mark.parametrize("file", EXPERIMENTS, ids=by_name)
def test_each_is_right(file: Path, sample: bool) -> None:
    assert load(file, sample=sample).experiment.name == file.stem


@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_every_key_has_a_comment(file: Path) -> None:
    silent = [
        ".".join(path)
        for path, node in keys(tree(file))
        if not comment_of(file, node) and not isinstance(node.value, dict)
    ]
    assert silent == []


def test_the_base_documents_every_key_of_the_schema_in_the_schema_s_words() -> None:
    text = re.sub(r"\s*\n\s*#?\s*", " ", BASE.read_text(encoding="utf-8"))
    missing = [".".join(path) for path, _ in fields() if documented(path) not in text]
    assert missing == []


def test_each_comment_of_the_base_stands_at_its_key() -> None:
    root = tree(BASE)
    for path, _ in fields():
        node = root.at(path)
        if node is not None:
            assert comment_of(BASE, node).startswith(documented(path))


def test_the_base_states_every_key_that_is_not_an_experiment_s_own() -> None:
    root = tree(BASE)
    own = {("name",), ("notes",), ("optimizer",)}
    assert {path for path, _ in fields() if root.at(path) is None} == own


def test_the_base_differs_from_the_defaults_only_where_it_must() -> None:
    root = tree(BASE)
    different = {
        path
        for path, field in fields()
        if (node := root.at(path)) is not None
        and not is_section(field)
        and path != ("sample",)
        and (field.is_required() or node.plain() not in (field.get_default(), []))
    }
    assert different == {("data", "when_unavailable"), ("training", "epochs")}


@pytest.mark.parametrize("file", EXPERIMENTS, ids=by_name)
def test_the_optimizer_s_comments_state_its_true_defaults(file: Path) -> None:
    root = tree(file)
    optimizer = load(file).resolved["optimizer"]
    for path, node in keys(root):
        if "optimizer" not in path or isinstance(node.value, dict) or path[-1] == "name":
            continue
        if "learning_rate" in path[:-1]:  # a schedule's keys are no arguments of the optimizer
            continue
        inside = path[path.index("optimizer") + 1 :]
        owner = optimizer
        for key in inside[:-1]:
            owner = owner[key]
        argument = registry.ENTRIES[owner["name"]].argument(inside[-1])
        assert argument is not None
        said = comment_of(file, node)
        if argument.required:
            assert "sample" in path or "must be stated" in said
        elif "sample" not in path or "default" in said:
            assert re.search(rf"default {re.escape(dump_on_one_line(argument.default))}\b", said)


def without(loaded: Loaded, *left_out: str) -> dict[str, object]:
    return {key: value for key, value in loaded.resolved.items() if key not in left_out}


@pytest.mark.parametrize("sample", [False, True], ids=["photos", "sample"])
def test_they_differ_in_the_optimizer_alone(sample: bool) -> None:
    rest = [
        without(load(file, sample=sample), "name", "optimizer", "sample")
        for file in EXPERIMENTS
        if file.stem not in ("sgd_batch64_vgg19", "resnet50_lookahead")
    ]
    assert all(one == rest[0] for one in rest)


@pytest.mark.parametrize("sample", [False, True], ids=["photos", "sample"])
def test_the_twin_of_the_soft_batch_differs_in_the_batch_alone(sample: bool) -> None:
    soft = load(CONFIGS / "soft_batch_vgg19.yaml", sample=sample).experiment
    twin = load(CONFIGS / "sgd_batch64_vgg19.yaml", sample=sample).experiment
    assert twin.optimizer == soft.optimizer.inner
    assert twin.training.batch_size == soft.optimizer.batches_per_update * soft.training.batch_size
    same = {"batch_size": soft.training.batch_size}
    assert twin.training.model_copy(update=same) == soft.training
    assert (twin.data, twin.model) == (soft.data, soft.model)


@pytest.mark.parametrize("sample", [False, True], ids=["photos", "sample"])
def test_the_other_network_differs_in_the_model_and_the_rate_alone(sample: bool) -> None:
    one, other = (
        load(CONFIGS / f"{name}.yaml", sample=sample).experiment
        for name in ("resnet50_lookahead", "lookahead_vgg19")
    )
    assert one.model.network == ("resnet_small" if sample else "resnet50")
    assert (one.data, one.training) == (other.data, other.training)
    assert one.optimizer.description.startswith("Lookahead(SGD ")


def test_lookahead_is_the_article_s() -> None:
    optimizer = load(CONFIGS / "lookahead_vgg19.yaml").experiment.optimizer
    assert optimizer.description == "Lookahead(SGD 1e-4, momentum 0.9), sync 5, slow 0.5"


@pytest.mark.parametrize("file", EXPERIMENTS, ids=by_name)
def test_all_of_a_pretrained_vgg19_is_retrained_and_the_sample_may_stand_in(file: Path) -> None:
    experiment = load(file).experiment
    assert (experiment.model.weights, experiment.model.trainable) == ("imagenet", "all")
    assert (experiment.data.source, experiment.data.when_unavailable) == ("cats_vs_dogs", "sample")


@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_lines_fit_on_a_screen(file: Path) -> None:
    assert max(len(line) for line in file.read_text(encoding="utf-8").splitlines()) <= 100
