"""Rooms, gardens and the things that stand about in the pictures of the built-in sample."""

from __future__ import annotations

from data.drawing import BLACK, WHITE, Colour, Dice, Pen, ellipse, mix, polygon, smooth, stroke

WALLS: tuple[Colour, ...] = (
    (214, 200, 178), (176, 196, 206), (196, 176, 190), (170, 190, 160), (226, 214, 200), (150, 140, 150),
    (206, 160, 130), (120, 140, 160),
)  # fmt: skip
FLOORS: tuple[Colour, ...] = (
    (150, 110, 76), (120, 90, 70), (170, 150, 130), (110, 116, 124), (186, 160, 120), (140, 80, 70),
)  # fmt: skip
SKIES: tuple[Colour, ...] = ((160, 204, 236), (200, 220, 236), (240, 200, 160), (130, 160, 200))
GRASS: tuple[Colour, ...] = ((110, 160, 80), (140, 170, 90), (90, 130, 80), (170, 160, 100), (220, 224, 230))
THINGS: tuple[Colour, ...] = (
    (200, 60, 60), (60, 110, 190), (230, 180, 60), (90, 160, 100), (150, 90, 170), (220, 140, 60),
    (120, 80, 50), (230, 226, 220), (70, 66, 76),
)  # fmt: skip


def backdrop(pen: Pen, dice: Dice) -> None:
    """A wall and a floor, or a sky and a meadow, over the unit square and its surroundings."""
    horizon = dice.between(0.35, 0.85)
    indoors = dice.chance(0.5)
    upper, lower = (dice.one_of(WALLS), dice.one_of(FLOORS)) if indoors else (dice.one_of(SKIES), dice.one_of(GRASS))
    upper, lower = mix(upper, dice.one_of(THINGS), 0.12), mix(lower, dice.one_of(THINGS), 0.12)
    slope = dice.between(-0.05, 0.05)
    pen.fill(upper, polygon((0, 0), (1, 0), (1, 1), (0, 1)))
    if indoors:
        _wall(pen, dice, upper)
    else:
        _distance(pen, dice, lower, horizon)
    pen.fill(lower, polygon((0, horizon - slope), (1, horizon + slope), (1, 1), (0, 1)))
    if indoors and dice.chance(0.6):
        pen.fill(mix(lower, BLACK, 0.3), polygon((0, horizon - slope), (1, horizon + slope), (1, horizon + slope + 0.02), (0, horizon - slope + 0.02)))
    if indoors and dice.chance(0.4):
        rug = mix(dice.one_of(THINGS), lower, 0.4)
        x, y = dice.between(0.2, 0.8), dice.between(0.8, 1)
        pen.fill(mix(rug, WHITE, 0.4), ellipse(x, y, 0.52, 0.16))
        pen.fill(rug, ellipse(x, y, 0.47, 0.13))
    if not indoors:
        for _ in range(10):
            x, y = dice.between(0, 1), dice.between(horizon + 0.05, 1.05)
            blade = mix(lower, dice.one_of((BLACK, WHITE)), 0.18)
            pen.fill(blade, stroke((x, y), (x, y - 0.04), (x + dice.between(-0.04, 0.04), y - 0.09), 0.02, 0.005))


def _wall(pen: Pen, dice: Dice, wall: Colour) -> None:
    kind = dice.one_of(("plain", "stripes", "frame", "window"))
    tone = mix(wall, dice.one_of((BLACK, WHITE)), dice.between(0.08, 0.2))
    if kind == "stripes":
        width = dice.between(0.05, 0.14)
        left = dice.between(-0.1, 0)
        while left < 1:
            pen.fill(tone, polygon((left, 0), (left + width, 0), (left + width, 1), (left, 1)))
            left += 2 * width
    elif kind != "plain":
        x, y, w, h = dice.between(-0.1, 0.8), dice.between(-0.1, 0.3), dice.between(0.2, 0.4), dice.between(0.2, 0.4)
        rim = dice.one_of(((90, 64, 44), (236, 232, 226)))
        glass = dice.one_of(SKIES) if kind == "window" else dice.one_of(THINGS)
        pen.fill(rim, polygon((x, y), (x + w, y), (x + w, y + h), (x, y + h)))
        pen.fill(mix(glass, wall, 0.3), polygon((x + 0.03, y + 0.03), (x + w - 0.03, y + 0.03), (x + w - 0.03, y + h - 0.03), (x + 0.03, y + h - 0.03)))
        if kind == "window":
            middle = x + w / 2
            pen.fill(rim, polygon((middle - 0.01, y), (middle + 0.01, y), (middle + 0.01, y + h), (middle - 0.01, y + h)))


def _distance(pen: Pen, dice: Dice, ground: Colour, horizon: float) -> None:
    if dice.chance(0.5):
        hill = mix(ground, (120, 140, 170), 0.5)
        x = dice.between(0, 1)
        pen.fill(hill, ellipse(x, horizon + 0.1, dice.between(0.3, 0.7), dice.between(0.15, 0.35)))
    for _ in range(dice.one_of((0, 1, 2))):
        x, height = dice.between(0, 1), dice.between(0.2, 0.5)
        pen.fill((104, 80, 60), polygon((x - 0.03, horizon + 0.02), (x - 0.02, horizon - height), (x + 0.02, horizon - height), (x + 0.03, horizon + 0.02)))
        leaves = mix((70, 120, 70), dice.one_of(GRASS), 0.4)
        pen.fill(leaves, ellipse(x, horizon - height, 0.16, 0.18), ellipse(x + 0.1, horizon - height + 0.06, 0.12, 0.12))
    if dice.chance(0.3):
        x, y = dice.between(0, 1), dice.between(0, 0.25)
        pen.fill(WHITE, ellipse(x, y, 0.13, 0.05), ellipse(x + 0.08, y + 0.03, 0.12, 0.05))


def thing(pen: Pen, dice: Dice) -> None:
    """A ball, box, plant, cushion or bone about 1 unit high, standing on the origin."""
    kind = dice.one_of(("ball", "box", "plant", "cushion", "bowl"))
    colour = dice.one_of(THINGS)
    dark, light = mix(colour, BLACK, 0.45), mix(colour, WHITE, 0.4)
    if kind == "ball":
        pen.body(colour, dark, ellipse(0, -0.4, 0.4, 0.4))
        pen.fill(light, stroke((-0.38, -0.45), (0, -0.2), (0.38, -0.45), 0.1, 0.1))
    elif kind == "box":
        pen.body(colour, dark, polygon((-0.5, 0), (-0.45, -0.8), (0.45, -0.8), (0.5, 0)))
        pen.fill(light, polygon((-0.06, 0), (-0.06, -0.8), (0.06, -0.8), (0.06, 0)))
    elif kind == "plant":
        for lean in (-0.5, -0.2, 0.15, 0.5):
            pen.fill((80, 130, 70), stroke((0, -0.3), (lean * 0.4, -0.8), (lean, -1.1), 0.16, 0.05))
        pen.body(colour, dark, polygon((-0.22, 0), (-0.3, -0.4), (0.3, -0.4), (0.22, 0)))
    elif kind == "cushion":
        pen.body(colour, dark, smooth((-0.8, 0.1), (-0.7, -0.7), (0.7, -0.7), (0.8, 0.1)))
        pen.fill(light, ellipse(0, -0.3, 0.08, 0.08))
    else:
        pen.body(colour, dark, polygon((-0.5, 0), (-0.38, -0.3), (0.38, -0.3), (0.5, 0)))
        pen.fill(light, ellipse(0, -0.3, 0.38, 0.08))


def obstacle(pen: Pen, dice: Dice) -> None:
    """Something between us and the animal: grass, a post, or a thing at the lower edge."""
    kind = dice.one_of(("grass", "post", "thing", "thing"))
    if kind == "grass":
        green = mix(dice.one_of(GRASS), BLACK, 0.3)
        start = dice.between(-0.1, 0.6)
        for blade in range(7):
            x = start + 0.06 * blade
            pen.fill(green, stroke((x, 1.05), (x, 0.85), (x + dice.between(-0.1, 0.1), dice.between(0.55, 0.8)), 0.03, 0.008))
    elif kind == "post":
        wood = mix(dice.one_of(FLOORS), dice.one_of(THINGS), 0.2)
        x, width = dice.between(0.05, 0.95), dice.between(0.05, 0.12)
        pen.body(wood, mix(wood, BLACK, 0.4), polygon((x, -0.1), (x + width, -0.1), (x + width, 1.1), (x, 1.1)))
    else:
        thing(pen.at(dice.between(0.05, 0.95), 1.05, scale=dice.between(0.25, 0.4)), dice)
