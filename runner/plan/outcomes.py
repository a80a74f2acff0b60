"""What became of the runs that a command was asked for, and the exit code that says so."""

from collections.abc import Sequence

from optrun.runner.ui.wording import number_of

COMPLETED = "completed"
DIVERGED = "diverged"
FAILED = "failed"
COMPLETED_BEFORE = "completed before"
DIVERGED_BEFORE = "diverged before"
HELD = "left to the process that writes it"
REFUSED = "cannot be resumed"
# Of a run that was over when its turn came, by its recorded status.
OVER = {"completed": COMPLETED_BEFORE, "diverged": DIVERGED_BEFORE}


def exit_code(outcomes: Sequence[str], *, refused: int) -> int:
    """The exit code of several runs: that of the worst.

    A failure wants a person; a run that another process writes is not over; a divergence is an
    outcome, whenever it was found.

    Args:
        outcomes: One for each run.
        refused: The code for a run that cannot be resumed.

    >>> exit_code([COMPLETED, DIVERGED_BEFORE, HELD], refused=1)
    5
    >>> exit_code([COMPLETED, DIVERGED_BEFORE], refused=1)
    3
    """
    for outcome, code in (
        (FAILED, 1),
        (REFUSED, refused),
        (HELD, 5),
        (DIVERGED, 3),
        (DIVERGED_BEFORE, 3),
    ):
        if outcome in outcomes:
            return code
    return 0


def summary(outcomes: Sequence[str]) -> str:
    """How many runs came to what.

    >>> summary([COMPLETED, DIVERGED, COMPLETED])
    '3 runs: 2 completed, 1 diverged'
    """
    counts = {outcome: outcomes.count(outcome) for outcome in dict.fromkeys(outcomes)}
    parts = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
    return f"{number_of(len(outcomes), 'run')}: {parts}"
