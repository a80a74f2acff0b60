"""Writes what the registry and the cards say into the pages on the optimizers.

    python tools/write_optimizer_pages.py            # write
    python tools/write_optimizer_pages.py --check    # exit with 1 where a page is out of date

A page keeps its own text; a part between two markers such as

    <!-- written: rule lookahead -->
    <!-- end -->

is replaced by what the name after the colon asks for: `rule NAME`, `reference NAME`, `list`,
`paths` or `others`.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from optrun.optimizers.card_text import (
    allowed,
    default,
    example_yaml,
    extra_weight_copies,
    gradients_per_step,
    number,
    symbols_of,
)
from optrun.optimizers.entry import Entry
from optrun.optimizers.registry import ENTRIES

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS = DOCS / "images" / "optimizer_paths.json"
WITH_A_PAGE = (
    "lookahead",
    "soft_batch",
    "heun",
    "rk23",
    "rk45",
    "radam",
    "ranger",
    "sgd",
    "adam",
    "adagrad",
)
_PART = re.compile(r"(<!-- written: ([a-z0-9_ ]+) -->\n).*?(<!-- end -->)", re.S)

# What the figures' paths are called in their table, in its order.
_PATHS = {
    "sgd": "SGD",
    "momentum": "SGD, momentum 0.9",
    "nesterov": "SGD, Nesterov 0.9",
    "soft_batch": "Soft batch of 4 around SGD, momentum 0.9",
    "lookahead": "Lookahead around SGD, momentum 0.9",
    "heun": "Heun",
    "rk23": "RK23",
    "rk45": "RK45",
    "adam": "Adam",
    "adagrad": "AdaGrad, its sum from 0",
    "radam": "RAdam",
    "radam_skip": "RAdam, `unadapted_steps: skip`",
    "ranger": "Ranger",
    "ranger_skip": "Ranger, `unadapted_steps: skip`",
}


def pages() -> list[Path]:
    """The pages with parts to be written."""
    return [DOCS / "optimizers.md", *sorted((DOCS / "optimizers").glob("*.md"))]


def current(page: Path) -> str:
    """A page as it should be."""
    return _PART.sub(
        lambda match: f"{match[1]}\n{_part(match[2]).strip()}\n\n{match[3]}", page.read_text()
    )


def write_pages() -> None:
    """Bring every page up to date."""
    for page in pages():
        page.write_text(current(page))


def _part(request: str) -> str:
    kind, _, name = request.partition(" ")
    if kind == "rule":
        return "\n".join(_rule(ENTRIES[name]))
    if kind == "reference":
        return "\n".join(_reference(ENTRIES[name]))
    if kind == "list":
        return "\n".join(_list())
    if kind == "paths":
        return "\n".join(_paths())
    if kind == "others":
        return "\n".join(_others())
    raise SystemExit(f"There is no part called '{request}'.")


def _rule(entry: Entry) -> Iterator[str]:
    yield from ("```", entry.rule, "```", "")
    yield from _wrapped_list(f"{letters}: {told}" for letters, told in symbols_of(entry).items())
    yield from ("", f"Source: {entry.paper}.")


def _reference(entry: Entry, heading: str = "##") -> Iterator[str]:
    yield from (f"{heading} Arguments", "")
    yield from _table(
        ("argument", "default", "allowed", "sensible", "meaning"),
        [
            (
                f"`{argument.name}`",
                default(argument),
                allowed(argument),
                entry.sensible.get(argument.name, ""),
                argument.description,
            )
            for argument in entry.arguments
        ],
    )
    yield from ("", f"{heading} Cost", "")
    yield " ".join(
        (
            f"Gradients per step: {_of_inner(gradients_per_step(entry))}.",
            f"Extra copies of the weights: {_of_inner(extra_weight_copies(entry))}.",
            entry.cost_note,
        )
    ).strip()
    yield from ("", f"{heading} Equivalences", "")
    yield from _wrapped_list(entry.equivalences)
    yield from ("", f"{heading} Caveats", "")
    yield from _wrapped_list(entry.caveats)
    yield from ("", f"{heading} A config file to start from", "", "```yaml")
    yield from (example_yaml(entry).rstrip(), "```")


def _of_inner(cost: str) -> str:
    return cost.replace("as inner", "those of the inner optimizer").replace(
        "+ inner", "and those of the inner optimizer"
    )


def _list() -> Iterator[str]:
    yield from _table(
        ("name", "what it is", "gradients per step", "copies"),
        [
            (
                f"[`{entry.name}`](optimizers/{_page(entry.name)})",
                entry.summary,
                gradients_per_step(entry),
                extra_weight_copies(entry),
            )
            for entry in sorted(ENTRIES.values(), key=lambda entry: not entry.is_ours)
        ],
    )


def _page(name: str) -> str:
    return f"{name}.md" if name in WITH_A_PAGE else f"keras.md#{name}"


def _others() -> Iterator[str]:
    for entry in ENTRIES.values():
        if entry.name in WITH_A_PAGE:
            continue
        yield from (f"## {entry.name}", "", entry.description, "")
        yield from _rule(entry)
        yield from ("", f"When to use it: {entry.when}", "")
        yield from _reference(entry, heading="###")
        yield ""


def _paths() -> Iterator[str]:
    results = json.loads(RESULTS.read_text())
    rows = []
    for key, label in _PATHS.items():
        numbers = [
            number(results[key][landscape][field])
            for landscape in ("rosenbrock", "quadratic")
            for field in ("rate", "final_value", "mean_value")
        ]
        rows.append((label, *numbers))
    two = ("rate", "end", "mean of nine")
    yield from _table(
        ("", *(f"Rosenbrock: {two[0]}", *two[1:]), *(f"quadratic: {two[0]}", *two[1:])), rows
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _wrapped_list(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield f"- {text}"


def main() -> None:
    """Write the pages, or say which are out of date."""
    parser = argparse.ArgumentParser(description="Write what the registry says into the pages.")
    parser.add_argument("--check", action="store_true", help="exit with 1 where one is outdated")
    if not parser.parse_args().check:
        write_pages()
        return
    outdated = [str(page.name) for page in pages() if page.read_text() != current(page)]
    if outdated:
        sys.exit(f"Out of date: {', '.join(outdated)}. Run tools/write_optimizer_pages.py.")


if __name__ == "__main__":
    main()
