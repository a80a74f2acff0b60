"""Run folders from people who mean no good: what can't be read is named, all the rest is shown.

No command that reads runs may write, wait, run what lies there, fill the memory, or let text of
theirs reach a terminal raw.
"""

import copy
import csv
import hashlib
import io
import json
import math
import os
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optrun.runner.commands.compare import compare as compare_command
from optrun.runner.commands.runs import runs as runs_command
from optrun.runner.compare import exports, render
from optrun.runner.compare.comparison import compare
from optrun.runner.compare.judgement import verdict
from optrun.runner.runs import reader as runs
from optrun.runner.runs.event_log import read_events
from optrun.runner.runs.reader import Run, Unreadable
from optrun.runner.untrusted import DamageError, json_object
from optrun.runner.verdict.metrics import BY_KEY, DEFAULT_METRIC

MakeRun = Callable[..., Path]
Content = Callable[..., dict[str, Any]]

EVIL = "a\x1b]0;owned\x07\x1b[2J\u202e\ud800[red]<script>x</script>|`=1+1\nb\r\tc\x85\u2028\x9b5m"
LAYOUTS = ("table", "markdown", "csv", "json")


def printed(*arguments: object) -> str:
    """What `optrun compare` prints; it must succeed."""
    result = CliRunner().invoke(compare_command, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def everything(folder: Path) -> dict[str, tuple[int, int, int, str]]:
    """Mode, size, time and content of all that is in a folder, links as what they say."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file() and status.st_size < 2**24:
            content = path.read_bytes()
        key = path.relative_to(folder)
        digest = hashlib.sha256(content).hexdigest()
        found[str(key)] = (status.st_mode, status.st_size, status.st_mtime_ns, digest)
    return found


def shows_only_printable(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n"))
    text.encode()


@pytest.fixture
def hostile(make_run: MakeRun, tmp_path: Path, run_content: Content) -> Path:
    """A results folder with two honest runs among runs of every kind of trap."""
    results = make_run("honest-one", name="sgd").parent
    make_run("honest-two", name="adam", result={"test_accuracy": 0.75})
    whole = json.dumps(run_content())

    def folder(name: str, run_json: str | bytes | None = whole) -> Path:
        path = results / name
        path.mkdir()
        if run_json is not None:
            content = run_json.encode() if isinstance(run_json, str) else run_json
            (path / "run.json").write_bytes(content)
        return path

    secret = tmp_path / "secret.json"
    secret.write_text('{"password": "hunter2"}')
    for name, target in {
        "passwd": "/etc/passwd",
        "secret": str(secret),
        "device": "/dev/zero",
        "endless": "/proc/self/pagemap",
        "environment": "/proc/self/environ",
        "circle": "run.json",
        "nowhere": "missing",
        "folder": "..",
    }.items():
        (folder(f"link-{name}", None) / "run.json").symlink_to(target)
    (results / "link-run").symlink_to(results / "honest-one")
    (results / "link-up").symlink_to("..")
    (results / "link-root").symlink_to("/")
    os.mkfifo(folder("pipe", None) / "run.json")
    (folder("folder", None) / "run.json").mkdir()
    with (folder("huge", None) / "run.json").open("wb") as file:
        file.truncate(2**30)
    folder("line", b"[" + b"1," * 10**6 + b"1]")
    folder("keys", json.dumps({f"k{i}": i for i in range(150_000)}))
    folder("few-keys", json.dumps({**run_content(), **{f"k{i}": i for i in range(20_000)}}))
    folder("deep", '{"a":' * 900 + "1" + "}" * 900)
    folder("deeper", "[" * 100_000)
    folder("comparable", json.dumps(run_content(comparable={f"k{i}": i for i in range(5000)})))
    folder("newer", json.dumps(run_content() | {"format": 2}))
    folder("older", json.dumps(run_content() | {"format": None}))
    folder("nan", whole.replace("0.25", "NaN").replace("0.88", "1e999"))
    folder("utf16", whole.encode("utf-16"))
    folder("bom", b"\xef\xbb\xbf" + whole.encode())
    folder("digits", whole.replace('"seed": 1', '"seed": ' + "9" * 5000))
    folder("cut", whole[:200])
    folder("new\nline\x1b[2J", whole[:200])
    folder(os.fsdecode(b"bytes-\xff\xfe"), b"{")
    evil = run_content(
        name=EVIL,
        why=EVIL,
        experiment=EVIL,
        id=EVIL,
        optimizer={"description": EVIL, "specification": {EVIL: [EVIL, {EVIL: EVIL}]}},
        comparable={EVIL: {EVIL: EVIL}, "photos": EVIL},
        provenance={"packages": {EVIL: EVIL}, "hardware": [EVIL], "command": [EVIL]},
    )
    folder("evil", json.dumps(evil))
    for name in ("metrics-huge", "metrics-line", "metrics-pipe", "metrics-device", "metrics-odd"):
        path = folder(name, json.dumps(run_content(name=name, experiment=name)))
        metrics = path / "metrics.jsonl"
        match name:
            case "metrics-huge":
                with metrics.open("wb") as file:
                    file.truncate(2**30)
            case "metrics-line":
                metrics.write_bytes(b'{"event": "epoch", "x": "' + b"y" * 5 * 2**20)
            case "metrics-pipe":
                os.mkfifo(metrics)
            case "metrics-device":
                metrics.symlink_to("/dev/zero")
            case _:
                event = {"event": "epoch", "epoch": EVIL, "validation_loss": 1e999, EVIL: EVIL}
                lines = [json.dumps(event), '{"event": "epoch"}', "[]", '{"event": []}', "\x00"]
                notice = json.dumps({"event": "notice", "message": EVIL})
                metrics.write_text("\n".join([*lines, notice, ""]), errors="surrogatepass")
    for name in ("writer.lock", "config.yaml"):
        path = folder(f"pipe-{name}", json.dumps(run_content(state="running", result=None)))
        os.mkfifo(path / name)
    for name in ("run.py", "conftest.py", "sitecustomize.py", "json.py", "yaml.py"):
        trap = folder(f"trap-{name}", json.dumps(run_content(seed=len(name)))) / name
        trap.write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    traps = ["!!bool x", "!!int ''", "!!timestamp x", "!!python/object/apply:os.abort []",
             "2026-01-01", "!!binary aGk=", "!!set {a}", "{? [a] : b}", "&a [*a]", "0b_", "1:99",
             "[" * 400, "[" + "1," * 60_000 + "1]", "<<", "{<<: 3}", "\x00", "=", f'"{EVIL!r}"'
            ]  # fmt: skip
    for number, trap_text in enumerate(traps):
        path = folder(f"config-{number}", json.dumps(run_content(experiment=f"config{number}")))
        (path / "config.yaml").write_text(f"training: {{epochs: 3}}\nnotes: {trap_text}\n")
    return results


def test_compare_skips_what_it_cannot_read_says_so_and_shows_the_rest(hostile: Path) -> None:
    found, unreadable = runs.read_all([hostile])
    reasons = {item.label: item.reason for item in unreadable}
    labels = {run.label for run in found}
    assert {"honest-one", "honest-two", "evil", "nan", "utf16", "metrics-huge"} <= labels
    assert {"link-endless", "link-environment", "link-nowhere"} <= set(reasons)
    expected = {
        "keys": "more than 10,000 values",
        "link-passwd": "not JSON",
        "link-secret": "format must be 1, received: None (another version?)",
        "link-device": "run.json is not a file",
        "link-circle": "run.json: Too many levels of symbolic links",
        "link-folder": "run.json is not a file",
        "pipe": "run.json is not a file",
        "folder": "run.json is not a file",
        "huge": "run.json is larger than 4 MiB",
        "line": "more than 10,000 values",
        "few-keys": "more than 10,000 values",
        "deep": "nested too deeply",
        "deeper": "not JSON",
        "comparable": "comparable must hold at most 200 values",
        "newer": "format must be 1, received: 2 (another version?)",
        "older": "format must be 1, received: None (another version?)",
        "digits": "not JSON",
        "cut": "not JSON",
        "new\\nline\\x1b[2J": "not JSON",
        "bytes-\\xff\\xfe": "not JSON",
    }
    assert expected.items() <= reasons.items()
    assert "hunter2" not in str(reasons)
    for layout in LAYOUTS:
        text = printed(hostile, "--format", layout)
        assert "sgd" in text
        assert "adam" in text
        shows_only_printable(text)
    assert f"{len(unreadable)} unreadable: " in printed(hostile)


def test_a_name_can_hold_no_markup_link_cell_or_formula(hostile: Path) -> None:
    markdown = printed(hostile, "--format", "markdown")
    assert "<script" not in markdown
    assert "\n\\# " not in markdown
    rows = list(csv.reader(io.StringIO(printed(hostile, "--format", "csv"))))
    assert len({len(row) for row in rows}) == 1
    content = json.loads(printed(hostile, "--format", "json"), parse_constant=pytest.fail)
    assert content["tables"]


@pytest.mark.parametrize(
    ("name", "markdown"),
    [
        ("# big", "\\# big"),
        ("1. item", "1\\. item"),
        ("> said", "\\> said"),
        ("- item", "\\- item"),
        ("https://evil.example", "https\\://evil.example"),
        ("www.evil.example", "www\\.evil.example"),
        ("a@evil.example", "a\\@evil.example"),
        ("![x](y)", "!\\[x\\](y)"),
        ("<img src=x>", "&lt;img src=x>"),
    ],
)
def test_markdown_shows_a_name_as_it_is(make_run: MakeRun, name: str, markdown: str) -> None:
    results = make_run("one", name=name, optimizer={"description": name}).parent
    assert f"\n| {markdown} | {markdown} |" in printed(results, "--format", "markdown")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "=cmd|' /C calc'!A0"])
def test_csv_holds_no_formula(make_run: MakeRun, name: str) -> None:
    results = make_run("one", name=name, experiment=name).parent
    for row in csv.reader(io.StringIO(printed(results, "--format", "csv"))):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_nothing_is_written_waited_for_or_executed(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hostile / "trap-run.py")
    before, modules = everything(hostile), set(sys.modules)
    for layout in LAYOUTS:
        printed(hostile, "--format", layout)
    for folder in runs.find([hostile]):
        runs.read(folder)
        read_events(folder)
        runs.read_config(folder)
    assert everything(hostile) == before
    assert not (tmp_path / "executed").exists()
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    assert not any(file and Path(file).is_relative_to(hostile) for file in files)
    assert not {"run", "conftest", "sitecustomize"} & (set(sys.modules) - modules)


def test_listing_and_showing_runs_survive_and_write_nothing(hostile: Path) -> None:
    before = everything(hostile)
    commands: list[list[str]] = [["list", str(hostile)], ["list", str(hostile), "--format", "json"]]
    commands += [["show", str(folder)] for folder in runs.find([hostile])]
    commands += [["diff", str(hostile / "evil"), str(hostile / "metrics-odd")]]
    for arguments in commands:
        result = CliRunner().invoke(runs_command, arguments)
        failure = result.exception
        assert failure is None or isinstance(failure, SystemExit) or hasattr(failure, "exit_code")
        shows_only_printable(result.output)
    assert everything(hostile) == before


def test_all_traps_together_take_little_memory(hostile: Path) -> None:
    printed(hostile)
    tracemalloc.start()
    try:
        printed(hostile, "--format", "json")
        for folder in runs.find([hostile]):
            read_events(folder)
        highest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert highest < 100 * 2**20


def test_metrics_are_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"a":"' + b"x" * 70_000 + b'"}\n{"a":1}\n')
    found = read_events(tmp_path)
    assert (found.events, found.skipped) == (({"a": 1},), ("line 1: longer than 64 KiB",))
    path.write_bytes(b"\n" * 300 + b'{"a":1}\n')
    found = read_events(tmp_path)
    assert len(found.events) == 1
    assert (len(found.skipped), found.skipped[-1]) == (101, "200 more lines")
    path.write_bytes(b"{}\n" * 60_000)
    found = read_events(tmp_path)
    assert (len(found.events), found.skipped) == (50_000, ("all lines after 50,000",))


def test_three_thousand_broken_runs_hide_no_other(make_run: MakeRun) -> None:
    results = make_run("honest", name="sgd").parent
    for number in range(3000):
        folder = results / f"broken-{number}"
        folder.mkdir()
        (folder / "run.json").write_text('{"format": 1, "state": "comp')
    started = time.process_time()
    text = printed(results)
    assert time.process_time() - started < 3
    assert "3000 unreadable: broken-0 (not JSON), " in re.sub(r"\s+", " ", text)
    assert "sgd" in text
    assert len(text) < 5000


def test_runs_that_have_nothing_in_common_do_not_blow_up_the_tables(make_run: MakeRun) -> None:
    for number in range(200):
        made_up = {f"made up {number} {i}": i for i in range(150)}
        make_run(f"run{number}", name=f"n{number}", comparable={**made_up, "image_size": number})
    started = time.process_time()
    groups = compare(*runs.read_all([make_run("last").parent])).groups
    assert time.process_time() - started < 5
    assert len(groups) == 201
    assert all(len(group.setting) <= 30 for group in groups)
    assert all(sum(len(name) for name, _ in group.setting) < 1000 for group in groups)


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every mapping or list in a tree, with each of its keys."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from places(tree[key])


odd = st.sampled_from(
    [None, True, False, 0, 1, -1, 2**63, 10**400, -(10**4000), 0.0, 1e308, -1e308, 5e-324, math.nan,
     math.inf, -math.inf, "", " ", EVIL, "x" * 10_000, "NaN", "completed", "diverged", "running",
     "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-20", [], {}, [[]], [None],
     {"a": {}}, {"": ""}, {EVIL: EVIL}, [{"a": [EVIL]}], "=1+1", "\u0301" * 300, "名前" * 100]
)  # fmt: skip
json_values = st.recursive(
    odd | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=6,
)


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_value_anywhere_in_run_json(
    data: st.DataObject, tmp_path: Path, run_content: Content
) -> None:
    """Two runs, damaged alike or not: the table, Markdown, CSV and JSON of whatever they say."""
    read: list[Run | Unreadable] = []
    for name in ("one", "two", "three"):
        content = copy.deepcopy(run_content())
        for _ in range(data.draw(st.integers(0, 3))):
            mapping, key = data.draw(st.sampled_from(list(places(content))))
            if data.draw(st.booleans()) and isinstance(mapping, dict):
                del mapping[key]
            else:
                mapping[key] = copy.deepcopy(data.draw(json_values))  # it may be changed next
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        text = json.dumps(content).replace("Infinity", "1e999")
        (folder / "run.json").write_text(text)
        (folder / "config.yaml").write_text(f"notes: {data.draw(st.text(max_size=5))!r}\n")
        read.append(runs.read(folder))
    found = [run for run in read if isinstance(run, Run)]
    unreadable = [run for run in read if isinstance(run, Unreadable)]
    comparison = compare(found, unreadable)
    shown = sum(len(row.runs) + len(row.diverged) for g in comparison.groups for row in g.rows)
    assert shown + len(comparison.left_out) == 3
    judged = [verdict(group, BY_KEY[DEFAULT_METRIC]) for group in comparison.groups]
    texts = [render.render(comparison, judged, width=80, styled=False)]
    texts += [render.markdown(comparison, judged), exports.csv_text(comparison, judged)]
    texts.append(exports.json_text(comparison, judged))
    for text in texts:
        shows_only_printable(text)
    json.loads(texts[-1], parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"plain": ["text", 1, 0.5, true, null]}', {"plain": ["text", 1, 0.5, True, None]}),
        (b'{"a\x7f": "b\x7f"}', {"a\\x7f": "b\\x7f"}),
        (b'{"a": "\\u001b[2J"}', {"a": "\\x1b[2J"}),
        ('{"a": "\u202egpj"}'.encode(), {"a": "\\u202egpj"}),
        # Each byte of which is ASCII.
        ('{"a": "\u202egpj"}'.encode("utf-16-le"), {"a": "\\u202egpj"}),
        ('{"a": "\u202egpj"}'.encode("utf-16-be"), {"a": "\\u202egpj"}),
        (b'{"a": "%s"}' % (b"x" * 300), {"a": "x" * 300}),
        (b'{"a": "%s"}' % (b"x" * 301), {"a": "x" * 299 + "\u2026"}),
        (b'{"%s": 1}' % (b"x" * 301), {"x" * 299 + "\u2026": 1}),
        (b'{"a": [NaN, Infinity, -1e999, 1e9]}', {"a": ["nan", "inf", "-inf", 1e9]}),
    ],
)
def test_whatever_text_a_file_holds_is_printable_once_it_is_read(
    content: bytes, expected: dict[str, object]
) -> None:
    assert json_object(content) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": [%s1]}' % (b"1," * 9_997), None),
        (b'{"a": [%s1]}' % (b"1," * 9_998), "more than 10,000 values"),
        (b'{"a": %s1%s}' % (b"[" * 49, b"]" * 49), None),
        (b'{"a": %s1%s}' % (b"[" * 50, b"]" * 50), "nested too deeply"),
        (b'{"a": [%s{}]}' % (b"{}," * 200), None),
    ],
    ids=["most values", "too many values", "deepest", "too deep", "many and flat"],
)
def test_how_much_a_file_may_hold_is_counted_exactly(content: bytes, said: str | None) -> None:
    if said is None:
        assert json_object(content)
    else:
        with pytest.raises(DamageError, match=said):
            json_object(content)
