"""How the cats and dogs of the built-in sample look, and how they are drawn.

One anatomy serves both; a cat and a dog differ in the `Looks` drawn for them. Each single trait
overlaps: some cats have folded ears and round dark eyes, some dogs prick their ears and have a short
muzzle. Coats come from one distribution, so colour tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.drawing import BLACK, WHITE, Colour, Dice, Pen, Points, ellipse, mix, polygon, smooth, stroke

FURS: tuple[Colour, ...] = (
    (222, 140, 66),  # ginger
    (150, 96, 58),  # brown
    (62, 58, 64),  # black
    (138, 138, 146),  # grey
    (232, 206, 164),  # cream
    (240, 236, 228),  # white
    (104, 66, 46),  # chocolate
    (206, 166, 98),  # golden
    (110, 122, 140),  # blue-grey
)
PINK: Colour = (226, 138, 140)
TONGUE: Colour = (228, 96, 108)


@dataclass(frozen=True)
class Coat:
    """Fur colours and markings."""

    fur: Colour
    contour: Colour
    patch: Colour
    muzzle: Colour
    inner_ear: Colour
    pattern: str  # plain, tabby, patches, bib


@dataclass(frozen=True)
class Looks:
    """The traits in which cats and dogs differ, lengths in radii of the head."""

    ears: str  # pointed, hanging, half (the tip folded over)
    ear_length: float
    ear_width: float
    head_width: float
    muzzle: float
    muzzle_drop: float
    nose: float
    triangular_nose: bool
    eye: float
    slit_pupils: bool
    iris: Colour
    whiskers: float
    tongue: bool
    tail_length: float
    tail_width: float
    leg_width: float


def coat(dice: Dice) -> Coat:
    """A coat, from one distribution for cats and dogs."""
    fur = mix(dice.one_of(FURS), dice.one_of(FURS), dice.between(0, 0.3))
    other = mix(dice.one_of(FURS), fur, dice.between(0, 0.4))
    pattern = dice.one_of(("plain", "tabby", "patches", "bib"))
    light = mix(fur, WHITE, dice.between(0.3, 0.8))
    return Coat(
        fur=fur,
        contour=mix(fur, BLACK, 0.55),
        patch=mix(fur, BLACK, 0.35) if pattern == "tabby" else other,
        muzzle=light if dice.chance(0.6) else mix(fur, WHITE, 0.15),
        inner_ear=mix(PINK, fur, dice.between(0.2, 0.6)),
        pattern=pattern,
    )


def cat_looks(dice: Dice) -> Looks:
    """Traits of a cat."""
    folded = dice.chance(0.12)
    return Looks(
        ears="half" if folded else "pointed",
        ear_length=dice.between(0.55, 0.95) * (0.8 if folded else 1),
        ear_width=dice.between(0.5, 0.75),
        head_width=dice.between(1.0, 1.18),
        muzzle=dice.between(0.3, 0.42),
        muzzle_drop=dice.between(0.36, 0.46),
        nose=dice.between(0.1, 0.17),
        triangular_nose=dice.chance(0.85),
        eye=dice.between(0.17, 0.26),
        slit_pupils=dice.chance(0.65),
        iris=dice.one_of(((150, 190, 70), (226, 190, 60), (110, 170, 200), (120, 80, 40))),
        whiskers=dice.between(0.7, 1.2) if dice.chance(0.85) else 0,
        tongue=dice.chance(0.04),
        tail_length=dice.between(1.4, 2.2),
        tail_width=dice.between(0.22, 0.36),
        leg_width=dice.between(0.4, 0.52),
    )


def dog_looks(dice: Dice) -> Looks:
    """Traits of a dog."""
    ears = dice.one_of(("hanging", "hanging", "hanging", "half", "pointed"))
    return Looks(
        ears=ears,
        ear_length=dice.between(0.9, 1.4) if ears == "hanging" else dice.between(0.65, 1.0),
        ear_width=dice.between(0.45, 0.65),
        head_width=dice.between(0.86, 1.06),
        muzzle=dice.between(0.38, 0.56),
        muzzle_drop=dice.between(0.4, 0.56),
        nose=dice.between(0.15, 0.26),
        triangular_nose=dice.chance(0.1),
        eye=dice.between(0.12, 0.19),
        slit_pupils=False,
        iris=dice.one_of(((70, 44, 28), (70, 44, 28), (120, 80, 40), (110, 170, 200))),
        whiskers=dice.between(0.5, 0.8) if dice.chance(0.12) else 0,
        tongue=dice.chance(0.45),
        tail_length=dice.between(0.8, 1.6),
        tail_width=dice.between(0.24, 0.46),
        leg_width=dice.between(0.42, 0.6),
    )


def _ear(looks: Looks, side: int) -> tuple[Points, Points]:
    """The outer and the inner shape of an ear on the left (-1) or right (1) of a head."""
    width, length = looks.ear_width, looks.ear_length
    root = 0.55 * looks.head_width
    if looks.ears == "hanging":
        outer = smooth(
            (side * (root - 0.15), -0.85),
            (side * (root + 0.35), -0.9),
            (side * (root + 0.35 + 0.5 * width), -0.4 + 0.4 * length),
            (side * (root + 0.3), -0.5 + length),
            (side * (root + 0.05), -0.5 + 0.7 * length),
            (side * (root + 0.15), -0.4),
        )
        return outer, []
    tip = (side * (root + 0.3), -0.55 - length)
    inside, outside = (side * (root - 0.5 * width), -0.72), (side * (root + 0.55 * width), -0.3)
    if looks.ears == "half":
        # The upper half is folded forward: the ear ends in a blunt edge and a flap hangs from it.
        inner_top = (side * (root - 0.1), -0.6 - 0.62 * length)
        outer_top = (side * (root + 0.45), -0.5 - 0.55 * length)
        outer = polygon(inside, inner_top, outer_top, outside)
        flap = polygon(inner_top, outer_top, (side * (root + 0.42), -0.45 - 0.02 * length))
        return outer, flap
    outer = polygon(inside, tip, outside)
    middle_x = (inside[0] + tip[0] + outside[0]) / 3
    middle_y = (inside[1] + tip[1] + outside[1]) / 3
    inner = [(middle_x + 0.55 * (x - middle_x), middle_y + 0.55 * (y - middle_y) + 0.06) for x, y in outer]
    return outer, inner


def _eye(pen: Pen, looks: Looks, x: float, y: float, side: int) -> None:
    size = looks.eye
    dark = mix(looks.iris, BLACK, 0.75)
    if looks.slit_pupils:
        pen.fill(dark, ellipse(x, y, size * 1.12, size, turn=0.12 * side))
        pen.fill(looks.iris, ellipse(x, y, size * 0.95, size * 0.8, turn=0.12 * side))
        pen.fill((20, 18, 22), ellipse(x, y, size * 0.3, size * 0.75))
    else:
        pen.fill(dark, ellipse(x, y, size, size))
        pen.fill(looks.iris, ellipse(x, y, size * 0.85, size * 0.85))
        pen.fill((20, 18, 22), ellipse(x, y, size * 0.6, size * 0.6))
    pen.fill(WHITE, ellipse(x + size * 0.3, y - size * 0.35, size * 0.24, size * 0.24))


def _mouth(pen: Pen, looks: Looks, coat: Coat, x: float, y: float) -> None:
    nose, dark = looks.nose, mix(coat.contour, BLACK, 0.4)
    if looks.tongue:
        pen.body(
            TONGUE, mix(TONGUE, BLACK, 0.4),
            ellipse(x + 0.05, y + 0.42 + 0.3 * looks.muzzle, 0.14, 0.26),
        )  # fmt: skip
    for side in (-1, 1):
        pen.fill(
            dark,
            stroke(
                (x, y + nose), (x + side * 0.1, y + nose + 0.22), (x + side * 0.3, y + nose + 0.14),
                0.07, 0.04,
            ),
        )  # fmt: skip
    if looks.triangular_nose:
        pink = mix(PINK, dark, 0.25)
        pen.fill(pink, smooth((x - 1.6 * nose, y - nose), (x + 1.6 * nose, y - nose), (x, y + 1.3 * nose)))
    else:
        pen.fill((34, 28, 30), ellipse(x, y, nose * 1.2, nose))
        pen.fill((150, 140, 140), ellipse(x - nose * 0.3, y - nose * 0.4, nose * 0.35, nose * 0.2))


def head(pen: Pen, looks: Looks, coat: Coat, yaw: float) -> None:
    """A head of radius 1 around the origin, turned to the side by yaw (-1 to 1)."""
    width, shift = looks.head_width, 0.3 * yaw
    skull = ellipse(0, -0.08, width, 0.88)
    cheeks = ellipse(shift * 0.3, 0.3, width * (0.94 if looks.ears == "pointed" else 0.86), 0.62)
    ears = [_ear(looks, side) for side in (-1, 1)]
    ear_fur = coat.patch if coat.pattern == "patches" else mix(coat.fur, BLACK, 0.12)
    if looks.ears != "hanging":
        for outer, inner in ears:
            pen.body(ear_fur, coat.contour, outer)
            if looks.ears == "half":
                pen.body(mix(ear_fur, BLACK, 0.25), coat.contour, inner)
            else:
                pen.fill(coat.inner_ear, inner)
    pen.body(coat.fur, coat.contour, skull, cheeks)
    if coat.pattern == "tabby":
        for x in (-0.3, 0, 0.3):
            pen.fill(coat.patch, stroke((x + shift * 0.5, -0.9), (x * 0.9 + shift, -0.7), (x * 0.7 + shift, -0.42), 0.14, 0.06))
        for side in (-1, 1):
            pen.fill(coat.patch, stroke((side * width * 0.95, 0.1), (side * 0.8, 0.16), (side * 0.6, 0.14), 0.12, 0.04))
    elif coat.pattern == "patches":
        pen.fill(coat.patch, smooth((-0.9 * width, -0.4), (-0.3, -0.95), (0.02, -0.3), (-0.15, 0.25), (-0.75, 0.3)))
    elif coat.pattern == "bib":
        pen.fill(coat.muzzle, smooth((shift - 0.16, 0.5), (shift - 0.06, -0.95), (shift + 0.06, -0.95), (shift + 0.16, 0.5)))
    if looks.ears == "hanging":
        for outer, _ in ears:
            pen.body(mix(ear_fur, BLACK, 0.1), coat.contour, outer)
    drop = looks.muzzle_drop
    muzzle_x = shift * 1.25
    pen.fill(coat.muzzle, ellipse(muzzle_x - 0.17, drop, looks.muzzle * 0.8, looks.muzzle * 0.75),
             ellipse(muzzle_x + 0.17, drop, looks.muzzle * 0.8, looks.muzzle * 0.75))  # fmt: skip
    for side in (-1, 1):
        _eye(pen, looks, shift + side * 0.42 * width, -0.1, side)
    _mouth(pen, looks, coat, muzzle_x, drop - 0.5 * looks.muzzle)
    if looks.whiskers:
        hair = mix(coat.contour, WHITE, 0.75) if sum(coat.fur) < 420 else mix(coat.contour, BLACK, 0.1)
        for side in (-1, 1):
            for rise in (-0.16, 0.0, 0.16):
                pen.fill(hair, stroke(
                    (muzzle_x + side * 0.3, drop + rise * 0.4),
                    (muzzle_x + side * (0.3 + 0.5 * looks.whiskers), drop + rise * 0.8 - 0.06),
                    (muzzle_x + side * (0.35 + looks.whiskers), drop + rise * 2.2),
                    0.06, 0.03,
                ))  # fmt: skip


def _collar(pen: Pen, dice: Dice, x: float, y: float, half_width: float) -> None:
    if dice.chance(0.3):
        colour = dice.one_of(((200, 50, 60), (50, 110, 190), (70, 150, 80), (230, 180, 60)))
        pen.body(colour, mix(colour, BLACK, 0.5),
                 stroke((x - half_width, y), (x, y + 0.28), (x + half_width, y), 0.2, 0.2))  # fmt: skip
        pen.fill((240, 210, 90), ellipse(x, y + 0.26, 0.11, 0.11))


def portrait(pen: Pen, dice: Dice, looks: Looks, coat: Coat) -> None:
    """Head and shoulders."""
    chest = smooth((-1.3, 2.6), (-0.85, 0.3), (0.85, 0.3), (1.3, 2.6))
    pen.body(coat.fur, coat.contour, chest)
    if coat.pattern == "bib":
        pen.fill(coat.muzzle, smooth((-0.55, 0.6), (0.55, 0.6), (0.3, 2.4), (-0.3, 2.4)))
    _collar(pen, dice, 0, 0.95, 0.72)
    head(pen.at(0, 0, turn=dice.between(-0.12, 0.12)), looks, coat, dice.between(-1, 1))


def sitting(pen: Pen, dice: Dice, looks: Looks, coat: Coat) -> None:
    """Sitting, seen from the front: the tail curls out beside the body."""
    fur, dark = coat.fur, coat.contour
    reach = looks.tail_length
    pen.body(fur, dark, stroke((0.7, 2.3), (0.9 + reach, 2.6), (0.9 + 0.7 * reach, 2.3 - 0.9 * reach),
                                     looks.tail_width, looks.tail_width * 0.7))  # fmt: skip
    torso = smooth((-1.15, 2.75), (-1.0, 1.2), (-0.5, 0.2), (0.5, 0.2), (1.0, 1.2), (1.15, 2.75))
    pen.body(fur, dark, torso, ellipse(-0.85, 2.15, 0.5, 0.6), ellipse(0.85, 2.15, 0.5, 0.6))
    if coat.pattern == "bib":
        pen.fill(coat.muzzle, ellipse(0, 1.5, 0.42, 0.75))
    elif coat.pattern == "tabby":
        for y in (1.2, 1.6, 2.0):
            for side in (-1, 1):
                pen.fill(coat.patch, stroke((side * 0.85, y), (side * 0.6, y + 0.1), (side * 0.45, y), 0.15, 0.05))
    elif coat.pattern == "patches":
        pen.fill(coat.patch, smooth((-0.9, 1.9), (-0.7, 1.2), (-0.1, 1.3), (-0.3, 2.2)))
    leg = looks.leg_width
    for side in (-1, 1):
        pen.body(fur, dark, stroke((side * 0.36, 1.4), (side * 0.42, 2.0), (side * 0.38, 2.55), leg, leg * 0.9),
                 ellipse(side * 0.4, 2.6, leg * 0.62, 0.2))  # fmt: skip
        pen.fill(fur, ellipse(side * 0.36, 1.5, leg * 0.55, 0.3))
    _collar(pen, dice, 0, 0.9, 0.6)
    head(pen.at(0, 0, turn=dice.between(-0.12, 0.12)), looks, coat, dice.between(-1, 1))


def standing(pen: Pen, dice: Dice, looks: Looks, coat: Coat) -> None:
    """Standing or walking, seen from the side, the head on the left and turned to us."""
    fur, dark = coat.fur, coat.contour
    far, length = mix(fur, BLACK, 0.25), dice.between(1.9, 2.7)
    height = dice.between(1.9, 2.5)
    leg, stride = looks.leg_width, dice.between(-0.35, 0.35)
    lift, reach = dice.between(-0.8, 1), looks.tail_length
    pen.body(fur, dark, stroke((length + 0.2, 0.75), (length + 0.5 * reach + 0.3, 0.7), (length + 0.75 * reach, 0.6 - lift * reach),
                                     looks.tail_width, looks.tail_width * 0.7))  # fmt: skip
    for x, step in ((0.45, -stride), (length - 0.15, stride)):
        pen.body(far, dark, stroke((x, 1.0), (x, 1.6), (x + step, height), leg, leg * 0.75))
    legs = [stroke((x, 1.0), (x, 1.6), (x + step, height), leg, leg * 0.8)
            for x, step in ((0.25, stride), (length, -stride))]  # fmt: skip
    torso = smooth((-0.35, 0.2), (0.8, 0.25), (length + 0.3, 0.1), (length + 0.55, 1.1), (length - 0.6, 1.45), (0.7, 1.75), (-0.3, 1.4))
    pen.body(fur, dark, torso, *legs)
    if coat.pattern == "tabby":
        for part in (0.3, 0.5, 0.7, 0.9):
            pen.fill(coat.patch, stroke((length * part, 0.34), (length * part + 0.1, 0.6), (length * part, 0.95), 0.17, 0.05))
    elif coat.pattern == "patches":
        pen.fill(coat.patch, smooth((length * 0.5, 0.3), (length * 0.9, 0.32), (length * 0.95, 0.9), (length * 0.6, 1.1)))
    elif coat.pattern == "bib":
        pen.fill(coat.muzzle, ellipse(0.15, 1.15, 0.3, 0.35))
    _collar(pen, dice, -0.1, 0.75, 0.6)
    head(pen.at(-0.35, -0.15, scale=0.92, turn=dice.between(-0.14, 0.14)), looks, coat, dice.between(-1.2, 0.6))


def lying(pen: Pen, dice: Dice, looks: Looks, coat: Coat) -> None:
    """Lying, the front paws before the head, the body beside it."""
    fur, dark = coat.fur, coat.contour
    length, reach = dice.between(1.8, 2.6), looks.tail_length
    pen.body(fur, dark, stroke((length, 1.0), (length + 0.6 * reach, 1.2), (length + 0.3 * reach, 1.0 - 0.5 * reach),
                                     looks.tail_width, looks.tail_width * 0.7))  # fmt: skip
    torso = smooth((-0.5, 1.3), (-0.2, 0.1), (1.0, -0.1), (length + 0.2, -0.1), (length + 0.6, 1.3))
    haunch = ellipse(length - 0.2, 0.75, 0.62, 0.55)
    pen.body(fur, dark, torso)
    if coat.pattern == "tabby":
        for part in (0.4, 0.55, 0.7):
            pen.fill(coat.patch, stroke((length * part, 0.05), (length * part + 0.15, 0.4), (length * part, 0.75), 0.17, 0.05))
    elif coat.pattern == "patches":
        pen.fill(coat.patch, smooth((length * 0.4, 0.1), (length * 0.8, 0.1), (length * 0.75, 0.7), (length * 0.45, 0.8)))
    pen.body(fur, dark, haunch, stroke((length - 0.2, 1.2), (length - 0.6, 1.25), (length - 0.95, 1.2), 0.3, 0.3))
    leg = looks.leg_width
    pen.body(fur, dark, stroke((0.3, 1.0), (-0.3, 1.25), (-0.95, 1.2), leg * 0.8, leg * 0.75),
             stroke((0.6, 1.1), (0.1, 1.35), (-0.45, 1.35), leg * 0.8, leg * 0.75))  # fmt: skip
    _collar(pen, dice, -0.1, 0.72, 0.6)
    head(pen.at(-0.1, -0.1, turn=dice.between(-0.2, 0.2)), looks, coat, dice.between(-1, 1))


POSES = (portrait, sitting, standing, lying)
