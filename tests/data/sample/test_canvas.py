from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from optrun.data.sample.canvas import Canvas

WHITE = (255, 255, 255)
AS_IT_IS = (1, 0, 0, 0, 1, 0)

# Sixteenths of a pixel, on and around a canvas of 12 x 12: what a canvas can hold exactly.
coordinate = st.integers(-6 * 16, 18 * 16).map(lambda sixteenths: sixteenths / 16)
corners = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8)


def is_inside(x: Fraction, y: Fraction, outline: list[tuple[float, float]]) -> bool:
    """The even-odd rule in exact fractions: edges at or left of the point, in its row, are odd."""
    crossed = False
    for (x0, y0), (x1, y1) in zip(outline, outline[1:] + outline[:1], strict=True):
        if (y0 <= y) != (y1 <= y):
            at = Fraction(x0) + (y - Fraction(y0)) * Fraction(x1 - x0) / Fraction(y1 - y0)
            crossed ^= at <= x
    return crossed


@settings(max_examples=60, deadline=None)
@given(corners)
def test_a_polygon_covers_the_pixels_whose_centre_lies_inside(
    outline: list[tuple[float, float]],
) -> None:
    canvas = Canvas(size=12)
    canvas.add(outline, AS_IT_IS, WHITE)
    half = Fraction(1, 2)

    expected = [[is_inside(c + half, r + half, outline) for c in range(12)] for r in range(12)]

    assert (canvas.paint()[:, :, 0] == np.where(expected, 255, 0)).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(corners, min_size=2, max_size=6))
def test_later_polygons_lie_on_top_of_earlier_ones(
    outlines: list[list[tuple[float, float]]],
) -> None:
    together = Canvas(size=12)
    expected = np.zeros((12, 12, 3), np.uint8)
    for number, outline in enumerate(outlines, start=1):
        together.add(outline, AS_IT_IS, (number, 0, 0))
        alone = Canvas(size=12)
        alone.add(outline, AS_IT_IS, WHITE)
        expected[alone.paint()[:, :, 0] > 0] = (number, 0, 0)

    assert (together.paint() == expected).all()


def test_a_margin_widens_a_polygon_whatever_its_orientation() -> None:
    square = [(4.0, 4.0), (8.0, 4.0), (8.0, 8.0), (4.0, 8.0)]
    for outline in (square, square[::-1]):
        canvas = Canvas(size=12)
        # Corners move along the diagonal: by 2 along each axis.
        canvas.add(outline, AS_IT_IS, WHITE, margin=2 * 2**0.5)

        inside = canvas.paint()[:, :, 0] > 0

        assert inside.sum() == 8 * 8
        assert inside[2:10, 2:10].all()


def test_a_placement_maps_points_to_pixels() -> None:
    canvas = Canvas(size=12)
    # (x, y) lands on (-2 y + 10, 3 x + 1): turned, stretched and moved.
    canvas.add([(0, 0), (1, 0), (1, 1), (0, 1)], (0, -2, 10, 3, 0, 1), WHITE)

    inside = canvas.paint()[:, :, 0] > 0

    assert inside.sum() == 2 * 3
    assert inside[1:4, 8:10].all()


def test_shrinking_averages_pixels() -> None:
    canvas = Canvas(size=4)
    canvas.add([(0, 0), (1, 0), (1, 2), (0, 2)], AS_IT_IS, (200, 100, 0))

    assert canvas.paint(shrink=2).tolist() == [[[100, 50, 0], [0] * 3], [[0] * 3, [0] * 3]]


def test_an_empty_canvas_is_black() -> None:
    assert not Canvas(size=3).paint().any()
