"""A person's own optimizer in a run: told from others by its code, and copied into the folder."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from optrun.optimizers import user_defined
from optrun.optimizers.user_defined import UserOptimizer, load
from optrun.runner.config.schema import Experiment


def fingerprints(experiment: Experiment) -> dict[str, str]:
    """SHA-256 of the code behind each own name, for `experiment_hash`."""
    return {name: load(name).sha256 for name in experiment.optimizer.user_defined_names}


def copies(experiment: Experiment) -> dict[str, bytes]:
    """The files to write into the run's folder: name and content as it was imported."""
    names = _copy_names(experiment)
    return {names[one.file]: one.content for one in _loaded(experiment)}


def reading_copies(experiment: Experiment) -> Experiment:
    """The experiment as its run's folder states it: with the copies in place of the files.

    An installed module keeps its name, since it may need its neighbours.
    """
    names = _copy_names(experiment)

    def new_name(name: str) -> str:
        file, class_name = user_defined.split(name)
        in_file = user_defined.is_in_file(name)
        copy = names.get(FilePath(file).resolve()) if in_file else None
        return name if copy is None else f"{copy}:{class_name}"

    def renamed(stated: Mapping[str, Any]) -> dict[str, Any]:
        changed = dict(stated)
        if isinstance(changed.get("name"), str):
            changed["name"] = new_name(changed["name"])
        if isinstance(changed.get("inner_optimizer"), Mapping):
            changed["inner_optimizer"] = renamed(changed["inner_optimizer"])
        return changed

    sample = dict(experiment.sample)
    if isinstance(sample.get("optimizer"), Mapping):
        sample["optimizer"] = renamed(sample["optimizer"])
    return experiment.model_copy(
        update={"optimizer": experiment.optimizer.renamed(new_name), "sample": sample}
    )


def facts(experiment: Experiment) -> list[dict[str, str]]:
    """What run.json says about the code: where it was, what it was, where its copy is."""
    names = _copy_names(experiment)
    return [
        {"name": one.name, "file": str(one.file), "sha256": one.sha256, "copy": names[one.file]}
        for one in _loaded(experiment)
    ]


def _loaded(experiment: Experiment) -> list[UserOptimizer]:
    return [load(name) for name in experiment.optimizer.user_defined_names]


def _copy_names(experiment: Experiment) -> dict[FilePath, str]:
    """optimizer.py for the first file, optimizer_2.py for a second."""
    files = dict.fromkeys(one.file for one in _loaded(experiment))
    return {
        file: f"optimizer{'' if number == 1 else f'_{number}'}{file.suffix}"
        for number, file in enumerate(files, start=1)
    }
