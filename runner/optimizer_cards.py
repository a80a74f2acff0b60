"""What `optrun optimizers` prints: the list of all, and the card of one."""

import itertools
import json
from collections.abc import Iterable
from typing import Any

import click
from optrun.optimizers import card_text
from optrun.optimizers.entry import Entry
from optrun.optimizers.registry import ENTRIES, entry_called
from optrun.runner.errors import UserError
from optrun.runner.ui.streams import lacking_characters
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_WIDEST = 100  # a line of text that is longer is hard to read
_INDENT = 2

_LAST_PARTS = ("when", "equivalences", "caveats", "example", "cost_note")
_COST_NOTE = """\
gradients: evaluations of the gradient in a step on one batch.
copies: floats kept for each weight, with default arguments."""


def show(name: str | None, *, layout: str) -> None:
    """Print the list of all optimizers, or the card of the one named, as text or JSON."""
    entry = None if name is None else _entry(name)
    if layout == "json":
        content = _content(entry) if entry else [_content(one) for one in _ordered()]
        click.echo(json.dumps(content, ensure_ascii=False, indent=2))
    else:
        _print(_card(entry) if entry else _list())


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
    """Ours first."""
    return sorted(ENTRIES.values(), key=lambda entry: not entry.is_ours)


def _content(entry: Entry) -> dict[str, Any]:
    """All that is known of an optimizer, as plain values."""
    return {
        "name": entry.name,
        "class": f"{entry.module}.{entry.class_name}",
        **{part: getattr(entry, part) for part in ("description", "paper")},
        "gradients_per_step": card_text.gradients_per_step(entry),
        "extra_weight_copies": card_text.extra_weight_copies(entry),
        "arguments": [
            {
                "name": argument.name,
                "description": argument.description,
                "allowed": card_text.allowed(argument),
                **({} if argument.required else {"default": argument.default}),
                "sensible": entry.sensible.get(argument.name),
            }
            for argument in entry.arguments
        ],
        **{part: getattr(entry, part) for part in ("summary", "rule")},
        "symbols": card_text.symbols_of(entry),
        **{part: getattr(entry, part) for part in _LAST_PARTS},
    }


def _list() -> Group:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("gradients", justify="right", no_wrap=True)
    table.add_column("copies", justify="right", no_wrap=True)
    table.add_column("")
    for is_ours, entries in itertools.groupby(_ordered(), key=lambda entry: entry.is_ours):
        if not is_ours:
            table.add_row()
        table.add_row(Text("Not in Keras" if is_ours else "Keras' own", style="bold cyan"))
        for one in entries:
            cost = card_text.gradients_per_step(one), card_text.extra_weight_copies(one)
            table.add_row(Text(f"  {one.name}", style="bold"), *cost, one.summary)
    hint = Text("One in full, for instance:  optrun optimizers lookahead")
    return Group(table, "", Text(_COST_NOTE, style="dim"), "", hint)


def _card(entry: Entry) -> Group:
    symbols = _grid(gap=2)
    symbols.add_column(no_wrap=True)
    symbols.add_column(style="dim")
    for letters, meaning in card_text.symbols_of(entry).items():
        symbols.add_row(letters, meaning)
    return Group(
        Text.assemble((entry.name, "bold cyan"), f"   {entry.module}.{entry.class_name}"),
        Text(entry.description),
        Text(entry.paper, style="dim"),
        *_section("Update rule", Text(entry.rule), Text(), symbols),
        *_section("When to use it", Text(entry.when)),
        *_section("Arguments", _arguments(entry)),
        *_section(
            "Cost",
            _cost("gradients per step   ", card_text.gradients_per_step(entry)),
            _cost("copies of the weights", card_text.extra_weight_copies(entry)),
            *([Text(entry.cost_note)] if entry.cost_note else []),
        ),
        *_section("Equivalences", _bullets(entry.equivalences)),
        *_section("Caveats", _bullets(entry.caveats)),
        *_section("A config file to start from", Text(card_text.example_yaml(entry).rstrip())),
    )


def _cost(what: str, cost: str) -> Text:
    inner = "those of the inner optimizer"
    return Text(f"{what}  {cost.replace('as inner', inner).replace('+ inner', f'and {inner}')}")


def _section(title: str, *parts: RenderableType) -> tuple[RenderableType, ...]:
    return Text(), Text(title, style="bold"), Padding(Group(*parts), (0, 0, 0, _INDENT))


def _grid(gap: int) -> Table:
    return Table(box=None, pad_edge=False, show_header=False, padding=(0, gap, 0, 0))


def _arguments(entry: Entry) -> Table:
    """Name, default and allowed values in columns; meaning and sensible values beneath."""
    names = max(len(argument.name) for argument in entry.arguments)
    group = _grid(gap=0)
    for argument in entry.arguments:
        values = f"  {card_text.default(argument):<8}  {card_text.allowed(argument)}"
        group.add_row(Text.assemble((f"{argument.name:<{names}}", "bold"), values))
        details: list[RenderableType] = [Text(argument.description, style="dim")]
        if argument.name in entry.sensible:
            details.append(Text(f"sensible: {entry.sensible[argument.name]}"))
        group.add_row(Padding(Group(*details), (0, 0, 0, 2 * _INDENT)))
    return group


def _bullets(texts: Iterable[str]) -> Table:
    table = _grid(gap=1)
    for text in texts:
        table.add_row("·", text)
    return table


def _print(content: RenderableType) -> None:
    """Writes to standard output, where a stream that lacks a character shows `?` for it."""
    lacking_characters("replace")
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(content, width=min(console.width, _WIDEST))
    # Rich fills each line up to the width, which would follow along when a card is copied.
    click.echo("".join(line.rstrip() + "\n" for line in capture.get().splitlines()), nl=False)
