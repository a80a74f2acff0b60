"""Draws how the optimizers move on two functions of two variables, and tables where they end.

    python tools/draw_optimizer_paths.py

Writes the figures into docs/images/, the numbers beside them into docs/images/optimizer_paths.json,
and the tables of the pages (`write_optimizer_pages`). Takes a minute or two.
"""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path as File
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.layout_engine import ConstrainedLayoutEngine
from optimizer_paths import (
    CONTESTANTS,
    LANDSCAPES,
    QUADRATIC,
    ROSENBROCK,
    Landscape,
    Path,
    rates,
    tuned,
)
from optrun.optimizers.card_text import number
from PIL import Image
from write_optimizer_pages import write_pages

IMAGES = File(__file__).resolve().parents[1] / "docs" / "images"

# Okabe and Ito's colours and a purple of Tol's, told apart with any colour vision.
_BLUE, _VERMILION, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#AA4499"
_INK, _GREY, _EDGE = "#222222", "#6E6E6E", "#C8C8C8"
_HILLS = LinearSegmentedColormap.from_list("hills", ["#FFFFFF", "#D4D8DD"])
_COLOURS = {
    **dict.fromkeys(("sgd", "momentum", "nesterov", "soft_batch", "sgd_centralized"), _VERMILION),
    **dict.fromkeys(("heun", "rk23", "rk45"), _BLUE),
    **dict.fromkeys(("adam", "adagrad", "radam", "radam_skip"), _GREEN),
    **dict.fromkeys(("lookahead", "ranger", "ranger_skip"), _PURPLE),
}

# One row a family: along the gradient, along its flow, scaled by weight, with slow weights.
ALL = (
    ("sgd", "momentum", "nesterov", "soft_batch"),
    ("heun", "rk23", "rk45", "lookahead"),
    ("adam", "adagrad", "radam", "ranger"),
)
# For each page, its optimizer beside those to compare it with.
PAGES: Mapping[str, Sequence[str]] = {
    "sgd": ("sgd", "momentum", "nesterov"),
    "lookahead": ("momentum", "lookahead"),
    "soft_batch": ("momentum", "soft_batch"),
    "heun": ("sgd", "heun"),
    "rk23": ("sgd", "rk23"),
    "rk45": ("sgd", "rk45"),
    "adam": ("momentum", "adam"),
    "adagrad": ("adam", "adagrad"),
    "radam": ("adam", "radam", "radam_skip"),
    "ranger": ("radam_skip", "ranger", "ranger_skip"),
    "gradient_centralization": ("sgd", "sgd_centralized"),
}
_COMPARED: Mapping[str, Sequence[str]] = {
    "lookahead": ("momentum",),
    "soft_batch": ("momentum",),
    "heun": ("sgd",),
    "rk23": ("sgd",),
    "rk45": ("sgd",),
    "adam": ("momentum",),
    "adagrad": ("adam",),
    "radam": ("adam",),
    "ranger": ("radam_skip",),
    "gradient_centralization": ("sgd",),
}
_WINDOWS: Mapping[str, tuple[float, float, float, float]] = {
    ROSENBROCK.key: (-1.75, 2.4, -0.55, 2.95),
    QUADRATIC.key: (-4.6, 2.4, -3.3, 1.7),
}
_LEVELS = {
    ROSENBROCK.key: np.geomspace(0.2, 2000, 9),
    QUADRATIC.key: np.geomspace(0.05, 300, 9),
}

Paths = Mapping[tuple[str, str], Path]


def main() -> None:
    """Tune, draw, write."""
    paths = {
        (contestant.key, landscape.key): tuned(contestant, landscape, rates())
        for contestant in CONTESTANTS.values()
        for landscape in LANDSCAPES
    }
    (IMAGES / "optimizer_paths.json").write_text(json.dumps(_results(paths), indent=1) + "\n")
    for landscape in LANDSCAPES:
        draw_all(landscape, paths, IMAGES / f"optimizer_paths_{landscape.key}.png")
    for page in PAGES:
        draw_page(page, paths, IMAGES / f"path_{page}.png")
    write_pages()


def _results(paths: Paths) -> dict[str, dict[str, dict[str, float]]]:
    results: dict[str, dict[str, dict[str, float]]] = {}
    for (contestant, landscape), path in paths.items():
        results.setdefault(contestant, {})[landscape] = {
            "rate": path.rate,
            "final_value": float(f"{path.final_value:.3g}"),
            "mean_value": float(f"{path.mean_value:.3g}"),
        }
    return results


def draw_all(landscape: Landscape, paths: Paths, file: File) -> None:
    """Every optimizer on one landscape, in small multiples."""
    figure, axes = _panels([landscape] * len(ALL), len(ALL[0]))
    for row, keys in zip(axes, ALL, strict=True):
        for panel, key in zip(row, keys, strict=True):
            _draw_panel(panel, key, landscape, paths[key, landscape.key], _COLOURS[key])
    _name_markers(axes[0][0], landscape)
    _save(figure, file)


def draw_page(page: str, paths: Paths, file: File) -> None:
    """A page's optimizer, and in grey what to compare it with, on both landscapes."""
    keys = PAGES[page]
    figure, axes = _panels(LANDSCAPES, len(keys))
    for row, landscape in zip(axes, LANDSCAPES, strict=True):
        for panel, key in zip(row, keys, strict=True):
            colour = _GREY if key in _COMPARED.get(page, ()) else _COLOURS[key]
            _draw_panel(panel, key, landscape, paths[key, landscape.key], colour)
        _name_markers(row[0], landscape)
    _save(figure, file)


def _panels(landscapes: Sequence[Landscape], columns: int) -> tuple[Any, Any]:
    """A row of panels for each landscape, as high as its window asks."""
    width = 2.5
    heights = [width * _height_over_width(one) for one in landscapes]
    return plt.subplots(
        len(landscapes),
        columns,
        figsize=((width + 0.1) * columns, sum(heights) + 0.55 * len(heights)),
        height_ratios=heights,
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06),
    )


def _height_over_width(landscape: Landscape) -> float:
    left, right, bottom, top = _WINDOWS[landscape.key]
    return (top - bottom) / (right - left)


def _draw_panel(panel: Axes, key: str, landscape: Landscape, path: Path, colour: str) -> None:
    left, right, bottom, top = _WINDOWS[landscape.key]
    x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
    levels = _LEVELS[landscape.key]
    height = np.maximum(landscape.value(x, y), levels[0])
    panel.contourf(x, y, height, levels, cmap=_HILLS, norm=LogNorm(), extend="both")
    has_slow = len(path.slow_points) > 0
    panel.plot(
        *path.points.T,
        color=colour,
        linewidth=0.6 if has_slow else 1.0,
        alpha=0.5 if has_slow else 0.9,
        marker="o",
        markersize=1.0 if has_slow else 1.8,
        markeredgewidth=0,
        solid_joinstyle="round",
    )
    if has_slow:
        panel.plot(*path.slow_points.T, color=colour, linewidth=1.2, marker="o", markersize=2.8)
    panel.plot(*landscape.start, "o", color="white", markeredgecolor=_INK, markersize=5, zorder=5)
    panel.plot(*landscape.minimum, "P", color=_INK, markeredgecolor="white", markersize=8, zorder=5)
    panel.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    panel.set_aspect("equal")
    for side in panel.spines.values():
        side.set_color(_EDGE)
    title = CONTESTANTS[key].label
    panel.set_title(title, loc="left", fontsize=9, color=colour, pad=15, weight="bold")
    panel.text(
        0,
        1.025,
        f"rate {number(path.rate)}, {path.updates} updates, "
        f"ends at {number(path.final_value, digits=2)}",
        transform=panel.transAxes,
        fontsize=7.5,
        color=_INK,
    )


def _name_markers(panel: Axes, landscape: Landscape) -> None:
    # Paths leave the start to the right, and come to the minimum from the left or from above.
    for text, point, offset, side in (
        ("start", landscape.start, (5, 7), "right"),
        ("minimum", landscape.minimum, (1, -13), "left"),
    ):
        panel.annotate(
            text, point, offset, textcoords="offset points", fontsize=7, color=_INK, ha=side
        )


def _save(figure: Any, file: File) -> None:
    """Write a PNG with a palette: a third of the size."""
    buffer = BytesIO()
    figure.savefig(buffer, dpi=180, facecolor="white", bbox_inches="tight", pad_inches=0.06)
    plt.close(figure)
    picture = Image.open(buffer).convert("RGB").quantize(200, dither=Image.Dither.NONE)
    picture.save(file, optimize=True)


if __name__ == "__main__":
    mpl.use("agg")
    main()
