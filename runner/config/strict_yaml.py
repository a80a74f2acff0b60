"""YAML read strictly, with the line and column of every key and value, and written to be read so.

A small, safe part of YAML: mappings, lists and plain values. PyYAML does the scanning; its events
are composed here, so that no tag is ever resolved, no alias followed, no key silently repeated,
and no nesting or size gets out of hand. Plain values are read by the core schema of YAML 1.2,
<https://yaml.org/spec/1.2.2/#103-core-schema>: `1e-3` is a number, `no`, `on` and `12:30` are
text, `0777` is seven hundred and seventy-seven.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import yaml
from optrun.runner.config.problems import ConfigurationError, Path, Place, Problem, dotted, received

# Of a whole configuration: a file, those it extends, and `--set`. One that says everything has a
# tenth of this, and what is not refused is read before anybody notices.
MAX_BYTES = 50_000
MAX_DEPTH = 20
MAX_VALUES = 1_000

Scalar = str | int | float | bool | None

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGERS = {
    10: re.compile(r"[-+]?[0-9]+"),
    8: re.compile(r"0o[0-7]+"),
    16: re.compile(r"0x[0-9a-fA-F]+"),
}
_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# What the scanner refuses, and two that would not be read as they were written: the surrogates
# that the escape "\ud800" can bring into a string, and U+0085, a line break to YAML 1.1 alone.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MAX_KEY = 100  # characters
_MAX_DIGITS = 300  # beyond what a float can hold; Python refuses to read far longer integers


@dataclass(frozen=True)
class Node:
    """A value and where it stands."""

    value: "Scalar | dict[str, Node] | list[Node]"
    place: Place  # where the value begins
    key_place: Place  # where its key begins; for a value without a key, where the value does

    def plain(self) -> object:
        """The value without the places: mappings, lists, strings, numbers, booleans, None."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def size(self) -> int:
        """The number of values in the tree, mappings and lists among them."""
        return 1 + sum(child.size() for child in self.children())

    def depth(self) -> int:
        """The number of levels below this node."""
        return max((1 + child.depth() for child in self.children()), default=0)

    def children(self) -> "Iterable[Node]":
        """The nodes right inside this one."""
        if isinstance(self.value, dict):
            return self.value.values()
        return self.value if isinstance(self.value, list) else ()

    def at(self, path: Path) -> "Node | None":
        """The node that a person wrote for a path, or None where nobody stated it."""
        node = self
        for key in path:
            if not isinstance(node.value, dict) or key not in node.value:
                return None
            node = node.value[key]
        return node

    def nearest(self, path: Path) -> "Node":
        """The node at the longest stated part of a path; this one at the least."""
        while (node := self.at(path)) is None:
            path = path[:-1]
        return node

    def without(self, path: Path) -> "Node":
        """The tree without what stands at `path`, if anything does."""
        if not isinstance(self.value, dict) or path[0] not in self.value:
            return self
        entries = dict(self.value)
        child = entries.pop(path[0])
        if path[1:]:
            return self.put(path[:1], child.without(path[1:]))
        return replace(self, value=entries)

    def put(self, path: Path, node: "Node") -> "Node":
        """The tree with `node` in the place of whatever stands at `path`."""
        if not path:
            return node
        entries = dict(self.value) if isinstance(self.value, dict) else {}
        blank = Node({}, node.place, node.key_place)
        entries[path[0]] = entries.get(path[0], blank).put(path[1:], node)
        return replace(self, value=entries)


def parse(
    text: str, source: str, *, with_lines: bool = True, fast: bool = False
) -> tuple[Node, list[Problem]]:
    """Reads one YAML document, and says what in it is not allowed.

    What is not allowed stands as None (of a repeated key, the first counts), so that the rest can
    be examined too. What is no YAML, or beyond this module's limits, is a ConfigurationError.

    `source` is what messages call it; `with_lines` is false for the value of an option. `fast` is
    ten times as fast where PyYAML has its scanner in C, whose faults are told in other words: for
    files that nobody is told about.

    >>> node, problems = parse("a: [1, 1e-3, no]", "x.yaml")
    >>> node.plain(), problems, str(node.value["a"].place)
    ({'a': [1, 0.001, 'no']}, [], 'x.yaml:1:4')
    """
    return _Composer(text, source, with_lines, fast).document()


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar by the core schema of YAML 1.2.

    >>> [resolve(text) for text in ("1e-3", "no", "12:30", "0777", "true", "~", "0x1F")]
    [0.001, 'no', '12:30', 777, True, None, 31]
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    if len(text) <= _MAX_DIGITS:
        for base, pattern in _INTEGERS.items():
            if pattern.fullmatch(text):
                return int(text, base)
    return float(text) if _FLOAT.fullmatch(text) else text


def is_key(text: str) -> bool:
    """Whether a text can be a key at all."""
    return text.isprintable() and 0 < len(text) <= _MAX_KEY


class _Composer:
    """Turns PyYAML's events into nodes, keeping a list of what is not allowed."""

    def __init__(self, text: str, source: str, with_lines: bool, fast: bool) -> None:
        self._text = text
        self._source = source
        self._with_lines = with_lines
        self._fast = fast
        self._problems: list[Problem] = []
        self._values = 0

    def document(self) -> tuple[Node, list[Problem]]:
        self._refuse_unprintable()
        self._events = self._scan()
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            place = self._place(event.start_mark)
            return Node(None, place, place), []
        node = self._node(next(self._events), ())
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            what = "one YAML document, received a second; remove this `---` and what follows"
            self._report(self._place(event.start_mark), f"must hold {what}")
        return node, self._problems

    def _refuse_unprintable(self) -> None:
        if found := _UNPRINTABLE.search(self._text):
            *above, before = self._text[: found.start()].split("\n")
            mark = yaml.Mark("", 0, len(above), len(before), None, 0)
            what = f"must be YAML text, received the control character U+{ord(found[0]):04X}"
            self._give_up(mark, what)

    def _scan(self) -> Iterator[yaml.Event]:
        scanner = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if self._fast else yaml.SafeLoader
        loader = scanner(self._text)
        here = getattr(loader, "get_mark", lambda: None)  # the one in C does not say
        try:
            while (event := loader.get_event()) is not None:
                yield event
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark or here()
            # A tab is the one fault that PyYAML describes in terms of its own workings.
            what = str(error.problem or error.context).replace(
                "found character '\\t' that cannot start any token",
                "found a tab; indent with spaces",
            )
            self._give_up(mark, f"must be YAML: {what}")
        except (ValueError, OverflowError):
            # From PyYAML's own int() and chr(): an escape such as "\UFFFFFFFF", a %YAML version
            # of ten thousand digits.
            self._give_up(here(), "must be YAML: found a number beyond all bounds")
        finally:
            loader.dispose()

    def _give_up(self, mark: Any, message: str) -> NoReturn:
        raise ConfigurationError([*self._problems, Problem(self._place(mark), message)]) from None

    def _place(self, mark: Any) -> Place:  # PyYAML's Mark, of either of its two classes, or None
        if mark is None or not self._with_lines:
            return Place(self._source)
        return Place(self._source, mark.line + 1, mark.column + 1)

    def _report(self, place: Place, message: str) -> None:
        self._problems.append(Problem(place, message))

    def _node(self, event: yaml.Event, path: Path, key_place: Place | None = None) -> Node:
        place = self._place(event.start_mark)
        key_place = key_place or place
        self._values += 1
        if self._values > MAX_VALUES:
            self._give_up(event.start_mark, f"must hold at most {MAX_VALUES:,} values")
        if len(path) > MAX_DEPTH:
            self._give_up(event.start_mark, f"must be nested at most {MAX_DEPTH} levels deep")
        allowed = self._allowed(event, place)
        value: Scalar | dict[str, Node] | list[Node] = None
        if isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path)
        elif isinstance(event, yaml.ScalarEvent) and allowed:
            value = self._scalar(event, path, place)
        return Node(value if allowed else None, place, key_place)

    def _allowed(self, event: yaml.Event, place: Place) -> bool:
        tag, anchor = getattr(event, "tag", None), getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            what = f"must not use an alias (*{anchor}); write the value out, or `extends`"
            self._report(place, what)
            return False
        if tag is not None:
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            self._report(place, f"must not use a tag, received {received(shown)}; write a value")
        if anchor is not None:
            self._report(place, f"must not use an anchor (&{anchor}); write the value alone")
        return tag is None and anchor is None

    def _mapping(self, path: Path) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place = self._place(event.start_mark)
            key = self._key(event, path, place)
            child = self._node(next(self._events), (*path, key or "?"), place)
            if key is None:
                continue
            if key in mapping:
                first = mapping[key].key_place
                where = f", first on line {first.line}" if first.line else ""
                self._report(place, f"{dotted((*path, key))} is stated twice{where}; remove one")
            else:
                mapping[key] = child
        return mapping

    def _key(self, event: yaml.Event, path: Path, place: Place) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, (*path, "?"))  # passes over it, whatever it holds
            self._report(place, "must be a plain key, received a mapping, a list or an alias")
            return None
        if self._allowed(event, place) and event.value == "<<" and event.implicit[0]:
            self._report(place, "must not use a merge key (<<); name a base file with `extends`")
        key = str(event.value)
        if is_key(key):
            return key
        odd = next((one for one in key if not one.isprintable()), "")
        named = f" (it holds {unicodedata.name(odd, 'a control character').lower()})" if odd else ""
        self._report(place, f"must be a key of 1 to {_MAX_KEY} printable characters{named}")
        return None

    def _sequence(self, path: Path) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, str(len(items)))))
        return items

    def _scalar(self, event: yaml.ScalarEvent, path: Path, place: Place) -> Scalar:
        if not event.implicit[0]:  # quoted, or a block of text
            if _UNPRINTABLE.search(event.value):
                what = f"{dotted(path)} must" if path else "must"
                self._report(place, f"{what} not hold control characters")
                return None
            return str(event.value)
        return resolve(event.value)


class _Dumper(yaml.SafeDumper):
    """Writes a value out every time it occurs, and text so that it stays text."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML puts into quotes what YAML 1.1 would not take for text; YAML 1.2 adds `1e-3`.
    style = None if isinstance(resolve(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else style)


_Dumper.add_representer(str, _represent_text)


def dump(value: object) -> str:
    r"""A document of mappings with text keys, lists, strings, finite numbers, booleans, None.

    >>> dump({"rate": 1e-05, "name": "1e-3"})
    "rate: 1.0e-05\nname: '1e-3'\n"
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def dump_on_one_line(value: object) -> str:
    r"""A part of a document, on one line.

    >>> dump_on_one_line([64, 32]), dump_on_one_line("two\nlines"), dump_on_one_line(None)
    ('[64, 32]', '"two\\nlines"', 'null')
    """
    # Within a list, so that no form is chosen that needs several lines.
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 10**9}
    text: str = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, **options)
    return text.strip().removeprefix("[").removesuffix("]")
