"""What `optrun report` does: compare the runs, and write one page of it, with its figures."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from optrun.data.files import write_atomically
from optrun.runner.compare.compare import tables_of
from optrun.runner.errors import UserError
from optrun.runner.report.figure import Figure
from optrun.runner.report.figures import ENDINGS, encoded, figures_of
from optrun.runner.report.page import csv_of, page
from optrun.runner.ui.wording import number_of, size
from optrun.runner.untrusted import printable

_SIZES = {"": "two-columns", "-one-column": "one-column"}  # by what ends a file's name


def report(
    paths: Sequence[Path],
    *,
    metric: str | None,
    baseline: str | None,
    margin: float | None,
    allow: Sequence[str],
    output: Path,
    figures: Path | None,
) -> None:
    """Writes the page, and into the folder `figures` each figure by itself with its numbers.

    Raises:
        UserError: There is no run to tell of, or something can't be written; then nothing is.
    """
    if output.is_dir():
        raise UserError(
            f"--output must be a file, received: {printable(str(output))}, which is a folder."
        )
    tables = tables_of(paths, metric=metric, baseline=baseline, margin=margin, allow=allow)
    if not tables.comparison.groups:
        raise UserError(
            "RESULTS must hold a run that has completed, received: "
            f"{tables.places}, which holds none. `optrun train` makes one; `optrun runs` lists "
            "what is there."
        )
    tables = tables.noted()
    pairs = zip(tables.comparison.groups, tables.verdicts, strict=True)
    drawn = [figures_of(group, found) for group, found in pairs]
    content = page(tables, drawn).encode()
    files = {} if figures is None else _files(drawn)
    _write_all(output, content, figures, files)
    shown = number_of(sum(map(len, drawn)), "figure")
    rows = number_of(sum(len(group.rows) for group in tables.comparison.groups), "row")
    click.echo(f"Wrote {rows} and {shown} to {printable(str(output))} ({size(len(content))})")
    if figures is not None:
        click.echo(f"Wrote {number_of(len(files), 'file')} into {printable(str(figures))}")


def _files(drawn: Sequence[Sequence[Figure]]) -> Mapping[str, bytes]:
    """Each figure's files, by name; of several tables with the table's number."""
    found = {}
    for number, of_table in enumerate(drawn, 1):
        for figure in of_table:
            name = figure.key if len(drawn) == 1 else f"table-{number}-{figure.key}"
            found[f"{name}.csv"] = csv_of(figure).encode()
            for ending in ENDINGS:
                for suffix, shape in _SIZES.items():
                    found[f"{name}{suffix}{ending}"] = encoded(figure, ending, shape)
    return found


def _write_all(
    output: Path, content: bytes, folder: Path | None, files: Mapping[str, bytes]
) -> None:
    """Writes all of it, or leaves nothing new behind."""
    with contextlib.ExitStack() as undo:
        try:
            if folder is not None and not folder.is_dir():
                option, path = "--figures", folder
                folder.mkdir()
                undo.callback(_remove_folder, folder)
            for name, one in files.items():
                option, path = "--figures", (folder or Path()) / name
                if not path.exists():
                    undo.callback(path.unlink, missing_ok=True)
                write_atomically(path, one)
            option, path = "--output", output
            write_atomically(output, content)
        except OSError as error:
            must = "a folder" if option == "--figures" else "a file"
            raise UserError(
                f"{option} must be {must} that can be written, received: {printable(str(path))} "
                f"({error.strerror})."
            ) from error
        undo.pop_all()


def _remove_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
