"""A comparison for programs: CSV and JSON, in full precision and in the units of run.json."""

import json

from optrun.runner.compare import footnotes as captions
from optrun.runner.compare.comparison import Comparison, Group, Row
from optrun.runner.compare.metrics import MEASURES
from optrun.runner.runs.reader import Run
from optrun.runner.ui.text import csv_cell
from optrun.runner.untrusted import printable

FORMAT = 1


def csv_text(comparison: Comparison) -> str:
    """One line for each experiment; the columns' names say the units.

    `table` numbers the tables: only lines of one table may be ranked together. Means and spreads
    are empty where there is none.
    """
    header = ["table", "photos", "setting", "name", "optimizer", "distinctions", "experiment"]
    header += ["batch_size", "images_per_update", "seeds_count", "seeds", "diverged_seeds"]
    for measure in MEASURES:
        header += [f"{measure.name_with_unit}_mean", f"{measure.name_with_unit}_spread"]
    lines = [",".join(header)]
    for number, group in enumerate(comparison.groups, 1):
        for row in group.rows:
            lines.append(",".join(map(csv_cell, [number, *_csv_cells(group, row)])))
    return "\n".join(lines) + "\n"


def json_text(comparison: Comparison) -> str:
    """Everything there is, with the values by seed; strict JSON, null for what is missing."""
    content = {
        "format": FORMAT,
        "sort": comparison.sort,
        "spread": "sample standard deviation (n - 1); null for fewer than two seeds",
        "measures": [
            {
                "key": measure.key,
                "unit": measure.unit,
                "better": measure.better,
                "description": measure.description,
            }
            for measure in MEASURES
        ],
        "tables": [_group(group) for group in comparison.groups],
        "left_out": [
            {"kind": item.kind, "run": item.label, "path": printable(item.path), "why": item.why}
            for item in comparison.left_out
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _csv_cells(group: Group, row: Row) -> list[object]:
    cells: list[object] = [
        "sample" if group.sample else "real",
        "; ".join(f"{name}={value}" for name, value in group.setting),
        row.name,
        row.newest.optimizer,
        "; ".join(row.distinctions),
        row.newest.experiment,
        row.newest.batch_size,
        row.newest.images_per_update,
        len(row.runs),
        " ".join(str(seed) for seed in row.seeds),
        " ".join(str(run.record.seed) for run in row.diverged),
    ]
    for measure in MEASURES:
        summary = row.summaries[measure.key]
        cells += [summary.mean, summary.spread]
    return cells


def _group(group: Group) -> dict[str, object]:
    return {
        "photos": "sample" if group.sample else "real",
        "setting": dict(group.setting),
        "comparable": group.comparable,
        "differences": {item.field: dict(item.values) for item in group.differences},
        "conclusion": captions.conclusion(group),
        "rows": [_row(row) for row in group.rows],
    }


def _row(row: Row) -> dict[str, object]:
    return {
        "name": row.name,
        "other_names": row.other_names,
        "optimizer": row.newest.optimizer,
        "distinctions": row.distinctions,
        "specification": row.newest.specification,
        "experiment": row.newest.experiment,
        "batch_size": row.newest.batch_size,
        "images_per_update": row.newest.images_per_update,
        "seeds": row.seeds,
        "diverged_seeds": [run.record.seed for run in row.diverged],
        "measures": {
            measure.key: {
                "mean": row.summaries[measure.key].mean,
                "spread": row.summaries[measure.key].spread,
                "values": row.summaries[measure.key].values,
            }
            for measure in MEASURES
        },
        "runs": [_run(run) for run in (*row.runs, *row.diverged)],
    }


def _run(run: Run) -> dict[str, object]:
    record = run.record
    return {
        "run": run.label,
        "path": printable(str(run.folder)),
        "seed": record.seed,
        "state": run.status,
        "why": record.why,
        "started": record.started.isoformat(),
        "initial_weights": record.initial_weights,
        "first_batches": record.first_batches,
    }
