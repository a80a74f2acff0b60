"""The experiment as one tree of typed models.

The tree is the single source of the YAML keys, their defaults and ranges, `--set`, the comments
in configs/ and the resolved configuration saved with every run. Words of a field's description
go into that documentation; `expected` says in words what its type and range allow.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from optrun.data.feed.augmentation import LARGEST_CHANGES
from optrun.optimizers import specification
from optrun.runner.config import strict_yaml
from optrun.runner.config.problems import Path, received
from optrun.runner.ui.wording import one_of
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

SOURCE: Path = ("data", "source")
# The keys that hold a path, and the words that are none. Names of imported photos are none either.
PATH_KEYS: Mapping[Path, tuple[str, ...]] = {
    SOURCE: ("cats_vs_dogs", "sample"),
    ("model", "weights"): ("imagenet", "random"),
}
SAMPLE_SECTIONS = ("data", "model", "optimizer", "training")
NOT_ON_SAMPLE = ("source", "when_unavailable")  # keys of `data` that its section there lacks
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


def broken_rule(key: str, message: str) -> PydanticCustomError:
    """An error for a validator that looks at several keys of its section.

    Args:
        key: The one that the message is about; it stands where that is stated, else where the
            validated one is.
        message: What must be, and what was received.
    """
    return PydanticCustomError("broken_rule", "{message}", {"message": message, "key": key})


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


def _up_to(setting: str, description: str) -> Any:
    return Field(default=0.0, ge=0, le=LARGEST_CHANGES[setting], description=description)


class Augmentation(Section):
    """Random changes of the training photos; all off by default."""

    flip: bool = Field(
        default=False, description="Mirror half of the training photos left to right"
    )
    shift: Number = _up_to("shift", "Shift by up to this share of the side, along both axes")
    zoom: Number = _up_to("zoom", "Zoom in or out by up to this share")
    rotation: Number = _up_to("rotation", "Turn by up to this many degrees, either way")
    brightness: Number = _up_to("brightness", "Make brighter or darker by up to this share")
    contrast: Number = _up_to(
        "contrast",
        "Raise or lower the contrast by up to this share, around the photo's mean grey",
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

    @field_validator("test_share")
    @classmethod
    def _training_photos_are_left(cls, test_share: float, info: ValidationInfo) -> float:
        validation_share = info.data.get("validation_share", 0.0)
        if validation_share + test_share < 1:
            return test_share
        raise broken_rule(
            "validation_share",
            "must leave photos for training: with data.test_share it must be below 1, received "
            f"{received(validation_share)} and {received(test_share)}",
        )


class Head(Section):
    """What stands on top of VGG19's convolutional layers."""

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
    """The network: VGG19 with a new head."""

    weights: Word = Field(
        default="imagenet",
        description="The weights to start from",
        json_schema_extra={"expected": "imagenet, random, or the path of an .h5 file"},
    )
    width: Number = Field(
        default=1.0, gt=0, le=4, description="Factor on the number of channels in every layer"
    )
    trainable: Literal["all", "block2", "block3", "block4", "block5", "head"] = Field(
        default="all",
        description="The lowest block that learns, and all above it with it",
    )
    head: Head = Field(
        default_factory=Head, description="The head, in place of VGG19's own classifier"
    )

    @field_validator("width")
    @classmethod
    def _width_fits_weights(cls, width: float, info: ValidationInfo) -> float:
        if info.data.get("weights") != "imagenet" or width == 1:
            return width
        raise broken_rule(
            "width",
            f"must be 1 where model.weights is imagenet, received {received(width)}; "
            "set model.weights to random, or leave the width",
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
    model: Model = Field(
        default_factory=Model, description="The network: VGG19's convolutions under a new head"
    )
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


def value_at(experiment: Experiment, path: Sequence[str]) -> Any:
    """The value at a path of fields, such as `("training", "epochs")`."""
    value: Any = experiment
    for key in path:
        value = getattr(value, key)
    return value


def as_mapping(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain YAML types, complete; read again, it gives the same experiment."""
    mapping = experiment.model_dump(mode="json")
    if not mapping["sample"]:
        del mapping["sample"]
    return mapping


def as_yaml(experiment: Experiment) -> str:
    """The experiment as a YAML file; loaded, it gives the same experiment."""
    return strict_yaml.dump(as_mapping(experiment))
