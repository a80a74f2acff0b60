"""Rooms, gardens, and the things that stand about in them; the picture is the unit square."""

from collections.abc import Sequence

from optrun.data.sample.canvas import BLACK, WHITE, Colour, Points, mix, palette
from optrun.data.sample.dice import Dice
from optrun.data.sample.pen import Pen, ellipse, rectangle, smooth, stroke

WALLS = palette("d6c8b2 b0c4ce c4b0be aabea0 e2d6c8 968c96 cea082 788ca0")
FLOORS = palette("966e4c 785a46 aa9682 6e747c baa078 8c5046")
SKIES = palette("a0ccec c8dcec f0c8a0 82a0c8")
MEADOWS = palette("6ea050 8caa5a 5a8250 aaa064 dce0e6")  # the last: snow
THINGS = palette("c83c3c 3c6ebe e6b43c 5aa064 965aaa dc8c3c 785032 e6e2dc 46424c")
FRAMES = palette("5a402c ece8e2")
HAZE, BARK, LEAVES, HOUSEPLANT = palette("788caa 68503c 467846 508246")

_LEAVES = [stroke((0, -0.3), (0.4 * lean, -0.8), (lean, -1.1), 0.16, 0.05)
           for lean in (-0.5, -0.2, 0.15, 0.5)]  # fmt: skip
_CUSHION = smooth((-0.8, 0.1), (-0.7, -0.7), (0.7, -0.7), (0.8, 0.1))
# Leaves behind a thing, the thing, and what is lighter on it: a ball, a parcel, a plant, a cushion,
# a bowl.
_THINGS: Sequence[tuple[list[Points], Points, list[Points]]] = (
    ([], ellipse(0, -0.4, 0.4, 0.4), [stroke((-0.38, -0.45), (0, -0.2), (0.38, -0.45), 0.1, 0.1)]),
    ([], [(-0.5, 0), (-0.45, -0.8), (0.45, -0.8), (0.5, 0)], [rectangle(-0.06, -0.8, 0.06, 0)]),
    (_LEAVES, [(-0.22, 0), (-0.3, -0.4), (0.3, -0.4), (0.22, 0)], []),
    ([], _CUSHION, [ellipse(0, -0.3, 0.08, 0.08)]),
    ([], [(-0.5, 0), (-0.38, -0.3), (0.38, -0.3), (0.5, 0)], [ellipse(0, -0.3, 0.38, 0.08)]),
)


def draw_scene(pen: Pen, dice: Dice) -> None:
    """Draws a room or a garden with up to two things in it."""
    surroundings = dice.one_of((_room, _garden))
    surroundings(pen, dice, dice.between(0.35, 0.85), dice.between(-0.05, 0.05))
    for _ in range(dice.one_of((0, 1, 1, 2))):
        x, y = dice.between(0, 1), dice.between(0.55, 1)
        _thing(pen.at(x, y, scale=dice.between(0.15, 0.3)), dice)


def draw_obstacle(pen: Pen, dice: Dice) -> None:
    """Draws something between us and the animal: grass, a post, or a thing at the lower edge."""
    kind = dice.one_of(("grass", "post", "thing", "thing"))
    if kind == "grass":
        green = mix(dice.one_of(MEADOWS), BLACK, 0.3)
        start = dice.between(-0.1, 0.6)
        for number in range(7):
            x = start + 0.06 * number
            tip = (x + dice.between(-0.1, 0.1), dice.between(0.55, 0.8))
            pen.fill(green, stroke((x, 1.05), (x, 0.85), tip, 0.03, 0.008))
    elif kind == "post":
        wood = mix(dice.one_of(FLOORS), dice.one_of(THINGS), 0.2)
        x, width = dice.between(0.05, 0.95), dice.between(0.05, 0.1)
        pen.body(wood, mix(wood, BLACK, 0.4), rectangle(x, -0.1, x + width, 1.1))
    else:
        _thing(pen.at(dice.between(0.05, 0.95), 1.05, scale=dice.between(0.25, 0.4)), dice)


def _room(pen: Pen, dice: Dice, horizon: float, slope: float) -> None:
    wall = mix(dice.one_of(WALLS), dice.one_of(THINGS), 0.12)
    floor = mix(dice.one_of(FLOORS), dice.one_of(THINGS), 0.12)
    pen.fill(wall, rectangle(0, 0, 1, 1))
    _on_the_wall(pen, dice, wall)
    left, right = horizon - slope, horizon + slope
    pen.fill(floor, [(0, left), (1, right), (1, 1), (0, 1)])
    if dice.chance(0.6):
        skirting = [(0, left), (1, right), (1, right + 0.02), (0, left + 0.02)]
        pen.fill(mix(floor, BLACK, 0.3), skirting)
    if dice.chance(0.4):
        rug = mix(dice.one_of(THINGS), floor, 0.4)
        x, y = dice.between(0.2, 0.8), dice.between(0.8, 1)
        pen.fill(mix(rug, WHITE, 0.4), ellipse(x, y, 0.52, 0.16))
        pen.fill(rug, ellipse(x, y, 0.47, 0.13))


def _on_the_wall(pen: Pen, dice: Dice, wall: Colour) -> None:
    kind = dice.one_of(("nothing", "stripes", "picture", "window"))
    if kind == "stripes":
        tone = mix(wall, dice.one_of((BLACK, WHITE)), dice.between(0.08, 0.2))
        width, left = dice.between(0.05, 0.14), dice.between(-0.1, 0)
        while left < 1:
            pen.fill(tone, rectangle(left, 0, left + width, 1))
            left += 2 * width
    elif kind != "nothing":
        left, top = dice.between(-0.1, 0.8), dice.between(-0.1, 0.3)
        right, bottom = left + dice.between(0.2, 0.4), top + dice.between(0.2, 0.4)
        frame = dice.one_of(FRAMES)
        inside = dice.one_of(SKIES if kind == "window" else THINGS)
        pen.fill(frame, rectangle(left, top, right, bottom))
        pane = rectangle(left + 0.03, top + 0.03, right - 0.03, bottom - 0.03)
        pen.fill(mix(inside, wall, 0.3), pane)
        if kind == "window":
            middle = (left + right) / 2
            pen.fill(frame, rectangle(middle - 0.01, top, middle + 0.01, bottom))


def _garden(pen: Pen, dice: Dice, horizon: float, slope: float) -> None:
    sky = mix(dice.one_of(SKIES), dice.one_of(THINGS), 0.12)
    meadow = mix(dice.one_of(MEADOWS), dice.one_of(THINGS), 0.12)
    pen.fill(sky, rectangle(0, 0, 1, 1))
    if dice.chance(0.5):
        x, half_width, height = dice.between(0, 1), dice.between(0.3, 0.7), dice.between(0.15, 0.35)
        pen.fill(mix(meadow, HAZE, 0.5), ellipse(x, horizon + 0.1, half_width, height))
    for _ in range(dice.one_of((0, 1, 2))):
        tree, height = pen.at(dice.between(0, 1), horizon), dice.between(0.2, 0.5)
        tree.fill(BARK, [(-0.03, 0.02), (-0.02, -height), (0.02, -height), (0.03, 0.02)])
        crown = ellipse(0, -height, 0.16, 0.18), ellipse(0.1, 0.06 - height, 0.12, 0.12)
        tree.fill(mix(LEAVES, dice.one_of(MEADOWS), 0.4), *crown)
    if dice.chance(0.3):
        x, y = dice.between(0, 1), dice.between(0, 0.25)
        pen.fill(WHITE, ellipse(x, y, 0.13, 0.05), ellipse(x + 0.08, y + 0.03, 0.12, 0.05))
    left, right = horizon - slope, horizon + slope
    pen.fill(meadow, [(0, left), (1, right), (1, 1), (0, 1)])
    for _ in range(8):
        x, y = dice.between(0, 1), dice.between(horizon + 0.05, 1.05)
        tip = (x + dice.between(-0.04, 0.04), y - 0.09)
        blade = stroke((x, y), (x, y - 0.04), tip, 0.02, 0.005)
        pen.fill(mix(meadow, dice.one_of((BLACK, WHITE)), 0.18), blade)


def _thing(pen: Pen, dice: Dice) -> None:
    """A toy, a plant or a piece of furniture about 1 unit high, standing on the origin."""
    leaves, body, marks = dice.one_of(_THINGS)
    colour = dice.one_of(THINGS)
    pen.fill(HOUSEPLANT, *leaves)
    pen.body(colour, mix(colour, BLACK, 0.45), body)
    pen.fill(mix(colour, WHITE, 0.4), *marks)
