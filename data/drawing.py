"""Pen, shapes and chance for pictures that are the same to the last bit on every machine.

Everything here uses +, -, x, / and the square root alone, the operations that IEEE 754 defines to the
last bit; sines, cosines and powers differ between mathematical libraries. So circles and rotations
come from the rational parametrisation of the circle, (1 - t², 2 t) / (1 + t²) with t = tan(angle / 2),
and chance comes from the raw bits of PCG64, a stream that NumPy promises never to change (NEP 19).

Shapes are lists of corners (x, y), y pointing down, in the units of a `Pen`, which places them. Plain
Python floats: for a dozen corners they are several times faster than NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from data.canvas import Canvas, Colour, Placement

Point = tuple[float, float]
Points = list[Point]
Choice = TypeVar("Choice")

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)


class Dice:
    """Random choices as a pure function of a seed and an index.

    Args:
        seed: 0 or more.
        index: 0 or more.

    Example:
        >>> dice = Dice(seed=1, index=0)
        >>> 2 <= dice.between(2, 3) < 3
        True
        >>> dice.one_of("ab") in "ab"
        True
    """

    def __init__(self, seed: int, index: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, index]))
        self._fractions = self._stream()

    def _stream(self) -> Iterator[float]:
        while True:
            words = np.asarray(self._bits.random_raw(256))
            # The upper 53 bits of a word, as a fraction in [0, 1): exact in float64.
            yield from ((words >> np.uint64(11)) * 2.0**-53).tolist()

    def between(self, low: float, high: float) -> float:
        """A number drawn uniformly from [low, high)."""
        return low + (high - low) * next(self._fractions)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return next(self._fractions) < probability

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        """One of the choices, each as likely as the others."""
        return choices[int(next(self._fractions) * len(choices))]

    def bytes(self, count: int) -> npt.NDArray[np.uint8]:
        """`count` independent uniform bytes."""
        words = np.asarray(self._bits.random_raw(-(-count // 8)))
        return words.astype("<u8").view(np.uint8)[:count]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` (0 to 1) of the way from the first to the second.

    Example:
        >>> mix((0, 0, 0), (200, 100, 0), 0.5)
        (100, 50, 0)
    """
    return (
        int(first[0] + (second[0] - first[0]) * share + 0.5),
        int(first[1] + (second[1] - first[1]) * share + 0.5),
        int(first[2] + (second[2] - first[2]) * share + 0.5),
    )


def _circle(per_quarter: int) -> Points:
    arc = [rotation(step / per_quarter) for step in range(per_quarter)]
    quarters = (
        [(x, y) for x, y in arc],
        [(-y, x) for x, y in arc],
        [(-x, -y) for x, y in arc],
        [(y, -x) for x, y in arc],
    )
    return [point for quarter in quarters for point in quarter]


def rotation(t: float) -> tuple[float, float]:
    """Cosine and sine of the angle whose half has the tangent t (0.1 is about 11 degrees)."""
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


_CIRCLE = _circle(per_quarter=5)


def _bezier_weights(steps: int) -> list[tuple[float, float, float]]:
    # The quadratic Bézier curve is (1-s)² p + 2 s (1-s) q + s² r for its control points p, q, r.
    fractions = [step / steps for step in range(steps + 1)]
    return [((1 - s) * (1 - s), 2 * s * (1 - s), s * s) for s in fractions]


_ROUNDING = _bezier_weights(steps=4)[:-1]
_ALONG_STROKE = _bezier_weights(steps=5)


def ellipse(x: float, y: float, half_width: float, half_height: float, turn: float = 0) -> Points:
    """An ellipse around (x, y); `turn` is the tangent of half its angle, clockwise."""
    cosine, sine = rotation(turn)
    a, b, c, d = cosine * half_width, sine * half_height, sine * half_width, cosine * half_height
    return [(x + a * along - b * across, y + c * along + d * across) for along, across in _CIRCLE]


def smooth(*corners: Point) -> Points:
    """The closed quadratic B-spline of the corners: their polygon with everything rounded."""
    points = []
    for (x0, y0), (x1, y1), (x2, y2) in zip(
        corners[-1:] + corners[:-1], corners, corners[1:] + corners[:1], strict=True
    ):
        # A Bézier curve from the middle of one side to that of the next, bent by the corner.
        ax, ay, bx, by = (x0 + x1) / 2, (y0 + y1) / 2, (x1 + x2) / 2, (y1 + y2) / 2
        points += [(u * ax + v * x1 + w * bx, u * ay + v * y1 + w * by) for u, v, w in _ROUNDING]
    return points


def polygon(*corners: Point) -> Points:
    """The closed polygon through the corners."""
    return list(corners)


def rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    """The upright rectangle between two corners."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def stroke(start: Point, bend: Point, end: Point, start_width: float, end_width: float) -> Points:
    """A brush stroke along the quadratic Bézier curve, its width changing from start to end."""
    (x0, y0), (x1, y1), (x2, y2) = start, bend, end
    left, right = [], []
    steps = len(_ALONG_STROKE) - 1
    for step, (u, v, w) in enumerate(_ALONG_STROKE):
        s = step / steps
        x, y = u * x0 + v * x1 + w * x2, u * y0 + v * y1 + w * y2
        # Half the width along the normal to the curve's derivative.
        dx, dy = (1 - s) * (x1 - x0) + s * (x2 - x1), (1 - s) * (y1 - y0) + s * (y2 - y1)
        half = (start_width + (end_width - start_width) * s) / 2 / math.sqrt(dx * dx + dy * dy)
        left.append((x - dy * half, y + dx * half))
        right.append((x + dy * half, y - dx * half))
    # The brush is round: the end reaches half a width beyond the curve.
    tip = (x + dx * half, y + dy * half)
    return [*left, tip, *reversed(right)]


@dataclass(frozen=True)
class Pen:
    """Draws shapes on a canvas after moving, scaling, turning and mirroring them.

    A point (x, y) lands on the pixel (left + a x + b y, top + c x + d y).
    """

    canvas: Canvas
    left: float = 0
    top: float = 0
    a: float = 1
    b: float = 0
    c: float = 0
    d: float = 1

    def at(
        self, x: float, y: float, scale: float = 1, turn: float = 0, mirror: bool = False
    ) -> Pen:
        """The pen whose origin is this pen's (x, y), its unit `scale` of this pen's.

        Args:
            x: of the new origin, in this pen's units.
            y: of the new origin, in this pen's units.
            scale: above 0.
            turn: tangent of half the angle, clockwise.
            mirror: whether left and right are exchanged.
        """
        cosine, sine = rotation(turn)
        across = -scale if mirror else scale
        return Pen(
            self.canvas,
            self.left + self.a * x + self.b * y,
            self.top + self.c * x + self.d * y,
            (self.a * cosine + self.b * sine) * across,
            (self.b * cosine - self.a * sine) * scale,
            (self.c * cosine + self.d * sine) * across,
            (self.d * cosine - self.c * sine) * scale,
        )

    def fill(self, colour: Colour, *shapes: Points) -> None:
        """Fills shapes with one colour."""
        for shape in shapes:
            self.canvas.add(shape, self._placement, colour)

    def body(self, colour: Colour, contour: Colour, *shapes: Points, width: float = 2.5) -> None:
        """Fills shapes as one body: a contour, `width` canvas pixels wide, around their union."""
        for shape in shapes:
            self.canvas.add(shape, self._placement, contour, margin=width)
        self.fill(colour, *shapes)

    @property
    def _placement(self) -> Placement:
        return self.a, self.b, self.left, self.c, self.d, self.top
