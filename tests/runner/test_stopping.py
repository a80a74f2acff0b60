"""The first signal ends a run tidily or is acted on without it; the second ends it at once."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optrun.runner.engine import signals as stopping

# Told by a line on standard output when it works, then stays in one call as long as it is told to.
PROGRAM = """
import sys, time
from optrun.runner.engine import signals as stopping
from optrun.runner.engine.signals import Interrupted, signals_heard

stopping.GRACE_S = float(sys.argv[1])
work, seconds = sys.argv[2], float(sys.argv[3])

def abandon():
    print("abandoned", flush=True)

def stay(seconds):
    if work == "native":
        # As in a step of TensorFlow: other threads go on, but no bytecode of this one.
        import hashlib
        hashlib.pbkdf2_hmac("sha256", b"", b"", int(seconds * 1e6))
    else:
        time.sleep(seconds)

try:
    with signals_heard() as stops:
        if work == "outside":
            print("working", flush=True)
            time.sleep(seconds)
        else:
            with stops.deferred(abandon):
                print("working", flush=True)
                for _ in range(3):
                    stay(seconds)
                    print("step", flush=True)
                    if work == "stopped":
                        print(stops.suspended_s, flush=True)
                    stops.check()
except Interrupted as stop:
    print("tidy", flush=True)
    raise SystemExit(stop.exit_code)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(work: str, seconds: float, *, grace_s: float = 8.0) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(grace_s), work, str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(stopping.__file__).parents[1],
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        return process

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_waits_for_the_step_and_then_ends_tidily(
    start: Start, number: signal.Signals, code: int
) -> None:
    process = start("native", 0.5)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("step\ntidy\n", code)


def test_what_cannot_end_in_time_is_abandoned(start: Start) -> None:
    process = start("native", 60, grace_s=0.3)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("abandoned\n", 143)
    assert time.monotonic() - sent < 10


@pytest.mark.parametrize("work", ["native", "python"])
def test_the_second_signal_ends_it_at_once(start: Start, work: str) -> None:
    process = start(work, 60)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("", 130)
    assert time.monotonic() - sent < 2


def test_outside_a_run_a_signal_interrupts_at_once(start: Start) -> None:
    process = start("outside", 60)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("tidy\n", 143)
    assert time.monotonic() - sent < 2


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stopping.signals_heard():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_time_for_which_the_process_was_stopped_is_known(start: Start) -> None:
    process = start("stopped", 1.0)
    stopped_s = 0.0
    for seconds in (1.5, 0.4):
        time.sleep(0.2)
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        stopped_s += time.monotonic() - began
    process.send_signal(signal.SIGCONT)  # one that nothing was stopped for
    out = process.communicate(timeout=20)[0].split()
    assert float(out[5]) == pytest.approx(stopped_s, abs=0.5)
