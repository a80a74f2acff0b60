"""What a comparison measures of each run: names, units, and which way is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from optrun.data.labels import CLASS_NAMES
from optrun.runner.errors import UserError
from optrun.runner.ui.wording import did_you_mean


@dataclass(frozen=True)
class Metric:
    """What is judged: a column of anyone's numbers, or a measure."""

    name: str
    higher_is_better: bool

    @property
    def sign(self) -> int:
        """What makes a gain of a difference: 1, or -1 where lower is better."""
        return 1 if self.higher_is_better else -1


@dataclass(frozen=True)
class Measure:
    """One number of a completed run."""

    key: str  # its name in the `result` of run.json
    family: Literal["validation", "test", "gap", "cost"]  # they stay side by side in a table
    title: tuple[str, str]  # its header lines in a table, without the unit
    unit: str  # of the number as recorded; a table shows a "fraction" as a percentage
    better: Literal["higher", "lower"]
    decimals: int  # digits after the point in a table
    description: str

    @property
    def percent(self) -> bool:
        """Whether a table shows it as a percentage."""
        return self.unit == "fraction"

    @property
    def scale(self) -> float:
        """What a value is multiplied by to be in the unit of the table."""
        return 100.0 if self.percent else 1.0

    @property
    def judged(self) -> Metric:
        """The measure as what is judged."""
        return Metric(self.key, higher_is_better=self.better == "higher")

    @property
    def name_with_unit(self) -> str:
        """The key, followed by the unit where the key does not say it already."""
        says_it = self.family == "cost" or self.key == "test_roc_auc"
        return self.key if says_it else f"{self.key}_{self.unit}"


# fmt: off
MEASURES = (
    Measure("best_validation_loss", "validation", ("best val.", "loss"), "nats", "lower", 3,
            "Cross-entropy on the validation photos after the best epoch: the one where it is "
            "lowest, whose weights are kept and tested."),
    Measure("best_validation_accuracy", "validation", ("best val.", "accuracy"), "fraction",
            "higher", 1, "Share of validation photos told right after the best epoch, that of the "
            "lowest loss; it may be higher after another."),
    Measure("final_validation_accuracy", "validation", ("final val.", "accuracy"), "fraction",
            "higher", 1, "Share of validation photos told right after the last epoch, the best one "
            "or not."),
    Measure("test_accuracy", "test", ("test", "accuracy"), "fraction", "higher", 1,
            "Share of test photos told right with the best epoch's weights."),
    Measure("test_log_loss", "test", ("test", "log loss"), "nats", "lower", 3,
            "Cross-entropy on the test photos with the best epoch's weights."),
    Measure("test_roc_auc", "test", ("test", "ROC AUC"), "probability", "higher", 4,
            "Probability that a random {1} is ranked above a random {0}, on the test photos."
            .format(*CLASS_NAMES)),
    Measure("gap_loss", "gap", ("gap in", "loss"), "nats", "lower", 3,
            "Final validation loss minus the loss on as many training photos: over-fitting."),
    Measure("gap_accuracy", "gap", ("gap in", "accuracy"), "fraction", "lower", 1,
            "Final accuracy on as many training photos minus validation accuracy: over-fitting."),
    Measure("images_per_second", "cost", ("images", "per s"), "images/s", "higher", 1,
            "Training images by training time."),
    Measure("gradient_evaluations", "cost", ("gradient", "evaluations"), "evaluations", "lower", 0,
            "Gradients of one batch that the whole training computed."),
    Measure("training_seconds", "cost", ("training", "time"), "s", "lower", 0,
            "Time in training steps, without evaluation and anything else."),
)
# fmt: on

# What is spent in training, as `--by` takes it.
AXES = ("epochs", "updates", "images", "gradient-evaluations", "training-seconds")
BY_KEY = {measure.key: measure for measure in MEASURES}
TUNED_BY = "best_validation_loss"  # what chooses of several settings
DEFAULT_SORT, DEFAULT_METRIC = "best_validation_loss", "test_accuracy"
TEXT_COLUMNS = ("name", "optimizer", "seeds")  # what `--sort` takes besides the measures


def sort_column(name: str) -> str:
    """The column that a person means by `name`: case and `-` for `_` are forgiven.

    Raises:
        UserError: There is no such column; the nearest is named.
    """
    return _meant(name, (*TEXT_COLUMNS, *BY_KEY), "--sort must be a column")


def measure_called(name: str | None, known: Mapping[str, Measure] = BY_KEY) -> Measure:
    """The measure that a person means, likewise; None: the one that is judged by default."""
    if name is None:
        return known.get(DEFAULT_METRIC) or next(iter(known.values()))
    return known[_meant(name, tuple(known), "--metric must be a measure")]


def _meant(name: str, known: Sequence[str], must: str) -> str:
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    if wanted in known:
        return wanted
    hint = did_you_mean(wanted, known, cutoff=0.5)
    raise UserError(f"{must}, received: {name}.{hint} There are: {', '.join(known)}.")
