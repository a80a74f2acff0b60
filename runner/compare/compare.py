"""What `optrun compare` does: read the runs, compare them, show or write the result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from optrun.data.files import write_atomically
from optrun.runner.compare import endings, photo_bootstrap
from optrun.runner.compare.budgets import CURVES, within_budget
from optrun.runner.compare.comparison import Comparison, Group
from optrun.runner.compare.comparison import compare as compare_runs
from optrun.runner.compare.footnotes import NOTHING_YET
from optrun.runner.compare.judgement import BATCHES, Verdict, by_seed, row_called, verdict
from optrun.runner.compare.judgement import require as judge_pair
from optrun.runner.compare.notes import notes
from optrun.runner.compare.planned import by_plan
from optrun.runner.errors import UserError, unwritable
from optrun.runner.runs.reader import Run, looked_in, read_all
from optrun.runner.runs.record import GUARDED_PACKAGES
from optrun.runner.runs.sequential_plan import read_plans
from optrun.runner.ui.text import (
    WIDE,
    has_scrolled_away,
    is_styled,
    layout_of,
    show,
    terminal_width,
    wrap,
)
from optrun.runner.ui.wording import did_you_mean, number_of
from optrun.runner.untrusted import printable
from optrun.runner.verdict.metrics import BY_KEY, DEFAULT_SORT, Measure, measure_called, sort_column

NOT_MET = 4  # the exit code where what was required is not so
_FORMAT_BY_SUFFIX = {".md": "markdown", ".csv": "csv", ".json": "json"}


@dataclass(frozen=True)
class Tables:
    """Runs compared, with the verdict on each table."""

    comparison: Comparison
    verdicts: Sequence[Verdict]  # in the order of the tables
    judged: Callable[[Group, str | None], Verdict]  # on a table, against a baseline
    by_cost: bool  # whether what whole trainings computed has a part in it
    places: str  # where the runs were looked for

    def noted(self) -> "Tables":
        """With what further files of the runs tell, which takes longer."""
        pairs = zip(self.comparison.groups, self.verdicts, strict=True)
        count = len(self.verdicts)
        noted = [_noted(group, found, count, by_cost=self.by_cost) for group, found in pairs]
        return replace(self, verdicts=noted)


def compare(
    paths: Sequence[Path],
    *,
    metric: str | None,
    by: str | None,
    target: float | None,
    baseline: str | None,
    margin: float | None,
    allow: Sequence[str],
    require: Sequence[str],
    per_seed: bool,
    sort: str,
    layout: str | None,
    output: Path | None,
) -> int:
    """Compares the runs in the folders, on the screen or into a file; returns the exit code.

    Args:
        paths: Folders of runs, or folders of single runs; none stands for `results`.
        metric: The measure that the verdict is about; None: test accuracy, or with `by` that of
            validation.
        by: What is spent, for a verdict on the best within what all runs have; None: to the end.
        target: With `by`, whose cost is told, in the unit of the table.
        baseline: The experiment or optimizer that others are set against; None: SGD.
        margin: The smallest difference that matters, in the unit that a table shows.
        allow: Fields that may differ within a table all the same; it then says so.
        require: `A>=B`, each to hold; where one does not, that is said and the code is 4.
        per_seed: Whether each seed's value is shown.
        layout: table, markdown, csv or json; None: by the output's name, else table.

    Raises:
        UserError: A path is missing, there is no such column, the file cannot be written.
    """
    if output is not None and layout is None:
        layout = layout_of(output, _FORMAT_BY_SUFFIX, "--output")
    layout = layout or "table"
    tables = tables_of(
        paths,
        metric=metric,
        by=by,
        target=target,
        baseline=baseline,
        margin=margin,
        allow=allow,
        sort=sort,
    )
    if per_seed:
        seen = [replace(one, notes=(*by_seed(one), *one.notes)) for one in tables.verdicts]
        tables = replace(tables, verdicts=seen)
    if layout != "csv":  # which has no words
        tables = tables.noted()
    comparison, verdicts = tables.comparison, tables.verdicts
    broken = []
    for text in require if comparison.groups else ():
        holds, lines = judge_pair(text, comparison.groups, tables.judged)
        if not holds:
            broken += [f"{text} is not met: {line}" for line in lines]

    if output is not None:
        _write(comparison, verdicts, layout, output)
    elif layout != "table" or comparison.groups or comparison.left_out:
        _show(comparison, verdicts, layout)
    if not comparison.groups:
        quiet = output is not None or layout != "table"
        click.echo(NOTHING_YET.format(places=tables.places), err=quiet, nl=False)
    for line in broken:
        click.echo(f"optrun: {line}", err=True)
    return NOT_MET if broken or (require and not comparison.groups) else 0


def tables_of(
    paths: Sequence[Path],
    *,
    metric: str | None = None,
    by: str | None = None,
    target: float | None = None,
    baseline: str | None = None,
    margin: float | None = None,
    allow: Sequence[str] = (),
    sort: str = DEFAULT_SORT,
) -> Tables:
    """The runs in the folders, compared and judged; the arguments are those of `compare`."""
    column, judged_by = sort_column(sort), measure_called(metric, CURVES if by else BY_KEY)
    meant, existing = looked_in(paths)
    runs, unreadable = read_all(existing)
    _require_fields(allow, runs)
    comparison = compare_runs(runs, unreadable, sort=column, allow=allow)
    if metric is not None and by is None:
        _require_values(judged_by, comparison)
    if baseline is not None:
        row_called(baseline, comparison.groups)

    plans = read_plans(existing)
    options = {"metric": metric, "by": by, "baseline": baseline, "margin": margin}
    asked = [f"--{name}" for name, value in options.items() if value is not None]

    counting = [
        run.record for group in comparison.groups for row in group.rows for run in row.counting
    ]

    def judged(group: Group, baseline: str | None = baseline) -> Verdict:
        if by is not None:
            found = within_budget(
                group, by, judged_by, target=target, baseline=baseline, margin=margin, allow=allow
            )
        else:
            found = verdict(group, judged_by, baseline=baseline, margin=margin, allow=allow)
        return by_plan(group, plans, found, counting, asked=asked)

    verdicts = [judged(group) for group in comparison.groups]
    places = ", ".join(printable(str(path)) for path in meant)
    return Tables(comparison, verdicts, judged, by is None, places)


def _noted(group: Group, found: Verdict, tables: int, *, by_cost: bool) -> Verdict:
    """The verdict on one of so many tables, with what further files of its runs tell."""
    files = photo_bootstrap.MOST_FILES // tables
    found = replace(found, over_photos=photo_bootstrap.over_photos(group, found, files=files))
    files = endings.MOST_FILES // tables
    return replace(found, notes=tuple(notes(group, found, by_cost=by_cost, files=files)))


def _require_fields(allow: Sequence[str], runs: Sequence[Run]) -> None:
    """Refuse what is no field that must be equal."""
    if not allow:
        return
    fields = {name for run in runs for name in run.record.guarded}
    known = {BATCHES, "sample", *GUARDED_PACKAGES, *fields}
    for name in allow:
        if runs and name not in known:
            raise UserError(
                f"--allow must name a field that tables differ in, received: {name}."
                f"{did_you_mean(name, known)} There are: {', '.join(sorted(known))}."
            )


def _require_values(metric: Measure, comparison: Comparison) -> None:
    """Refuse a measure that was asked for and that none of the completed runs has."""
    rows = [row for group in comparison.groups for row in group.rows if row.runs]
    there = {
        key
        for row in rows
        for key, one in row.summaries.items()
        if any(value is not None for value in one.values)
    }
    if rows and metric.key not in there:
        has = f"They have: {', '.join(key for key in BY_KEY if key in there)}." if there else ""
        raise UserError(
            "--metric must be a measure that a completed run has, received: "
            f"{metric.key}, which none of them recorded. {has or 'They recorded no measure.'}"
        )


def _write(comparison: Comparison, verdicts: Sequence[Verdict], layout: str, output: Path) -> None:
    try:
        text = _text(comparison, verdicts, layout, width=WIDE, styled=False)
        write_atomically(output, text.encode())
    except OSError as error:
        raise unwritable(output, error) from error
    rows = number_of(sum(len(group.rows) for group in comparison.groups), "row")
    click.echo(f"Wrote {rows} ({layout}) to {output}", err=True)


def _show(comparison: Comparison, verdicts: Sequence[Verdict], layout: str) -> None:
    """On the screen; what is concluded once more where it has scrolled away."""
    width = terminal_width()
    text = _text(comparison, verdicts, layout, width=width, styled=is_styled())
    show(text)
    if layout == "table" and has_scrolled_away(text):
        again = [line for found in verdicts for line in found.sentences]
        show("\n" + "\n".join(part for line in again for part in wrap(line, width)) + "\n")


def _text(
    comparison: Comparison, verdicts: Sequence[Verdict], layout: str, *, width: int, styled: bool
) -> str:
    if layout in ("csv", "json"):
        from optrun.runner.compare import exports

        if layout == "csv":
            return exports.csv_text(comparison, verdicts)
        return exports.json_text(comparison, verdicts)
    from optrun.runner.compare import render

    if layout == "markdown":
        return render.markdown(comparison, verdicts)
    return render.render(comparison, verdicts, width=width, styled=styled)
