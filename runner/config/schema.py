"""The experiment as one tree of typed models.

The tree is the single source of the YAML keys, their defaults and ranges, `--set`, the comments
in configs/ and the resolved configuration saved with every run. Words of a field's description
go into that documentation; `expected` says in words what its type and range allow.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from optrun.data.feed.augmentation import LARGEST_CHANGES
from optrun.optimizers.specification import Specification, parse
from optrun.runner.config import strict_yaml
from optrun.runner.config.problems import Path, received
from optrun.runner.models import networks
from optrun.runner.models.base import Architecture
from optrun.runner.ui.wording import one_of
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

SOURCE: Path = ("data", "source")
# The keys that hold a path, and the words that are none. Names of imported photos are none either.
PATH_KEYS: Mapping[Path, tuple[str, ...]] = {
    SOURCE: ("cats_vs_dogs", "sample"),
    ("model", "weights"): ("imagenet", "random"),
}
_BLOCKS = dict.fromkeys(block for one in networks.NETWORKS.values() for block in one.blocks)
if TYPE_CHECKING:
    NetworkName = str
    Trainable = str
else:
    NetworkName = Literal[tuple(networks.NETWORKS)]
    Trainable = Literal["all", *_BLOCKS, "head"]
SAMPLE_SECTIONS = ("data", "model", "optimizer", "training")
NOT_ON_SAMPLE = ("source", "when_unavailable")  # keys of `data` that its section there lacks
LARGEST = 2**31 - 1  # of any whole number; documentation leaves this bound out


def from_quoted_number(value: object) -> object:
    """A number in quotes, as writers of YAML 1.1 put `1e-3`, as the number; else the value itself.

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


def _broken_rule(key: str, message: str) -> PydanticCustomError:
    """An error about several keys of a section; it stands where `key` is stated, if it is."""
    return PydanticCustomError("broken_rule", "{message}", {"message": message, "key": key})


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be text on one line")
    return text


def _specified(stated: object, info: ValidationInfo) -> Specification:
    if isinstance(stated, Specification):
        return stated
    if isinstance(stated, dict):
        stated = from_quoted_numbers(stated)
    return parse(stated, import_user_code=bool((info.context or {}).get("import_own")))


def _setting(description: str, default: Any = ..., *, expected: str = "", **bounds: float) -> Any:
    """A key of the configuration; `expected` says what its type and bounds don't."""
    options: dict[str, Any] = {"description": description, **bounds}
    if expected:
        options["json_schema_extra"] = {"expected": expected}
    if isinstance(default, type):  # a section
        return Field(default_factory=default, **options)
    return Field(default, **options)


def _count(description: str, default: Any = ..., *, ge: int) -> Any:
    return _setting(description, default, ge=ge, le=LARGEST)


def _change(name: str, description: str) -> Any:
    """How far a random change of the photos goes at most; off by default."""
    return _setting(description, 0.0, ge=0, le=LARGEST_CHANGES[name])


Optimizer = Annotated[
    Specification,
    PlainValidator(_specified),
    PlainSerializer(Specification.as_mapping),
    WithJsonSchema({}),
]
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

    flip: bool = _setting("Mirror half of the training photos left to right", False)
    shift: Number = _change("shift", "Shift by up to this share of the side, along both axes")
    zoom: Number = _change("zoom", "Zoom in or out by up to this share")
    rotation: Number = _change("rotation", "Turn by up to this many degrees, either way")
    brightness: Number = _change("brightness", "Make brighter or darker by up to this share")
    contrast: Number = _change(
        "contrast", "Raise or lower the contrast by up to this share, around the photo's mean grey"
    )


class Data(Section):
    """The photos and what is done to them before the network sees them."""

    source: Word = _setting(
        "Where the photos come from",
        "cats_vs_dogs",
        expected="cats_vs_dogs, sample, an imported name, or the path of an archive or folder",
    )
    when_unavailable: Literal["error", "sample"] = _setting(
        "What to do where cats_vs_dogs cannot be downloaded", "error"
    )
    image_size: int = _count("Side of the square photos, in pixels", 224, ge=32)
    resize: Literal["squash", "crop", "pad"] = _setting(
        "How photos become square: squash distorts them, crop cuts off what is over on "
        "the longer side, pad fills up the shorter one with black",
        "squash",
    )
    antialias: bool = _setting(
        "Smooth photos while shrinking them, against jagged edges; preparing them takes longer",
        False,
    )
    limit: int | None = _count(
        "Use only this many photos, half of them cats; null takes all", None, ge=2
    )
    validation_share: Number = _setting(
        "Share of the photos that validate after every epoch", 0.1, gt=0, lt=1
    )
    test_share: Number = _setting(
        "Share of the photos that test the best epoch, once", 0.1, gt=0, lt=1
    )
    augmentation: Augmentation = _setting(
        "Random changes of the training photos, all off by default", Augmentation
    )

    @field_validator("test_share")
    @classmethod
    def _training_photos_are_left(cls, test_share: float, info: ValidationInfo) -> float:
        validation_share = info.data.get("validation_share", 0.0)
        if validation_share + test_share < 1:
            return test_share
        raise _broken_rule(
            "validation_share",
            "must leave photos for training: with data.test_share it must be below 1, received "
            f"{received(validation_share)} and {received(test_share)}",
        )


class Head(Section):
    """What stands on top of the network's last feature map."""

    pooling: Literal["average", "max", "flatten"] = _setting(
        "How the last feature map becomes a vector", "average"
    )
    hidden_units: Integers = _setting("Sizes of dense layers before the output; [] for none", ())
    dropout: Number = _setting(
        "Share of the values dropped before each dense layer, in training", 0.5, ge=0, lt=1
    )


class Model(Section):
    """The network, with a new head."""

    network: NetworkName = _setting("Whose layers stand below the head", networks.DEFAULT)
    weights: Word = _setting(
        "The weights to start from",
        "imagenet",
        expected="imagenet, random, or the path of an .h5 file",
    )
    width: Number = _setting(
        "Factor on the number of channels in every layer; networks of keras.applications take 1 "
        "alone",
        1.0,
        gt=0,
        le=4,
    )
    trainable: Trainable = _setting(
        "The lowest block that learns, and all above it with it; of what the network has", "all"
    )
    head: Head = _setting("The head, in place of the network's own classifier", Head)

    @field_validator("weights")
    @classmethod
    def _weights_fit_network(cls, weights: str, info: ValidationInfo) -> str:
        name = info.data.get("network", networks.DEFAULT)
        if weights == "random" or networks.NETWORKS[name].published is not None:
            return weights
        raise _broken_rule(
            "weights",
            f"must be random where model.network is {name}, which has no published weights, "
            f"received {received(weights)}",
        )

    @field_validator("width")
    @classmethod
    def _width_fits(cls, width: float, info: ValidationInfo) -> float:
        name = info.data.get("network", networks.DEFAULT)
        others = one_of([other for other, one in networks.NETWORKS.items() if one.scales])
        if width == 1:
            return width
        if info.data.get("weights") == "imagenet":
            where = "model.weights is imagenet"
            instead = "set model.weights to random, or leave the width"
        elif not networks.NETWORKS[name].scales:
            where, instead = f"model.network is {name}", f"{others} can be wider or narrower"
        else:
            return width
        message = f"must be 1 where {where}, received {received(width)}; {instead}"
        raise _broken_rule("width", message)

    @field_validator("trainable")
    @classmethod
    def _trainable_fits_network(cls, trainable: str, info: ValidationInfo) -> str:
        name = info.data.get("network", networks.DEFAULT)
        allowed = ("all", *networks.NETWORKS[name].blocks, "head")
        if trainable in allowed:
            return trainable
        raise _broken_rule(
            "trainable",
            f"must be {one_of(allowed)} where model.network is {name}, received {trainable}",
        )


class Training(Section):
    """How long and in which steps."""

    epochs: int = _count("Passes over the training photos", ge=1)
    batch_size: int = _count("Photos in a batch: each gradient is their mean", 16, ge=1)
    seed: int = _count("Fixes initial weights, order and augmentation", 1, ge=0)
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = _setting(
        "Number format; auto takes the fastest that the hardware computes natively", "auto"
    )
    jit_compile: Literal["auto"] | bool = _setting(
        "Compile with XLA; auto does so on a GPU alone", "auto"
    )
    early_stopping_patience: int | None = _count(
        "Stop after this many epochs without a lower validation loss; null never does", None, ge=1
    )
    checkpoint_minutes: Number = _setting(
        "Save everything at least this often, in minutes; also at the ends of epochs, "
        "unless these are very short",
        5.0,
        gt=0,
        le=1440,
    )
    keep_last_checkpoint: bool = _setting(
        "Keep what a completed run would go on from, beside the weights of its best epoch", False
    )
    deterministic: bool = _setting(
        "Bit-identical results on a GPU, at some cost in speed and without XLA", False
    )
    record_every: int = _count(
        "Record loss, accuracy and learning rate every this many steps", 20, ge=1
    )
    tensorboard: bool = _setting("Write TensorBoard events into the run folder", False)


class Experiment(Section):
    """One experiment, complete: every default is filled in, every check passed.

    Example:
        >>> experiment = Experiment.model_validate({
        ...     "name": "plain", "training": {"epochs": 3},
        ...     "optimizer": {"name": "sgd", "learning_rate": 0.01}})
        >>> experiment.training.batch_size, experiment.optimizer.arguments["momentum"]
        (16, 0.0)
    """

    name: Annotated[str, Field(pattern=r"\A\w[\w.-]{0,59}\Z")] = Field(
        description="First part of the run folders' names",
        json_schema_extra={
            "expected": "1 to 60 letters, digits, '_', '-' or '.'",
            "default": "the file's name",
        },
    )
    notes: str = _setting("Anything worth remembering, kept with every run", "")
    data: Data = _setting("The photos, and what the network gets to see of them", Data)
    model: Model = _setting("The network, and the new head over it", Model)
    optimizer: Optimizer = _setting(
        "The update rule: its `name` and the settings it takes; must be stated",
        expected="a mapping with the optimizer's `name` and its settings",
    )
    training: Training = _setting("How long, and in which steps")
    sample: dict[str, Any] = _setting(
        "What changes in a run on the built-in sample: any keys of these sections",
        {},
        expected=f"a mapping with {one_of(SAMPLE_SECTIONS)}",
    )


def value_at(experiment: Experiment, path: Sequence[str]) -> Any:
    """The value at a path of fields, such as `("training", "epochs")`."""
    return functools.reduce(getattr, path, experiment)


def architecture_of(experiment: Experiment) -> Architecture:
    """What decides the function that an experiment's network can compute."""
    model = experiment.model
    return Architecture(
        image_size=experiment.data.image_size,
        pretrained_input=model.weights != "random",
        network=model.network,
        width=model.width,
        trainable=model.trainable,
        **dict(model.head),
    )


def as_mapping(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain YAML types, complete; read again, it gives the same experiment."""
    return experiment.model_dump(mode="json", exclude=None if experiment.sample else {"sample"})


def as_yaml(experiment: Experiment) -> str:
    """The experiment as a YAML file; loaded, it gives the same experiment."""
    return strict_yaml.dump(as_mapping(experiment))
