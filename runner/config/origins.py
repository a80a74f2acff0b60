"""A resolved configuration with its origins, and in a line."""

from collections.abc import Iterator, Mapping
from typing import Any

from optrun.optimizers import specification
from optrun.runner.config.load import Loaded
from optrun.runner.config.problems import Path
from optrun.runner.config.schema import Experiment
from optrun.runner.config.strict_yaml import dump_on_one_line

_WIDEST_ALIGNED = 60  # a longer line keeps its comment, two spaces behind it


def show(loaded: Loaded) -> str:
    """The resolved configuration as YAML, behind each value where it comes from."""
    lines = list(_lines(loaded.resolved, loaded.origins))
    aligned = [len(text) for text, _ in lines if len(text) <= _WIDEST_ALIGNED]
    column = max(aligned, default=0)
    return "".join(
        f"{text}\n" if origin is None else f"{text:<{column}}  # {origin}\n"
        for text, origin in lines
    )


def _lines(
    mapping: Mapping[str, Any], origins: Mapping[Path, str], path: Path = ()
) -> Iterator[tuple[str, str | None]]:
    indent = "  " * len(path)
    for key, value in mapping.items():
        here = (*path, key)
        if isinstance(value, dict) and value:
            yield f"{indent}{dump_on_one_line(key)}:", None
            yield from _lines(value, origins, here)
        else:
            yield f"{indent}{dump_on_one_line(key)}: {dump_on_one_line(value)}", origins[here]


def summary(experiment: Experiment) -> str:
    """What an experiment is, in a line.

    >>> summary(Experiment.model_validate({
    ...     "name": "plain", "training": {"epochs": 3},
    ...     "optimizer": {"name": "sgd", "learning_rate": 0.01}}))
    'SGD 0.01; VGG19 from imagenet; cats_vs_dogs at 224 px; 3 epochs of batches of 16'
    """
    model, data, training = experiment.model, experiment.data, experiment.training
    width = "" if model.width == 1 else f", width {model.width:g}"
    epochs = "1 epoch" if training.epochs == 1 else f"{training.epochs} epochs"
    return "; ".join(
        (
            specification.describe(experiment.optimizer),
            f"VGG19 from {model.weights}{width}",
            f"{data.source} at {data.image_size} px",
            f"{epochs} of batches of {training.batch_size}",
        )
    )
