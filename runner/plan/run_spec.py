"""All that one run needs, as plain data that can be sent to another process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optrun.runner.engine.hardware import Machine
from optrun.runner.plan.plan import PlannedRun


@dataclass(frozen=True)
class RunSpec:
    """All that one run needs, as plain data.

    Attributes:
        planned: What to do.
        results: Where a new run's folder is made.
        folder: The recorded run to go on with; None for a new one.
        machine: What it is computed on, every `auto` decided.
        weights_file: Published weights to start from; None for random ones.
        weights_hash: SHA-256 of that file; "random" for random weights.
        provenance: What is the same for all runs of its plan.
    """

    planned: PlannedRun
    results: Path
    folder: Path | None
    machine: Machine
    weights_file: Path | None
    weights_hash: str
    provenance: Mapping[str, Any] = field(repr=False)
