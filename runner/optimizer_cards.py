"""What `optrun optimizers` prints: the list of all, and the card of one."""

import contextlib
import io
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click
from optrun.optimizers.card_text import (
    allowed,
    default,
    example_yaml,
    extra_weight_copies,
    gradients_per_step,
    symbols_of,
)
from optrun.optimizers.entry import Entry
from optrun.optimizers.registry import ENTRIES, entry_called
from optrun.runner.errors import UserError
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_WIDEST = 100  # a line of text that is longer is hard to read
_INDENT = 2

_COST_NOTE = """\
gradients: evaluations of the gradient in a step on one batch.
copies: floats kept for each weight, with default arguments."""


def show(name: str | None, *, layout: str) -> None:
    """Print the list of all optimizers, or the card of one.

    Args:
        name: as a person writes it; None for the list.
        layout: text or json.

    Raises:
        UserError: if no optimizer of that name is known.
    """
    entry = None if name is None else _entry(name)
    if layout == "json":
        content = _content(entry) if entry else [_content(one) for one in _ordered()]
        click.echo(json.dumps(content, ensure_ascii=False, indent=2))
        return
    _print(_list() if entry is None else _card(entry))


def _entry(name: str) -> Entry:
    if ":" in name:
        raise UserError(
            f"{name!r} is an optimizer of your own. This command reads what is built in and runs "
            "nobody's code; `optrun config check CONFIG` imports yours and checks its arguments."
        )
    try:
        return entry_called(name)
    except LookupError as error:
        raise UserError(str(error)) from error


def _ordered() -> list[Entry]:
    """Ours first, in the order of the registry."""
    return sorted(ENTRIES.values(), key=lambda entry: not entry.is_ours)


def _content(entry: Entry) -> dict[str, Any]:
    """All that is known of an optimizer, as plain values."""
    return {
        "name": entry.name,
        "class": f"{entry.module}.{entry.class_name}",
        "description": entry.description,
        "paper": entry.paper,
        "gradients_per_step": gradients_per_step(entry),
        "extra_weight_copies": extra_weight_copies(entry),
        "arguments": [
            {
                "name": argument.name,
                "description": argument.description,
                "allowed": allowed(argument),
                **({} if argument.required else {"default": argument.default}),
                "sensible": entry.sensible.get(argument.name),
            }
            for argument in entry.arguments
        ],
        "summary": entry.summary,
        "rule": entry.rule,
        "symbols": symbols_of(entry),
        "when": entry.when,
        "equivalences": entry.equivalences,
        "caveats": entry.caveats,
        "example": entry.example,
        "cost_note": entry.cost_note,
    }


def _list() -> Group:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("gradients", justify="right", no_wrap=True)
    table.add_column("copies", justify="right", no_wrap=True)
    table.add_column("")
    ordered = _ordered()
    for ours, title in ((True, "Not in Keras"), (False, "Keras' own")):
        if not ours:
            table.add_row()
        table.add_row(Text(title, style="bold cyan"))
        for entry in ordered:
            if entry.is_ours is ours:
                table.add_row(
                    Text(f"  {entry.name}", style="bold"),
                    gradients_per_step(entry),
                    extra_weight_copies(entry),
                    entry.summary,
                )
    return Group(
        table,
        "",
        Text(_COST_NOTE, style="dim"),
        "",
        Text("One in full, for instance:  optrun optimizers lookahead"),
    )


def _card(entry: Entry) -> Group:
    return Group(
        Text.assemble((entry.name, "bold cyan"), f"   {entry.module}.{entry.class_name}"),
        Text(entry.description),
        Text(entry.paper, style="dim"),
        *_section("Update rule", Text(entry.rule), Text(), _symbols(entry)),
        *_section("When to use it", Text(entry.when)),
        *_section("Arguments", _arguments(entry)),
        *_section(
            "Cost",
            Text(f"gradients per step     {_of_inner(gradients_per_step(entry))}"),
            Text(f"copies of the weights  {_of_inner(extra_weight_copies(entry))}"),
            *([Text(entry.cost_note)] if entry.cost_note else []),
        ),
        *_section("Equivalences", _bullets(entry.equivalences)),
        *_section("Caveats", _bullets(entry.caveats)),
        *_section("A config file to start from", Text(example_yaml(entry).rstrip())),
    )


def _of_inner(cost: str) -> str:
    return cost.replace("as inner", "those of the inner optimizer").replace(
        "+ inner", "and those of the inner optimizer"
    )


def _section(title: str, *parts: RenderableType) -> tuple[RenderableType, ...]:
    return Text(), Text(title, style="bold"), Padding(Group(*parts), (0, 0, 0, _INDENT))


def _symbols(entry: Entry) -> Table:
    return _two_columns(symbols_of(entry))


def _two_columns(pairs: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    for left, right in pairs.items():
        table.add_row(left, right)
    return table


def _arguments(entry: Entry) -> Table:
    """Name, default and allowed values in columns; meaning and sensible values beneath."""
    names = max(len(argument.name) for argument in entry.arguments)
    group = Table(box=None, pad_edge=False, show_header=False, padding=(0, 0, 0, 0))
    group.add_column()
    for argument in entry.arguments:
        group.add_row(
            Text.assemble(
                (f"{argument.name:<{names}}", "bold"),
                f"  {default(argument):<8}  ",
                allowed(argument),
            )
        )
        details: list[RenderableType] = [Text(argument.description, style="dim")]
        if argument.name in entry.sensible:
            details.append(Text(f"sensible: {entry.sensible[argument.name]}"))
        group.add_row(Padding(Group(*details), (0, 0, 0, 2 * _INDENT)))
    return group


def _bullets(texts: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
    table.add_column()
    table.add_column()
    for text in texts:
        table.add_row("·", text)
    return table


def _print(content: RenderableType) -> None:
    """Writes to standard output, where a stream that lacks a character shows `?` for it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(io.UnsupportedOperation):
            sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(content, width=min(console.width, _WIDEST))
    # Rich fills each line up to the width, which would follow along when a card is copied.
    click.echo("".join(line.rstrip() + "\n" for line in capture.get().splitlines()), nl=False)
