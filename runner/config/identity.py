"""What identifies an experiment: the same for all of its seeds, and for no other experiment."""

import functools
import hashlib
import json
import operator
from collections.abc import Mapping
from typing import Any

from optrun.optimizers import user_defined
from optrun.runner.config.problems import Path
from optrun.runner.config.schema import PATH_KEYS, Experiment, as_mapping, value_at

# Keys that came later. At their defaults they don't count into an experiment's hash: they are what
# runs from before them did.
ADDED_KEYS: tuple[Path, ...] = (
    ("data", "resize"),
    ("data", "antialias"),
    ("data", "augmentation", "brightness"),
    ("data", "augmentation", "contrast"),
    ("model", "network"),
)

# Keys of `training` that make no two experiments differ.
IGNORED_OF_TRAINING = (
    *("seed", "tensorboard", "record_every", "checkpoint_minutes", "keep_last_checkpoint"),
)


def experiment_hash(experiment: Experiment, own_code: Mapping[str, str] | None = None) -> str:
    """SHA-256, in hexadecimal, of what the runs of one experiment have in common over its seeds.

    Left out are name, notes and seed, and what only says where and how it runs: the sample
    settings (merged already where they count), `when_unavailable`, and the keys of training in
    `IGNORED_OF_TRAINING`. A path counts as a path, wherever it leads: the photos and weights behind
    it have fingerprints of their own. Of a person's own optimizer count the class and the code,
    wherever that lies: `own_code` has its SHA-256, by the name in the specification.
    """
    mapping = as_mapping(experiment)
    for key in ("name", "notes", "sample"):
        mapping.pop(key, None)
    for key in IGNORED_OF_TRAINING:
        del mapping["training"][key]
    del mapping["data"]["when_unavailable"]
    for *sections, added in ADDED_KEYS:
        settings: dict[str, Any] = functools.reduce(operator.getitem, sections, mapping)
        if settings[added] == type(value_at(experiment, sections)).model_fields[added].default:
            del settings[added]
    for (section, key), path_words in PATH_KEYS.items():
        if mapping[section][key] not in path_words:
            mapping[section][key] = "path"
    mapping["optimizer"] = _with_code(mapping["optimizer"], own_code or {})
    text = json.dumps(_numbers_as_floats(mapping), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _with_code(optimizer: Mapping[str, Any], own_code: Mapping[str, str]) -> dict[str, Any]:
    changed = dict(optimizer)
    if user_defined.is_user_defined(changed["name"]):
        changed["name"] = f"{user_defined.split(changed['name'])[1]} {own_code[changed['name']]}"
    if isinstance(changed.get("inner_optimizer"), Mapping):
        changed["inner_optimizer"] = _with_code(changed["inner_optimizer"], own_code)
    return changed


def _numbers_as_floats(value: Any) -> Any:
    # 5 and 5.0 are the same setting, and may be written either way in an optimizer's arguments.
    if isinstance(value, dict):
        return {key: _numbers_as_floats(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_numbers_as_floats(child) for child in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
