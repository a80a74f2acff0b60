"""Answers as table, CSV and JSON: read back by others' readers, whatever a photo is called."""

import csv
import io
import json
from collections.abc import Iterable, Iterator

import pytest
from optrun.runner.engine.scores import sigmoid
from optrun.runner.inference.prediction import FORMATS, Prediction, percentage

HOSTILE = [
    "=cmd|' /C calc'!A0.jpg",
    "+1.jpg",
    "-1.jpg",
    "@SUM(1).jpg",
    "\uff1dfull.jpg",
    'say "cheese", please.jpg',
    "a;=1+1;b.jpg",
    "clear\x1b[2J\x07.jpg",
    "two\r\nlines.jpg",
    "tab\there.jpg",
    "\u202egpj.exe",
    "c1\x9b31m.jpg",
    "no-utf8-\udcff.jpg",
    "猫.jpg",
]


def answers(names: list[str]) -> list[Prediction]:
    return [Prediction(name, (-1) ** i * (0.5 + i)) for i, name in enumerate(names)]


def written(layout: str, rows: Iterable[Prediction]) -> str:
    out = io.StringIO(newline="")
    FORMATS[layout](rows, out)
    return out.getvalue()


@pytest.mark.parametrize("layout", FORMATS)
def test_no_name_reaches_the_terminal_as_anything_but_text(layout: str) -> None:
    text = written(layout, answers(HOSTILE))
    assert all(char.isprintable() or char in "\r\n" for char in text)
    assert len(text.splitlines()) == len(HOSTILE) + (2 if layout == "json" else 1)
    text.encode("utf-8", "strict")


def test_csv_is_read_back_by_pythons_reader() -> None:
    text = written("csv", answers(HOSTILE))
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == ["photo", "answer", "probability", "dog_probability"]
    for row, one in zip(rows, answers(HOSTILE), strict=True):
        assert row[1] == ("dog" if one.logit > 0 else "cat")
        assert float(row[2]) == pytest.approx(one.probability, rel=1e-8)
        assert float(row[3]) == pytest.approx(one.positive_probability, rel=1e-8)
    assert rows[5][0] == 'say "cheese", please.jpg'
    assert rows[-1][0] == "猫.jpg"
    assert text.count("\r\n") == text.count("\n") == len(HOSTILE) + 1


def test_no_cell_of_the_csv_is_a_formula() -> None:
    text = written("csv", answers(HOSTILE))
    for separator in ",;":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))
    assert "\"./=cmd|' /C calc'!A0.jpg\"" in text


def test_json_is_one_array_that_gives_every_name_back() -> None:
    text = written("json", answers(HOSTILE))
    loaded = json.loads(text)
    assert [row["photo"] for row in loaded] == [name.replace("\udcff", "\\xff") for name in HOSTILE]
    assert loaded[0] == {
        "photo": HOSTILE[0],
        "answer": "dog",
        "probability": pytest.approx(0.62245933),
        "dog_probability": pytest.approx(0.62245933),
    }
    assert loaded[1]["answer"] == "cat"
    assert loaded[1]["dog_probability"] == pytest.approx(1 - loaded[1]["probability"])


def test_nothing_to_say_is_said_in_every_format() -> None:
    assert json.loads(written("json", [])) == []
    assert written("csv", []) == "photo,answer,probability,dog_probability\r\n"
    assert written("table", []) == ""


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("layout", FORMATS)
def test_what_was_said_before_the_photos_end_in_trouble_is_written_and_ended(
    layout: str, count: int
) -> None:
    def interrupted() -> Iterator[Prediction]:
        yield from answers(["a.jpg"] * count)
        raise KeyboardInterrupt

    out = io.StringIO(newline="")
    with pytest.raises(KeyboardInterrupt):
        FORMATS[layout](interrupted(), out)
    assert out.getvalue() == written(layout, answers(["a.jpg"] * count))


def test_the_tables_columns_stand_below_each_other() -> None:
    lines = written("table", answers(["a.jpg", "猫猫猫猫猫猫猫.jpg", "b.jpg"])).splitlines()
    assert lines == [
        "photo               answer  probability",
        "a.jpg               dog          62.25%",
        "猫猫猫猫猫猫猫.jpg  cat          81.76%",
        "b.jpg               dog          92.41%",
    ]


def test_a_name_longer_than_the_column_is_shown_whole() -> None:
    names = ["short.jpg"] * 16 + ["long" * 30 + ".jpg"]
    assert "long" * 30 + ".jpg  dog" in written("table", answers(names))


@pytest.mark.parametrize(
    ("probability", "said"),
    [(0.5, "50.00%"), (0.9998, "99.98%"), (0.99996, ">99.99%"), (1.0, ">99.99%")],
)
def test_nothing_is_certain(probability: float, said: str) -> None:
    assert percentage(probability) == said


@pytest.mark.parametrize("logit", [-800.0, -30.0, -1.0, 0.0, 1.0, 30.0, 800.0])
def test_probabilities_of_any_logit(logit: float) -> None:
    one = Prediction("a.jpg", logit)
    assert one.positive_probability == pytest.approx(sigmoid(logit), rel=1e-15)
    assert 0.5 <= one.probability <= 1
    assert one.positive_probability + sigmoid(-logit) == pytest.approx(1)


def test_a_photo_that_was_not_judged_has_no_answer() -> None:
    with pytest.raises(ValueError, match=r"a\.jpg was not judged: empty file"):
        _ = Prediction("a.jpg", None, "empty file").answer
