"""What `optrun judge` does: conclude from anyone's measurements, in words, a table or JSON."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from optrun.runner.errors import UserError
from optrun.runner.ui.table import Column, row_lines
from optrun.runner.ui.text import csv_cell, is_styled, show, style, terminal_width, widest, wrap
from optrun.runner.ui.wording import did_you_mean
from optrun.runner.untrusted import printable
from optrun.runner.verdict import event_folders, measurements
from optrun.runner.verdict.conclusions import ALPHA, Judged, judge
from optrun.runner.verdict.measurements import Measurements
from optrun.runner.verdict.metrics import Metric
from optrun.runner.verdict.sentences import Unit, in_common, notes, sentences
from optrun.runner.verdict.summary import summarise

FORMAT = 1
_USUAL_BASELINES = ("baseline", "sgd")
_HIGHER = ("accuracy", "acc", "auc", "f1", "score", "precision", "recall", "reward", "bleu")
_LOWER = ("loss", "error", "perplexity", "ppl", "seconds", "time", "mse", "mae", "rmse")


def judge_file(
    path: Path,
    *,
    runs_from: Path | None,
    metric: str | None,
    better: str | None,
    baseline: str | None,
    margin: float | None,
    experiment_column: str,
    seed_column: str,
    layout: str,
) -> None:
    """Read, judge and print; the arguments are those of `optrun judge`."""
    columns = {"experiment_column": experiment_column, "seed_column": seed_column}
    if path.is_dir():
        found = event_folders.read(path, metric=metric, runs_from=runs_from, **columns)
    elif runs_from is not None:
        raise UserError(
            f"--runs-from is for a folder of event files, received: {printable(str(path))}"
        )
    else:
        found = measurements.read(path, metric=metric, **columns)
    chosen = Metric(found.metric, higher_is_better=_is_higher_better(found.metric, better))
    counted = {name: values for name, values in found.values.items() if values}
    reference = _baseline(list(counted), baseline)
    judged = judge(counted, reference, chosen, margin=margin)
    if layout == "json":
        text = _json(found, chosen, reference, margin, judged)
    elif layout == "csv":
        text = _csv(judged)
    else:
        lines = list(sentences(judged, Unit(found.metric)))
        text = (_markdown if layout == "markdown" else _table)(found, reference, judged, lines)
    show(text)


def _is_higher_better(metric: str, stated: str | None) -> bool:
    if stated is not None:
        return stated == "higher"
    words = re.split("[^a-z0-9]+", metric.lower())
    is_higher, is_lower = (any(word in words for word in known) for known in (_HIGHER, _LOWER))
    if is_higher == is_lower:
        raise UserError(
            f"--better must say whether higher or lower values of {metric} are better: its name "
            "does not"
        )
    return is_higher


def _baseline(names: Sequence[str], stated: str | None) -> str:
    if len(names) < 2:
        raise UserError(
            f"there must be two experiments with numbers to compare, received: "
            f"{', '.join(names) or 'none'}"
        )
    usual = [name for name in names if name.lower() in _USUAL_BASELINES]
    wanted = stated or (usual[0] if len(usual) == 1 else None)
    if wanted is not None and wanted in names:
        return wanted
    raise UserError(
        f"--baseline must name one of the experiments, {', '.join(names)}"
        f"{f'; received: {wanted}.{did_you_mean(wanted, names)}' if wanted else ''}"
    )


def _notes(found: Measurements, judged: Sequence[Judged]) -> list[str]:
    return [*in_common(judged, found.values), *notes(judged)]


def _table(
    found: Measurements, baseline: str, judged: Sequence[Judged], said: Sequence[str]
) -> str:
    width = min(terminal_width(), 100)
    lines = [style(line, "strong", is_styled()) for text in said for line in wrap(text, width)]
    cells = [["experiment", "seeds", found.metric], *_rows(found, baseline)]
    widths = [widest(column) for column in zip(*cells, strict=True)]
    columns = [Column(widths[0]), *(Column(one, right=True) for one in widths[1:])]
    lines.append("")
    for row in cells:
        lines += row_lines(row, columns)
    lines.append("")
    for text in (*found.notes, *_notes(found, judged)):
        lines += wrap(text, width)
    return "\n".join(lines) + "\n"


def _markdown(
    found: Measurements, baseline: str, judged: Sequence[Judged], said: Sequence[str]
) -> str:
    cells = [["experiment", "seeds", found.metric], ["---", "---:", "---:"]]
    table = [f"| {' | '.join(row)} |" for row in (*cells, *_rows(found, baseline))]
    noted = [f"- {text}" for text in (*found.notes, *_notes(found, judged))]
    return "\n".join([*(f"**{text}**  " for text in said), "", *table, "", *noted]) + "\n"


def _rows(found: Measurements, baseline: str) -> Iterator[list[str]]:
    for name, values in found.values.items():
        summary = summarise([*values.values()])
        shown = "–" if summary.mean is None else f"{summary.mean:.6g}"
        shown += "" if summary.spread is None else f" ± {summary.spread:.2g}"
        yield [f"{name} (baseline)" if name == baseline else name, str(len(values)), shown]


def _csv(judged: Sequence[Judged]) -> str:
    """A line for each comparison; the interval's ends are `low` and `high`."""
    rows = []
    for one in judged:
        content = asdict(one)
        low, high = content.pop("interval") or (None, None)
        content["seeds"] = " ".join(map(str, one.seeds))
        rows.append(content | {"low": low, "high": high})
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(",".join(map(csv_cell, line)) + "\n" for line in lines)


def _json(
    found: Measurements,
    metric: Metric,
    baseline: str,
    margin: float | None,
    judged: Sequence[Judged],
) -> str:
    experiments = []
    for name, values in found.values.items():
        summary = summarise([*values.values()])
        seeds = {str(seed): value for seed, value in values.items()}
        facts = {"name": name, "mean": summary.mean, "spread": summary.spread, "values": seeds}
        experiments.append(facts)
    content = {
        "format": FORMAT,
        "metric": metric.name,
        "better": "higher" if metric.higher_is_better else "lower",
        "baseline": baseline,
        "alpha": ALPHA,
        "margin": margin,
        "comparisons": [asdict(one) for one in judged],
        "experiments": experiments,
        "sentences": list(sentences(judged, Unit(found.metric))),
        "notes": [*found.notes, *_notes(found, judged)],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
