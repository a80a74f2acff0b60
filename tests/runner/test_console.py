"""What a person sees of a run, told by its events."""

import io
from pathlib import Path

import pytest
from optrun.runner.events import EpochRecord, Event, Notice, RunEnded, RunStarted, StepDone
from optrun.runner.ui.console import Display
from rich.console import Console

FOLDER = Path("results/x-s1-abcdef")
STARTED = RunStarted(
    FOLDER,
    "SGD 0.01",
    seed=1,
    epochs=2,
    steps_per_epoch=4,
    validation_photos=400,
    test_photos=200,
)
EPOCH = EpochRecord(
    epoch=1,
    training_loss=0.5,
    training_accuracy=0.75,
    validation_loss=0.4,
    validation_accuracy=0.8,
    validation_roc_auc=0.9,
    training_subset_loss=0.45,
    training_subset_accuracy=0.78,
    slow_validation_loss=None,
    slow_validation_accuracy=None,
    fast_validation_loss=None,
    fast_validation_accuracy=None,
    learning_rate=0.01,
    updates=4,
    gradient_evaluations=4,
    images=64,
    images_per_second=1234.5,
    training_seconds=1.0,
    evaluation_seconds=0.5,
)
RESULT = {
    "best_validation_accuracy": 0.8,
    "best_epoch": 1,
    "test_accuracy": 0.79,
    "test_roc_auc": 0.9123,
    "training_seconds": 12.4,
}


def shown(*events: Event, quiet: bool = False, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=terminal, color_system=None)
    display = Display(console, quiet=quiet)
    for event in events:
        display(event)
    return file.getvalue()


def test_a_run_in_plain_lines() -> None:
    step = StepDone(1, 4, 0.5, 0.75, 1234.5)
    completed = RunEnded("completed", result=RESULT)
    assert shown(STARTED, step, EPOCH, Notice("[b]mind[/b]"), completed) == (
        "run       results/x-s1-abcdef\n"
        "          SGD 0.01, seed 1\n"
        "  epoch    train loss  accuracy validation loss  accuracy    images/s\n"
        "  1/2           0.5000     75.0%          0.4000     80.0%     1,234.5\n"
        "  note: [b]mind[/b]\n"
        "result    validation accuracy 80.0% (320 of 400 photos) at epoch 1, the best\n"
        "          test accuracy 79.0% (158 of 200 photos), ROC AUC 0.9123\n"
        "          trained 12 s\n"
    )


def test_a_resumed_run_says_where_it_goes_on() -> None:
    resumed = RunStarted(FOLDER, "SGD", 1, 2, steps_per_epoch=4, steps_done=6, resumed=True)
    assert shown(resumed) == "run       results/x-s1-abcdef, resumed\n          from step 7\n"


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (
            RunEnded("diverged", why="the loss is NaN"),
            "  note: diverged: the loss is NaN. Try a lower learning rate or global_clipnorm\n",
        ),
        (
            RunEnded("failed", why="no memory"),
            "  note: failed: no memory. Its log: results/x-s1-abcdef/log.txt\n",
        ),
        (
            RunEnded("interrupted", why="stopped by a signal"),
            "  interrupted; to go on: optrun resume results/x-s1-abcdef\n",
        ),
    ],
)
def test_a_run_that_is_not_completed_says_what_next(end: RunEnded, text: str) -> None:
    assert shown(STARTED, end).endswith(text)


def test_quiet_runs_print_their_folder_and_tell_what_went_wrong_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    completed = RunEnded("completed", result=RESULT | {"test_roc_auc": None})
    assert shown(STARTED, EPOCH, completed, quiet=True) == "results/x-s1-abcdef\n"
    assert shown(STARTED, RunEnded("failed", why="no memory"), quiet=True) == ""
    assert capsys.readouterr().err == "optrun: results/x-s1-abcdef failed: no memory\n"


def test_a_terminal_shows_each_step_with_the_time_left_and_clears_the_line_at_the_end() -> None:
    steps = [StepDone(1, 1, None, None, None), StepDone(1, 2, 0.693, 0.5, 1000.0)]
    text = shown(STARTED, *steps, RunEnded("interrupted"), terminal=True)
    assert "epoch 1/2" in text
    assert "2/4  1,000 images/s  loss 0.693  accuracy 50.0%" in text.replace("\n", "")
    assert text.rstrip().endswith("to go on: optrun resume results/x-s1-abcdef")
