"""The experiment as one tree of typed models.

The tree is the single source of the YAML keys, their defaults and ranges, `--set`, the comments
in configs/ and the resolved configuration saved with every run. Words of a field's description
go into that documentation; `expected` says in words what its type and range allow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from optrun.optimizers import specification
from optrun.runner.config import strict_yaml
from optrun.runner.config.problems import Path, dotted, one_of, received
from optrun.runner.models import registry
from optrun.runner.models.base import Architecture, Network
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    field_validator,
    model_validator,
)

SOURCE: Path = ("data", "source")
# The keys that hold a path, and the words that are none. Names of imported photos are none either.
PATH_KEYS: Mapping[Path, tuple[str, ...]] = {
    SOURCE: ("cats_vs_dogs", "sample"),
    ("model", "weights"): ("imagenet", "random"),
}
_BLOCKS = dict.fromkeys(block for one in registry.NETWORKS.values() for block in one.blocks)
if TYPE_CHECKING:
    NetworkName = str
    Trainable = str
else:
    NetworkName = Literal[tuple(registry.NETWORKS)]
    Trainable = Literal["all", *_BLOCKS, "head"]
SAMPLE_SECTIONS = ("data", "model", "optimizer", "training")
LARGEST = 2**31 - 1  # of any whole number; documentation leaves this bound out


def from_quoted_number(value: object) -> object:
    """A number in quotes as the number, anything else as it is.

    Readers of YAML 1.1 take `1e-3` for text, and write it so.

    >>> from_quoted_number("1e-3"), from_quoted_number("fast")
    (0.001, 'fast')
    """
    if isinstance(value, str):
        number = strict_yaml.resolve(value)
        if isinstance(number, int | float) and not isinstance(number, bool):
            return number
    return value


def from_quoted_numbers(stated: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's specification with numbers in quotes as numbers, in nested mappings too."""
    return {
        key: from_quoted_numbers(value) if isinstance(value, dict) else from_quoted_number(value)
        for key, value in stated.items()
    }


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be text on one line")
    return text


Number = Annotated[float, BeforeValidator(from_quoted_number), Field(allow_inf_nan=False)]
Word = Annotated[str, AfterValidator(_one_line)]
Integers = Annotated[
    tuple[Annotated[int, Strict(), Field(ge=1, le=LARGEST)], ...],
    Strict(False),  # YAML has lists, not tuples
    BeforeValidator(lambda value: value if isinstance(value, list | tuple) else None),
]


class Section(BaseModel):
    """What all sections share: no unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, regex_engine="python-re"
    )


class Augmentation(Section):
    """Random changes of the training photos; all off by default."""

    flip: bool = Field(
        default=False, description="Mirror half of the training photos left to right"
    )
    shift: Number = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Shift by up to this share of the side, along both axes",
    )
    zoom: Number = Field(
        default=0.0, ge=0, le=0.5, description="Zoom in or out by up to this share"
    )
    rotation: Number = Field(
        default=0.0, ge=0, le=180, description="Turn by up to this many degrees, either way"
    )
    brightness: Number = Field(
        default=0.0, ge=0, le=1, description="Make brighter or darker by up to this share"
    )
    contrast: Number = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Raise or lower the contrast by up to this share, around the photo's mean grey",
    )


class Data(Section):
    """The photos and what is done to them before the network sees them."""

    source: Word = Field(
        default="cats_vs_dogs",
        description="Where the photos come from",
        json_schema_extra={
            "expected": "cats_vs_dogs, sample, an imported name, "
            "or the path of an archive or folder"
        },
    )
    when_unavailable: Literal["error", "sample"] = Field(
        default="error", description="What to do where cats_vs_dogs cannot be downloaded"
    )
    image_size: int = Field(
        default=224, ge=32, le=LARGEST, description="Side of the square photos, in pixels"
    )
    resize: Literal["squash", "crop", "pad"] = Field(
        default="squash",
        description="How photos become square: squash distorts them, crop cuts off what is over on "
        "the longer side, pad fills up the shorter one with black",
    )
    antialias: bool = Field(
        default=False,
        description="Smooth photos while shrinking them, against jagged edges; preparing them "
        "takes longer",
    )
    limit: int | None = Field(
        default=None,
        ge=2,
        le=LARGEST,
        description="Use only this many photos, half of them cats; null takes all",
    )
    validation_share: Number = Field(
        default=0.1, gt=0, lt=1, description="Share of the photos that validate after every epoch"
    )
    test_share: Number = Field(
        default=0.1, gt=0, lt=1, description="Share of the photos that test the best epoch, once"
    )
    augmentation: Augmentation = Field(
        default_factory=Augmentation,
        description="Random changes of the training photos, all off by default",
    )


class Head(Section):
    """What stands on top of the network's last feature map."""

    pooling: Literal["average", "max", "flatten"] = Field(
        default="average", description="How the last feature map becomes a vector"
    )
    hidden_units: Integers = Field(
        default=(), description="Sizes of dense layers before the output; [] for none"
    )
    dropout: Number = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Share of the values dropped before each dense layer, in training",
    )


class Model(Section):
    """The network, with a new head."""

    network: NetworkName = Field(
        default=registry.DEFAULT, description="Whose layers stand below the head"
    )
    weights: Word = Field(
        default="imagenet",
        description="The weights to start from",
        json_schema_extra={"expected": "imagenet, random, or the path of an .h5 file"},
    )
    width: Number = Field(
        default=1.0,
        gt=0,
        le=4,
        description="Factor on the number of channels in every layer; networks of "
        "keras.applications take 1 alone",
    )
    trainable: Trainable = Field(
        default="all",
        description="The lowest block that learns, and all above it with it; of what the network "
        "has",
    )
    head: Head = Field(
        default_factory=Head, description="The head, in place of the network's own classifier"
    )


class Training(Section):
    """How long and in which steps."""

    epochs: int = Field(ge=1, le=LARGEST, description="Passes over the training photos")
    batch_size: int = Field(
        default=16, ge=1, le=LARGEST, description="Photos in a batch: each gradient is their mean"
    )
    seed: int = Field(
        default=1, ge=0, le=LARGEST, description="Fixes initial weights, order and augmentation"
    )
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = Field(
        default="auto",
        description="Number format; auto takes the fastest that the hardware computes natively",
    )
    jit_compile: Literal["auto"] | bool = Field(
        default="auto", description="Compile with XLA; auto does so on a GPU alone"
    )
    early_stopping_patience: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST,
        description="Stop after this many epochs without a lower validation loss; null never does",
    )
    checkpoint_minutes: Number = Field(
        default=5.0,
        gt=0,
        le=1440,
        description="Save everything at least this often, in minutes; also at the ends of epochs, "
        "unless these are very short",
    )
    deterministic: bool = Field(
        default=False,
        description="Bit-identical results on a GPU, at some cost in speed and without XLA",
    )
    tensorboard: bool = Field(
        default=False, description="Write TensorBoard events into the run folder"
    )


class Experiment(Section):
    """One experiment, complete: every default is filled in, every check passed.

    Example:
        >>> experiment = Experiment.model_validate({
        ...     "name": "plain", "training": {"epochs": 3},
        ...     "optimizer": {"name": "sgd", "learning_rate": 0.01}})
        >>> experiment.training.batch_size, experiment.optimizer["momentum"]
        (16, 0.0)
    """

    name: Annotated[str, Field(pattern=r"\A\w[\w.-]{0,59}\Z")] = Field(
        description="First part of the run folders' names",
        json_schema_extra={
            "expected": "1 to 60 letters, digits, '_', '-' or '.'",
            "default": "the file's name",
        },
    )
    notes: str = Field(default="", description="Anything worth remembering, kept with every run")
    data: Data = Field(
        default_factory=Data, description="The photos, and what the network gets to see of them"
    )
    model: Model = Field(default_factory=Model, description="The network, and the new head over it")
    optimizer: dict[str, Any] = Field(
        description="The update rule: its `name` and the settings it takes; must be stated",
        json_schema_extra={"expected": "a mapping with the optimizer's `name` and its settings"},
    )
    training: Training = Field(description="How long, and in which steps")
    sample: dict[str, Any] = Field(
        default={},
        description="What changes in a run on the built-in sample: any keys of these sections",
        json_schema_extra={"expected": f"a mapping with {one_of(SAMPLE_SECTIONS)}"},
    )

    @field_validator("optimizer")
    @classmethod
    def _complete_optimizer(cls, stated: dict[str, Any]) -> dict[str, Any]:
        return specification.resolve(from_quoted_numbers(stated))

    @model_validator(mode="after")
    def _hold_rules(self) -> "Experiment":
        for rule in RULES:
            broken = rule.broken(*(value_at(self, path) for path in rule.paths))
            if broken:
                raise ValueError(f"{dotted(rule.paths[0])} {broken}")
        return self


@dataclass(frozen=True)
class Rule:
    """A condition on several values at once.

    Attributes:
        paths: The values it is about; the message reads on from the first.
        broken: From these values, what is wrong with them, or None.
    """

    paths: tuple[Path, ...]
    broken: Callable[..., str | None]


def _width_fits_weights(width: float, weights: str) -> str | None:
    if weights != "imagenet" or width == 1:
        return None
    return (
        f"must be 1 where model.weights is imagenet, received {received(width)}; "
        "set model.weights to random, or leave the width"
    )


def _width_fits_network(width: float, network: str) -> str | None:
    if width == 1 or registry.NETWORKS[network].scales:
        return None
    return (
        f"must be 1 where model.network is {network}, received {received(width)}; "
        f"{one_of(_names(lambda one: one.scales))} can be wider or narrower"
    )


def _weights_fit_network(weights: str, network: str) -> str | None:
    if weights == "random" or registry.NETWORKS[network].published is not None:
        return None
    return (
        f"must be random where model.network is {network}, which has no published weights, "
        f"received {received(weights)}"
    )


def _trainable_fits_network(trainable: str, network: str) -> str | None:
    allowed = ("all", *registry.NETWORKS[network].blocks, "head")
    if trainable in allowed:
        return None
    return f"must be {one_of(allowed)} where model.network is {network}, received {trainable}"


def _names(wanted: Callable[[Network], bool]) -> list[str]:
    return [name for name, one in registry.NETWORKS.items() if wanted(one)]


def _shares_leave_training_photos(validation: float, test: float) -> str | None:
    if validation + test < 1:
        return None
    return (
        "must leave photos for training: with data.test_share it must be below 1, received "
        f"{received(validation)} and {received(test)}"
    )


RULES = (
    Rule((("model", "width"), ("model", "weights")), _width_fits_weights),
    Rule((("model", "width"), ("model", "network")), _width_fits_network),
    Rule((("model", "weights"), ("model", "network")), _weights_fit_network),
    Rule((("model", "trainable"), ("model", "network")), _trainable_fits_network),
    Rule((("data", "validation_share"), ("data", "test_share")), _shares_leave_training_photos),
)


def value_at(experiment: Experiment, path: Sequence[str]) -> Any:
    """The value at a path of fields, such as `("training", "epochs")`."""
    value: Any = experiment
    for key in path:
        value = getattr(value, key)
    return value


def architecture_of(experiment: Experiment) -> Architecture:
    """What decides the function that an experiment's network can compute."""
    model = experiment.model
    return Architecture(
        image_size=experiment.data.image_size,
        pretrained_input=model.weights != "random",
        network=model.network,
        width=model.width,
        pooling=model.head.pooling,
        hidden_units=tuple(model.head.hidden_units),
        dropout=model.head.dropout,
        trainable=model.trainable,
    )


def as_mapping(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain YAML types, complete; read again, it gives the same experiment."""
    mapping = experiment.model_dump(mode="json")
    if not mapping["sample"]:
        del mapping["sample"]
    return mapping
