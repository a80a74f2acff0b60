"""What a comparison measures of each run: names, units, and which way is better."""

from dataclasses import dataclass
from typing import Literal

from optrun.runner.errors import UserError
from optrun.runner.ui.wording import nearest


@dataclass(frozen=True)
class Measure:
    """One number of a completed run.

    Attributes:
        key: Its name in the `result` of run.json.
        family: Measures of one family stay side by side in a table.
        title: Its two header lines in a table, without the unit.
        unit: The unit of the number as recorded.
        better: Which way is better; None where neither is as such.
        decimals: Digits after the point in a table.
        percent: Whether a table shows a recorded fraction as a percentage.
        description: One sentence.
    """

    key: str
    family: Literal["validation", "test", "gap", "cost"]
    title: tuple[str, str]
    unit: str
    better: Literal["higher", "lower"] | None
    decimals: int
    description: str
    percent: bool = False

    @property
    def name_with_unit(self) -> str:
        """The key, followed by the unit where the key does not say it already."""
        says_it = {"images_per_second", "gradient_evaluations", "training_seconds", "test_roc_auc"}
        return self.key if self.key in says_it else f"{self.key}_{self.unit}"


MEASURES: tuple[Measure, ...] = (
    Measure(
        "best_validation_loss",
        "validation",
        ("best val.", "loss"),
        "nats",
        "lower",
        3,
        "Cross-entropy on the validation photos after the best epoch, the one where it is lowest.",
    ),
    Measure(
        "best_validation_accuracy",
        "validation",
        ("best val.", "accuracy"),
        "fraction",
        "higher",
        1,
        "Share of validation photos told right after the best epoch.",
        percent=True,
    ),
    Measure(
        "final_validation_accuracy",
        "validation",
        ("final val.", "accuracy"),
        "fraction",
        "higher",
        1,
        "Share of validation photos told right after the last epoch.",
        percent=True,
    ),
    Measure(
        "test_accuracy",
        "test",
        ("test", "accuracy"),
        "fraction",
        "higher",
        1,
        "Share of test photos told right with the best epoch's weights.",
        percent=True,
    ),
    Measure(
        "test_log_loss",
        "test",
        ("test", "log loss"),
        "nats",
        "lower",
        3,
        "Cross-entropy on the test photos with the best epoch's weights.",
    ),
    Measure(
        "test_roc_auc",
        "test",
        ("test", "ROC AUC"),
        "probability",
        "higher",
        4,
        "Probability that a random dog is ranked above a random cat, on the test photos.",
    ),
    Measure(
        "gap_loss",
        "gap",
        ("gap in", "loss"),
        "nats",
        "lower",
        3,
        "Final validation loss minus the loss on as many training photos: over-fitting.",
    ),
    Measure(
        "gap_accuracy",
        "gap",
        ("gap in", "accuracy"),
        "fraction",
        "lower",
        1,
        "Final accuracy on as many training photos minus validation accuracy: over-fitting.",
        percent=True,
    ),
    Measure(
        "images_per_second",
        "cost",
        ("images", "per s"),
        "images/s",
        "higher",
        1,
        "Training images by training time.",
    ),
    Measure(
        "gradient_evaluations",
        "cost",
        ("gradient", "evaluations"),
        "evaluations",
        "lower",
        0,
        "Gradients of one batch that the whole training computed.",
    ),
    Measure(
        "training_seconds",
        "cost",
        ("training", "time"),
        "s",
        "lower",
        0,
        "Time in training steps, without evaluation and anything else.",
    ),
)

BY_KEY = {measure.key: measure for measure in MEASURES}

DEFAULT_SORT = "best_validation_loss"

# What `--sort` takes besides the measures.
TEXT_COLUMNS = ("name", "optimizer", "seeds")


def sort_column(name: str) -> str:
    """The column that a person means by `name`: case and `-` for `_` are forgiven.

    Raises:
        UserError: There is no such column; the nearest is named.
    """
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    columns = (*TEXT_COLUMNS, *BY_KEY)
    if wanted in columns:
        return wanted
    near = nearest(wanted, columns, cutoff=0.5)
    hint = f" Did you mean {near}?" if near else ""
    raise UserError(
        f"--sort must be a column, received: {name}.{hint} Columns: {', '.join(columns)}."
    )
