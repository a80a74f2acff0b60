"""matplotlib's SVG made part of a page: small, in the page's colours, with its values on hover.

Styles, of which a page's pictures have few, become classes, and their colours variables, lighter on
a dark ground. Ids, which a page shares, are made its own; those that nothing refers to are dropped.
"""

import colorsys
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from optrun.runner.report.markup import Markup

GROUNDS = {"light": "#ffffff", "dark": "#14181d"}
LEAST_CONTRAST = 4.5  # that lines and letters are brought to on a dark ground, at least
_GREY = 0.12  # saturation below which a colour is one
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_NUMBER = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_MARK = re.compile(r"mark-(\d+)")
_ROUNDED = ("d", "x", "y", "width", "height", "transform", "points")


@dataclass(frozen=True)
class Inline:
    """A picture as a part of a page, and what it needs there of the style sheet."""

    svg: Markup
    colours: frozenset[str] = frozenset()
    styles: frozenset[str] = frozenset()  # each the content of a rule; `style_rules` makes it


@dataclass(frozen=True)
class Mark:
    """What was drawn of a table's row, with the `gid` "mark-0" for the first of a picture."""

    class_: str  # of the row
    name: str  # what it is, on hover; empty where its points say enough
    values: Sequence[str]  # likewise what each of its points shows, where it has any


def inline(svg: bytes, *, prefix: str, description: str, marks: Sequence[Mark] = ()) -> Inline:
    """A picture for a page.

    Args:
        svg: What matplotlib wrote.
        prefix: Of ids, another one for each picture.
        description: What is to be seen, for whoever cannot see it.
        marks: What has been drawn, by the number in its `gid`.
    """
    root = ElementTree.fromstring(svg)  # noqa: S314 (written by matplotlib, a moment ago)
    colours, styles = set[str](), set[str]()
    drawn: list[tuple[Mark, ElementTree.Element]] = []
    ids = {one: f"{prefix}-{at}" for at, one in enumerate(dict.fromkeys(_references(root)))}
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": description}
    _strip(root)
    for node in root.iter():
        found = _MARK.fullmatch(node.attrib.get("id", ""))
        if found is not None:
            del node.attrib["id"]
            mark = marks[int(found[1])]
            node.attrib["class"] = mark.class_
            drawn.append((mark, node))
        elif node.attrib.get("id") in ids:
            node.attrib["id"] = ids[node.attrib["id"]]
        else:
            node.attrib.pop("id", None)
        for key, value in list(node.attrib.items()):
            if key == "style":
                colours |= set(_COLOUR.findall(value))
                value = _COLOUR.sub(lambda one: f"var(--{_variable(one[0])})", value)
                value = re.sub(r"font-family: [^;]*;? ?", "", value)
                value = re.sub(r"([:;]) ", r"\1", value)
            if key in _ROUNDED:
                value = _NUMBER.sub(lambda one: f"{float(one[0]):.1f}".removesuffix(".0"), value)
                value = " ".join(value.split())
            if key == "d" and not set(value) & set("CQ"):
                value = value.replace(" L ", " ")  # after a place, further ones are lines
            if key == "href":
                value = f"#{ids[value[1:]]}"
            if key != "aria-label":
                value = _REFERENCE.sub(lambda one: f"url(#{ids[one[1]]})", value)
            node.attrib[key] = value
        if node.attrib.get("transform", "").startswith("rotate(-0 "):
            del node.attrib["transform"]
    _shrink(root)
    for node in root.iter():
        if style := node.attrib.pop("style", ""):
            styles.add(style)
            node.attrib["class"] = f"{node.attrib.get('class', '')} {_class(style)}".strip()
    for mark, node in drawn:
        points = [one for one in node.iter() if one.tag == "use"]
        # A point beyond the axes is not drawn, and then it is unknown which one is which.
        told = zip(points, mark.values, strict=True) if len(points) == len(mark.values) else ()
        for point, text in told:
            ElementTree.SubElement(point, "title").text = f"{mark.name}\n{text}".strip()
        if mark.name:
            name = ElementTree.Element("title")
            name.text = mark.name
            node.insert(0, name)
    svg_text = Markup(ElementTree.tostring(root, encoding="unicode"))
    return Inline(svg_text, frozenset(colours), frozenset(styles))


def style_rules(styles: Iterable[str]) -> str:
    """The classes of pictures, as CSS."""
    return "".join(f".{_class(style)}{{{style}}}" for style in sorted(styles))


def colour_rules(colours: Iterable[str], ground: str) -> str:
    """What the variables are on a ground, "light" or "dark", as CSS."""
    found = sorted(set(colours))
    values = found if ground == "light" else map(on_dark, found)
    return "".join(
        f"--{_variable(colour)}:{value};" for colour, value in zip(found, values, strict=True)
    )


def on_dark(colour: str) -> str:
    """The colour for a dark ground: greys turned over, others lightened until they stand out.

    >>> on_dark("#000000"), on_dark("#ffffff")
    ('#ffffff', '#14181d')
    """
    if colour == GROUNDS["light"]:
        return GROUNDS["dark"]
    hue, light, saturation = colorsys.rgb_to_hls(*_shares(colour))
    if saturation < _GREY:
        return _hex(hue, 1 - 0.85 * light, saturation)
    while contrast(found := _hex(hue, light, saturation), GROUNDS["dark"]) < LEAST_CONTRAST:
        light += 0.02
    return found


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2.2, 2023)."""
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _shares(colour)]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _shares(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _hex(hue: float, light: float, saturation: float) -> str:
    shares = colorsys.hls_to_rgb(hue, min(light, 1.0), saturation)
    return "#" + "".join(f"{round(255 * share):02x}" for share in shares)


def _class(style: str) -> str:
    return f"s{zlib.crc32(style.encode()):x}"


def _variable(colour: str) -> str:
    return "c" + colour[1:]


def _references(root: ElementTree.Element) -> Iterable[str]:
    for node in root.iter():
        for key, value in node.attrib.items():
            if key.endswith("href"):
                yield value.removeprefix("#")
            yield from _REFERENCE.findall(value)


def _strip(root: ElementTree.Element) -> None:
    """Of names their namespaces, which HTML knows; of the tree what a page has no use for."""
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
        node.attrib = {key.rpartition("}")[2]: value for key, value in node.attrib.items()}
        if node.tag not in ("text", "tspan", "title"):
            node.text = None
        node.tail = None
        for child in list(node):
            if child.tag.rpartition("}")[2] in ("style", "metadata", "title", "desc"):
                node.remove(child)


def _shrink(node: ElementTree.Element) -> None:
    """Takes out groups that say nothing; says once what all marks of a group look like."""
    for child in node:
        _shrink(child)
    parts: list[ElementTree.Element] = []
    for child in node:
        parts += list(child) if child.tag == "g" and not child.attrib else [child]
    node[:] = parts
    styles = {child.attrib.get("style") for child in parts}
    if node.tag == "g" and len(parts) > 1 and {one.tag for one in parts} == {"use"}:
        [style, *others] = styles
        if style is not None and not others and "style" not in node.attrib:
            node.attrib["style"] = style
            for child in parts:
                del child.attrib["style"]
