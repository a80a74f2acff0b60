import subprocess
import sys

CHATTER = """
import os, sys
from optrun.data.exceptions import PhotoError
from optrun.runner.errors import UserError
from optrun.runner.ui.stderr_capture import native_stderr_captured
with native_stderr_captured():
    os.write(2, b"start-up chatter\\n")
    print("to the person", file=sys.stderr)
    {body}
"""


def stderr_of(body: str) -> str:
    script = CHATTER.format(body=body)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stderr


def test_chatter_of_native_code_is_kept_off_the_screen() -> None:
    assert stderr_of("pass") == "to the person\n"


def test_a_fault_of_ours_replays_the_chatter() -> None:
    assert "start-up chatter" in stderr_of("raise ZeroDivisionError")


def test_a_persons_mistake_does_not() -> None:
    assert "start-up chatter" not in stderr_of("raise UserError('no')")
    assert "start-up chatter" not in stderr_of("raise PhotoError('no')")
