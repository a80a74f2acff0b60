"""Every promise on the page is held by something that exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
PROMISES = [line for line in PAGE.splitlines() if line.startswith("| ") and "Held by" not in line]


def test_there_are_promises() -> None:
    assert len(PROMISES) >= 15


def test_each_is_held_by_a_test_or_a_benchmark_that_exists() -> None:
    for promise in PROMISES:
        holders = re.findall(r"`((?:tests|benchmarks)/[^`]+)`", promise.split("|")[2])
        assert holders, promise
        for holder in holders:
            place = ROOT / holder
            assert place.is_file() or any(place.glob("test_*.py")), holder


def test_the_seconds_it_states_are_those_of_the_program() -> None:
    from optrun.runner.engine.signals import GRACE_S

    assert "within ten seconds" in PAGE
    assert "abandoned after eight" in PAGE
    assert GRACE_S == 8
