"""A comparison for programs: CSV and JSON, in full precision and in the units of run.json."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from optrun.runner.compare.comparison import Comparison, Group, Row, by_label
from optrun.runner.compare.judgement import Verdict
from optrun.runner.compare.settings_tried import as_json
from optrun.runner.runs.reader import Run
from optrun.runner.ui.text import csv_cell
from optrun.runner.untrusted import printable
from optrun.runner.verdict.metrics import MEASURES

FORMAT = 1
_CSV_COLUMNS = (
    "table,photos,setting,name,optimizer,distinctions,experiment,batch_size,images_per_update,"
    "seeds_count,seeds,diverged_seeds"
)
_CSV_VERDICT = "metric,baseline,conclusion,difference,low,high,p_value,p_adjusted"


def csv_text(comparison: Comparison, verdicts: Sequence[Verdict]) -> str:
    """One line for each experiment; the columns' names say the units.

    `table` numbers the tables: only lines of one table may be ranked together. Means and spreads
    are empty where there is none. The last columns are the verdict on the experiment, empty from
    `conclusion` on for the baseline and for what was not judged.
    """
    names = [measure.name_with_unit for measure in MEASURES]
    measures = [f"{name}_mean,{name}_spread" for name in names]
    lines = [",".join([_CSV_COLUMNS, *measures, _CSV_VERDICT])]
    tables = zip(comparison.groups, verdicts, strict=True)
    for number, (group, verdict) in enumerate(tables, 1):
        for label, row in by_label(group.rows).items():
            cells = [number, *_csv_cells(group, row), *_verdict_cells(verdict, label)]
            lines.append(",".join(map(csv_cell, cells)))
    return "\n".join(lines) + "\n"


def _csv_cells(group: Group, row: Row) -> list[object]:
    summaries = [row.summaries[measure.key] for measure in MEASURES]
    return [
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
        *(number for summary in summaries for number in (summary.mean, summary.spread)),
    ]


def _verdict_cells(verdict: Verdict, label: str) -> list[object]:
    cells: list[object] = [verdict.metric.key, verdict.baseline]
    for one in verdict.judged:
        if one.candidate == label:
            low, high = one.interval or (None, None)
            numbers = [one.difference, low, high, one.p_value, one.p_adjusted]
            return [*cells, str(one.conclusion), *numbers]
    return [*cells, *[None] * 6]


def json_text(comparison: Comparison, verdicts: Sequence[Verdict]) -> str:
    """Everything there is, with the values by seed; strict JSON, null for what is missing."""
    content = {
        "format": FORMAT,
        "sort": comparison.sort,
        "spread": "sample standard deviation (n - 1); null for fewer than two seeds",
        "measures": [
            {key: getattr(measure, key) for key in ("key", "unit", "better", "description")}
            for measure in MEASURES
        ],
        "tables": [
            {
                "photos": "sample" if group.sample else "real",
                "setting": dict(group.setting),
                "comparable": group.comparable,
                "allowed": {item.field: dict(item.values) for item in group.allowed},
                "differences": {item.field: dict(item.values) for item in group.differences},
                "unpaired_seeds": list(group.unpaired_seeds),
                "metric": verdict.metric.key,
                "baseline": verdict.baseline,
                "plan": verdict.plan,
                "comparisons": [
                    asdict(one) | {"over_photos": verdict.over_photos.get(one.candidate)}
                    for one in verdict.judged
                ],
                "conclusions": verdict.sentences,
                "notes": verdict.notes,
                "rows": [_row(row) for row in group.rows],
            }
            for group, verdict in zip(comparison.groups, verdicts, strict=True)
        ],
        "left_out": [
            {"kind": item.kind, "run": item.label, "path": printable(item.path), "why": item.why}
            for item in comparison.left_out
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _row(row: Row) -> dict[str, object]:
    measures = {
        key: {"mean": one.mean, "spread": one.spread, "values": one.values}
        for key, one in row.summaries.items()
    }
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
        "measures": measures,
        **as_json(row),
        "runs": [_run(run) for run in row.counting],
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
        "test_photos": record.test_photos,
    }
