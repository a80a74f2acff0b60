"""Whatever stands in a configuration file or after `--set`: a message, or an experiment.

Every example is a shipped configuration, damaged: bytes, lines, words or its tree. It is refused
with printable lines that name the place, or it is an experiment that can be written out and read
again; within a second of the processor and little memory either way.

$OPTRUN_MUTATIONS says how many examples there are, some 60 without it.
"""

import copy
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optrun.runner.config.documentation import fields
from optrun.runner.config.identity import experiment_hash
from optrun.runner.config.load import load
from optrun.runner.config.origins import show
from optrun.runner.config.problems import ConfigurationError, dotted
from optrun.runner.config.schema import as_yaml
from optrun.runner.config.strict_yaml import MAX_BYTES, MAX_VALUES

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = {path.name: path.read_bytes() for path in sorted(CONFIGS.glob("*.yaml"))}

SECONDS = 1.0  # of the processor, for reading one configuration
MEBIBYTES = 48  # above what the process held before
LONGEST_REFUSAL = 51 * 2_200  # characters: fifty problems and a count

examples = int(os.environ.get("OPTRUN_MUTATIONS", "60"))


def some(share: float) -> Callable[[Any], Any]:
    """The settings of a test that has this share of all examples."""
    return settings(
        max_examples=max(1, math.ceil(share * examples)),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        database=None,
    )


# What can stand in the place of a value or a word.
WORDS = [
    "1e-3", "1e999", "-1e999", ".nan", ".inf", "-.inf", "NaN", "0", "-0", "-1", "0.1", "1" * 400,
    "9" * 5000, "1e400", "0x" + "f" * 300, "0o777", "99999999999999999999", "true", "null", "~",
    '"3"', "'1e-3'", "[1, 2]", "[]", "{}", "{a: b}", "{name: adam}", "{schedule: cosine}", "*a",
    "&a 1", "&a", "!!int 3", "!!python/object/apply:os.system [id]", "!x", "<<", "? a", ": b", "|",
    ">", ">-2", "%YAML 1.1", "---", "...", "é", "名前", "\u202e", "\u2028", "\x85", "\xa0",
    "\ufeff", "\U0001f600", "\x00", "\x1b[2J", "\x7f", '"\\x1b[31m"', '"\\ud800"', '"\\0"',
    '"\\u202e"',
    '"a\\nb"', '"\\UFFFFFFFF"', "#", "'", '"', "x" * 3000, "[" * 40, "{a: " * 40, "- " * 40,
    "lookahead", "soft_batch", "heun", "sgd", "mine.py:Mine", "a.b:C", ":", "../x", "~",
    "~nobody/x", "/dev/zero", "sample", "imagnet", "x/" * 2000 + "imagnet", "name",
    "optimizer", "extends", "inner_optimizer", "learning_rate", "Learning_Rate", "training", "data",
    "model",
]  # fmt: skip

SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 3, 2**31, 2**31 - 1, 2**63, 10**30, 10**400, 0.0, -0.0, 1e-3, 0.5,
    1e308, 5e-324, math.inf, -math.inf, math.nan, "", " ", "1", "1e-3", "true", "no", "é", "\u202e",
    "two\nlines\n", " x", "x\t", "\u2028", "\x85", "\ufeff", "a: b", "#", "x" * 2000, "imagnet",
    "~", "sgd", "adam", "lookahead", "heun", "radam", "mine.py:Mine", "m:M", "cosine", "sample",
]  # fmt: skip

NAMES = ["sgd", "adam", "heun", "rk45", "ranger", "lookahead", "soft_batch", "m:M", "nonsense"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped files, copied."""
    return Path(shutil.copytree(CONFIGS, tmp_path_factory.mktemp("configurations") / "configs"))


def memory_mib(field: str) -> float:
    """VmRSS or VmHWM, the highest it was; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(rf"{field}:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


def forget_highest_memory() -> None:
    if os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")


def check(file: Path, overrides: Sequence[str] = (), *, sample: bool = False) -> None:
    """Fails where a configuration is neither right nor properly refused."""
    forget_highest_memory()
    held, started = memory_mib("VmRSS"), time.process_time()
    loaded, refused = None, None
    try:
        loaded = load(file, overrides, sample=sample)
    except ConfigurationError as error:
        refused = error
    assert time.process_time() - started < SECONDS
    assert memory_mib("VmHWM") - held < MEBIBYTES
    if loaded is None:
        assert refused is not None
        assert refused.exit_code == 2
        check_refusal(str(refused), file)
        return
    assert json.dumps(loaded.resolved, allow_nan=False)
    if not loaded.experiment.optimizer.user_defined_names:
        assert len(experiment_hash(loaded.experiment)) == 64
    shown = show(loaded)
    assert all(line.isprintable() for line in shown.split("\n"))
    for text in (as_yaml(loaded.experiment), shown):
        again = file.with_name("again.yaml")
        again.write_text(text, encoding="utf-8")
        # As text, which tells 1 from 1.0 and true.
        assert repr(load(again).resolved) == repr(loaded.resolved)


def check_refusal(refusal: str, file: Path) -> None:
    """Printable lines, each with its place: a file with a line that it has, or `--set`."""
    assert 0 < len(refusal) < LONGEST_REFUSAL
    for line in refusal.split("\n"):
        assert line.isprintable()
        placed = re.match(r"(/.*?):(\d+):(\d+): .", line)
        if placed:
            assert int(placed[2]) <= len(Path(placed[1]).read_bytes()) + 1
        else:
            of_all = line.startswith(f"{file}: ") or re.fullmatch("and [0-9,]+ more problems", line)
            assert of_all or line.startswith("--set: "), line


@st.composite
def damaged_bytes(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(list(SHIPPED.values()))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        end = min(len(content), at + draw(st.integers(0, 12)))
        match draw(st.integers(0, 4)):
            case 0:
                content[at:end] = draw(st.binary(max_size=8))
            case 1:
                content[at:end] = b""
            case 2:
                content[at:end] = content[at:end] * draw(st.integers(2, 300))
            case 3:
                del content[at:]
            case _:
                encoding = draw(st.sampled_from(["utf-16", "utf-8-sig", "utf-7", "cp500"]))
                content = bytearray(content.decode("utf-8", "ignore").encode(encoding, "ignore"))
    return bytes(content)


@st.composite
def damaged_lines(draw: st.DrawFn) -> bytes:
    lines = draw(st.sampled_from(list(SHIPPED.values()))).decode().split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        indent = draw(st.sampled_from(["", " ", "  ", "\t", "        ", "- ", "? ", "x" * 60_000]))
        match draw(st.integers(0, 6)):
            case 0:
                lines[at : at + 1] = []
            case 1:
                lines.insert(other, lines[at])
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = indent + lines[at]
            case 4:
                lines[at] = indent + lines[at].lstrip()
            case 5:
                lines.insert(at, indent + draw(st.sampled_from(WORDS)))
            case _:
                lines[at : other + 1] = []
        lines = lines or [""]
    ending = draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n", "\u2028", "\n---\n"]))
    return ending.join(lines).encode()


@st.composite
def damaged_words(draw: st.DrawFn) -> bytes:
    text = draw(st.sampled_from(list(SHIPPED.values()))).decode()
    text = re.sub("(?m)^ *#.*\n", "", text)  # the comments have most of the words
    for _ in range(draw(st.integers(1, 4))):
        words = list(re.finditer(r"[\w.-]+|[:{}\[\],]", text))
        if not words:
            break
        word = draw(st.sampled_from(words))
        new = draw(st.sampled_from([*WORDS, "", word[0] * 2, word[0][1:], word[0].upper()]))
        text = text[: word.start()] + new + text[word.end() :]
    return text.encode("utf-8", "replace")


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every mapping or list in a tree, with each of its keys."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from places(tree[key])


@st.composite
def optimizers(draw: st.DrawFn) -> dict[str, Any]:
    """Specifications, most of them wrong, of wrappers around wrappers."""
    levels = draw(st.integers(0, 22))
    found: Any = {"name": draw(st.sampled_from(NAMES)), "learning_rate": 0.1}
    for _ in range(levels if levels < 4 or draw(st.booleans()) else 1):
        found = {"name": draw(st.sampled_from(NAMES[-4:])), "inner_optimizer": found}
    if draw(st.booleans()):
        schedule = draw(st.sampled_from(["cosine", "linear_warmup", "constant", ""]))
        found["learning_rate"] = {"schedule": schedule, "initial_learning_rate": 0.1}
    return dict(found)


@st.composite
def damaged_trees(draw: st.DrawFn) -> bytes:
    name = draw(st.sampled_from(list(SHIPPED)))
    tree = yaml.safe_load(SHIPPED[name])
    values = (
        st.sampled_from(SCALARS) | st.lists(st.sampled_from(SCALARS), max_size=3) | optimizers()
    )
    for _ in range(draw(st.integers(1, 2))):
        mapping, key = draw(st.sampled_from([*places(tree), (tree, "sample"), (tree, "optimizer")]))
        old = mapping.get(key) if isinstance(mapping, dict) else mapping[key]
        match draw(st.integers(0, 6)):
            case 0 if isinstance(mapping, dict):
                mapping.pop(key, None)
            case 1 if isinstance(mapping, dict) and isinstance(key, str):
                at = draw(st.integers(0, len(key)))
                mapping[key[:at] + draw(st.sampled_from(["", "e", "_", "\t"])) + key[at + 1 :]] = (
                    old
                )
            case 2:
                mapping[key] = copy.deepcopy(draw(st.sampled_from([tree, [old], {key: old}])))
            case 3:
                for _ in range(draw(st.integers(1, 30))):
                    mapping[key] = (
                        {"inner_optimizer": mapping.get(key)}
                        if isinstance(mapping, dict)
                        else [mapping[key]]
                    )
            case 4:
                mapping[key] = draw(optimizers())
            case 5 if isinstance(mapping, dict):
                mapping[draw(st.sampled_from([*WORDS, 1, None, True]))] = old
            case _:
                mapping[key] = draw(values)
    style = draw(st.sampled_from([None, True, False]))
    text: bytes = yaml.safe_dump(
        tree, default_flow_style=style, encoding="utf-8", allow_unicode=True
    )
    return text


def overrides() -> st.SearchStrategy[list[str]]:
    known = [dotted(path) for path, _ in fields()]
    known += ["optimizer.name", "optimizer.learning_rate", "optimizer.inner_optimizer.name"]
    keys = st.sampled_from(known)
    keys |= st.sampled_from(known).map(lambda key: f"sample.{key}")
    keys |= st.sampled_from(["extends", "", ".", "a..b", " x", "\x1b[2J", "\udc80", "k" * 101])
    keys |= st.text(max_size=12)
    keys |= st.integers(15, 60).map(lambda depth: ".".join(["optimizer"] * depth))
    values = st.sampled_from(WORDS) | st.text(max_size=20) | st.just("\udcff")
    one = st.tuples(keys, st.sampled_from(["=", "=", "=", "", "=="]), values).map("".join)
    fine = st.sampled_from(["training.epochs=7", "notes=a: b", "name=é", "optimizer.name=adam"])
    return st.lists(fine | one, min_size=1, max_size=3)


@some(0.2)
@given(content=damaged_bytes(), sample=st.booleans())
def test_damaged_bytes(folder: Path, content: bytes, sample: bool) -> None:
    (folder / "x.yaml").write_bytes(content)
    check(folder / "x.yaml", sample=sample)


@some(0.15)
@given(content=damaged_lines(), sample=st.booleans())
def test_damaged_lines(folder: Path, content: bytes, sample: bool) -> None:
    (folder / "x.yaml").write_bytes(content)
    check(folder / "x.yaml", sample=sample)


@some(0.2)
@given(content=damaged_words(), sample=st.booleans())
def test_damaged_words(folder: Path, content: bytes, sample: bool) -> None:
    (folder / "x.yaml").write_bytes(content)
    check(folder / "x.yaml", sample=sample)


@some(0.2)
@given(content=damaged_trees(), sample=st.booleans())
def test_damaged_trees(folder: Path, content: bytes, sample: bool) -> None:
    (folder / "x.yaml").write_bytes(content)
    check(folder / "x.yaml", sample=sample)


@some(0.15)
@given(
    config=st.sampled_from(sorted(set(SHIPPED) - {"vgg19.yaml"})),
    stated=overrides(),
    sample=st.booleans(),
)
def test_any_overrides(folder: Path, config: str, stated: list[str], sample: bool) -> None:
    check(folder / config, stated, sample=sample)


TARGETS = [
    "a.yaml", "b.yaml", "c.yaml", "./a.yaml", "vgg19.yaml", ".", "..", "/", "missing.yaml", "loop",
    "link.yaml", "pipe", "huge.yaml", "folder", "a.yaml/b.yaml", "~", "~nobody/x", "/dev/zero",
    "/dev/null", "/etc/passwd", "", " ", "two\nlines", "\x00", "\u202e", "x" * 300, "x/" * 3000,
    "é", None, 3, True, [], ["a.yaml"], {"a": "b"}, 1e999,
]  # fmt: skip


@some(0.1)
@given(targets=st.tuples(*[st.sampled_from(TARGETS)] * 3), sample=st.booleans())
def test_any_file_may_be_extended(folder: Path, targets: tuple[Any, ...], sample: bool) -> None:
    here = folder / "extending"
    if not here.exists():
        here.mkdir()
        (here / "folder").mkdir()
        (here / "vgg19.yaml").write_bytes(SHIPPED["vgg19.yaml"])
        (here / "loop").symlink_to("loop")
        (here / "link.yaml").symlink_to("a.yaml")
        os.mkfifo(here / "pipe")
        with (here / "huge.yaml").open("wb") as file:
            file.truncate(2**30)
    for name, target in zip("abc", targets, strict=True):
        tree = {"extends": target, "optimizer": {"name": "sgd", "learning_rate": 0.1}}
        (here / f"{name}.yaml").write_text(yaml.safe_dump(tree))
    check(here / "a.yaml", sample=sample)


RIGHT = "optimizer: {name: sgd, learning_rate: 0.1}\ntraining: {epochs: 1}\n"
WHOLE = MAX_BYTES - 200


@pytest.mark.parametrize(
    "text",
    [
        f"notes: {'x ' * (WHOLE // 2)}\n",
        f'notes: "{chr(10) * WHOLE}"\n',
        f"notes: |\n{'  x' + chr(10) * (WHOLE // 4)}",
        f"notes: |\n{('  x' + chr(10)) * (WHOLE // 4)}",
        f"notes: {'é' * (WHOLE // 2)}\n",
        f"# {'x' * WHOLE}\n",
        f"notes: &{'x' * WHOLE} a\n",
        f"notes: !{'%41' * (WHOLE // 3)} a\n",
        "".join(f"learning_rat{i}: 1\n" for i in range(MAX_VALUES - 20)),
        "model: {head: {hidden_units: [" + "1, " * (MAX_VALUES - 20) + "]}}\n",
        "model: {head: {hidden_units: [" + "1, " * (MAX_VALUES - 200) + "]}}\n",
        "model: {weights: " + "../x/" * (WHOLE // 5) + "imagnet}\n",
        "notes: x\n" * (MAX_VALUES - 20),
        "%TAG !a! b\n" * (WHOLE // 11),
        "sample: " + "{data: " * (WHOLE // 7),
        "x" * 2**20,
        "\n" * 2**20,
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_the_largest_files_take_no_longer(folder: Path, text: str) -> None:
    (folder / "x.yaml").write_text(RIGHT + text, encoding="utf-8")
    check(folder / "x.yaml")


@pytest.mark.parametrize(
    "stated",
    [
        ["notes=" + "x " * (WHOLE // 2)],
        ["a." * (WHOLE // 2) + "b=1"],
        [f"training.learning_rat{i}=1" for i in range(MAX_VALUES - 20)],
        ["optimizer.x=1"] * 100_000,
        ["notes=" + "x" * 2**20],
        ["a.b.c.d.e.f.g.h.i.j=" + "[" * 15 + "]" * 15],
    ],
    ids=lambda stated: stated[0][:24],
)
def test_the_longest_overrides_take_no_longer(folder: Path, stated: list[str]) -> None:
    (folder / "x.yaml").write_text(RIGHT)
    check(folder / "x.yaml", stated)


def test_ten_files_of_the_largest_size_take_no_longer(folder: Path) -> None:
    here = folder / "long chain"
    here.mkdir()
    for number in range(12):
        keys = "".join(f"learning_rat{number}{i}: 1\n" for i in range(MAX_VALUES // 5))
        (here / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n{keys}")
    check(here / "0.yaml")
