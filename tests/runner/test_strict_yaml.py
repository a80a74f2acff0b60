"""Strict YAML: what is a number, what is refused, and where."""

import json
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optrun.runner.config.problems import ConfigurationError
from optrun.runner.config.strict_yaml import (
    MAX_DEPTH,
    MAX_VALUES,
    dump,
    dump_on_one_line,
    is_key,
    parse,
)


def value_of(text: str) -> object:
    node, problems = parse(f"key: {text}\n", "x.yaml")
    assert problems == []
    assert isinstance(node.value, dict)
    return node.value["key"].plain()


def refusals(text: str) -> list[str]:
    try:
        return [str(problem) for problem in parse(text, "x.yaml")[1]]
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("1e-3", Fraction(1, 1000)),
        ("1E3", Fraction(1000)),
        ("-.5", Fraction(-1, 2)),
        ("+12.", Fraction(12)),
        ("6.02e+2", Fraction(602)),
    ],
)
def test_a_float_of_yaml_1_2_is_a_float(text: str, exact: Fraction) -> None:
    value = value_of(text)
    assert isinstance(value, float)
    assert value == float(exact)


@pytest.mark.parametrize(
    ("text", "value"), [("0777", 777), ("0o777", 511), ("0x1F", 31), ("-12", -12), ("+7", 7)]
)
def test_an_integer_is_decimal_unless_it_says_otherwise(text: str, value: int) -> None:
    read = value_of(text)
    assert isinstance(read, int)
    assert read == value


@pytest.mark.parametrize(
    "text", ["no", "yes", "on", "off", "y", "12:30", "1_000", "2026-11-20", "0b1", "1e", "nan", "="]
)
def test_what_only_yaml_1_1_converts_is_text(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("FALSE", False), ("~", None), ("null", None), ("", None)]
)
def test_constants(text: str, value: object) -> None:
    assert value_of(text) is value


def test_quotes_make_text_of_anything() -> None:
    assert [value_of(text) for text in ('"1"', "'true'", '""')] == ["1", "true", ""]


def test_infinity_and_nan_are_numbers_that_the_schema_can_refuse() -> None:
    assert value_of("-.inf") == float("-inf")
    assert value_of(".nan") != value_of(".nan")


def test_every_key_and_value_knows_its_line_and_column() -> None:
    node, _ = parse("a: 1\nb:\n  - x\n  - {c: 2}\n", "x.yaml")
    assert isinstance(node.value, dict)
    items = node.value["b"].value
    assert isinstance(items, list)
    inner = items[1].value
    assert isinstance(inner, dict)
    assert [str(place) for place in (node.value["a"].key_place, node.value["a"].place)] == [
        "x.yaml:1:1",
        "x.yaml:1:4",
    ]
    assert [str(place) for place in (inner["c"].key_place, inner["c"].place)] == [
        "x.yaml:4:6",
        "x.yaml:4:9",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "x.yaml:2:1: a is stated twice, first on line 1; remove one"),
        (
            "a: {b: 1, b: 2}\n",
            "x.yaml:1:11: a.b is stated twice, first on line 1; remove one",
        ),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            'x.yaml:1:4: must not use a tag, received "!!python/object/apply:os.system"; '
            "write a value",
        ),
        ("a: !!str 1\n", 'x.yaml:1:4: must not use a tag, received "!!str"; write a value'),
        ("a: &x 1\n", "x.yaml:1:4: must not use an anchor (&x); write the value alone"),
        (
            "a: 1\n---\nb: 2\n",
            "x.yaml:2:1: must hold one YAML document, received a second; remove this `---` and "
            "what follows",
        ),
        ("a: [1, 2\n", "x.yaml:2:1: must be YAML: expected ',' or ']', but got '<stream end>'"),
        ("a:\n\tb: 1\n", "x.yaml:2:1: must be YAML: found a tab; indent with spaces"),
        ("a: b: c\n", "x.yaml:1:5: must be YAML: mapping values are not allowed here"),
        ("a: \x07\n", "x.yaml:1:4: must be YAML text, received the control character U+0007"),
        ('a: "\\ud800"\n', "x.yaml:1:4: a must not hold control characters"),
        ('a: "\\UFFFFFFFF"\n', "x.yaml:1:7: must be YAML: found a number beyond all bounds"),
        (
            "a:\n\u00a0 b: 1\n",
            "x.yaml:2:1: must be a key of 1 to 100 printable characters (it holds no-break space)",
        ),
        (
            "? [a]\n: 1\n",
            "x.yaml:1:3: must be a plain key, received a mapping, a list or an alias",
        ),
    ],
)
def test_what_is_not_allowed_is_said_with_its_place(text: str, message: str) -> None:
    assert refusals(text) == [message]


def test_a_merge_key_is_refused_beside_its_alias() -> None:
    assert refusals("base: &b {x: 1}\na:\n  <<: *b\n") == [
        "x.yaml:1:7: must not use an anchor (&b); write the value alone",
        "x.yaml:3:3: must not use a merge key (<<); name a base file with `extends`",
        "x.yaml:3:7: must not use an alias (*b); write the value out, or `extends`",
    ]


def bomb() -> str:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(), "must not use an alias"),
        ("[" * 500_000, f"must be nested at most {MAX_DEPTH} levels deep"),
        ("- " * 300_000, f"must be nested at most {MAX_DEPTH} levels deep"),
        ("{a: " * 200_000, f"must be nested at most {MAX_DEPTH} levels deep"),
        ("- 1\n" * 200_000, f"must hold at most {MAX_VALUES:,} values"),
        ("a: 1\n" * 150_000, f"must hold at most {MAX_VALUES:,} values"),
    ],
    ids=["aliases", "lists", "block lists", "mappings", "values", "repeated keys"],
)
def test_a_runaway_document_is_refused_quickly(text: str, message: str) -> None:
    started = time.process_time()
    assert any(message in refusal for refusal in refusals(text))
    assert time.process_time() - started < 2


def test_the_value_of_an_option_has_no_lines() -> None:
    node, _ = parse("3", "--set", with_lines=False)
    assert str(node.place) == "--set"


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"))
keys = texts.filter(is_key)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.sampled_from(["1e-3", "no", "0o17", "0x1F", "~", "12:30", "<<", "two\nlines", " x\n", "\n"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(keys, values, max_size=4))
def test_what_is_written_is_read_back_the_same(document: dict[str, object]) -> None:
    node, problems = parse(dump(document), "x.yaml")
    assert problems == []
    # JSON tells 1 from 1.0 and true.
    assert json.dumps(node.plain()) == json.dumps(document)


@settings(deadline=None)
@given(values)
def test_one_line_is_one_line_and_is_read_back_the_same(value: object) -> None:
    line = dump_on_one_line(value)
    assert len(line.splitlines()) <= 1
    assert json.dumps(value_of(line)) == json.dumps(value)


@settings(deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,? \n\t\\0.1", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert all(refusal.startswith("x.yaml:") for refusal in refusals(text))
