"""How a cat or a dog sits, stands or lies; lengths in radii of its head, which is at the origin."""

from optrun.data.sample.canvas import BLACK, Points, mix, palette
from optrun.data.sample.dice import Dice
from optrun.data.sample.head import draw_head
from optrun.data.sample.looks import Coat, Looks
from optrun.data.sample.pen import SIDES, Pen, ellipse, smooth, stroke

COLLARS = palette("c8323c 326ebe 469650 e6b43c")
TAG, SHADOW = palette("f0d25a 5a5654")


def draw_animal(pen: Pen, dice: Dice, looks: Looks, coat: Coat) -> None:
    """Draws an animal in one of the poses, with its shadow, into the unit square."""
    draw, scale, across, down, shadow = dice.one_of(_POSES)
    mirror = dice.chance(0.5)
    x, y = dice.between(*across), dice.between(*down)
    size, turn = dice.between(*scale), dice.between(-0.06, 0.06)
    place = pen.at(1 - x if mirror else x, y, size, turn, mirror)
    if shadow:
        place.fill(mix(SHADOW, BLACK, dice.between(0, 0.4)), ellipse(*shadow, 0.28))
    draw(place, dice, looks, coat)


def _portrait(pen: Pen, dice: Dice, looks: Looks, coat: Coat) -> None:
    """Head and shoulders."""
    pen.body(coat.fur, coat.contour, smooth((-1.3, 2.6), (-0.85, 0.3), (0.85, 0.3), (1.3, 2.6)))
    if coat.pattern == "bib":
        pen.fill(coat.muzzle, smooth((-0.55, 0.6), (0.55, 0.6), (0.3, 2.4), (-0.3, 2.4)))
    _collar(pen.at(0, 0.95), dice, 0.72)
    draw_head(pen.at(0, 0, turn=dice.between(-0.12, 0.12)), looks, coat, dice.between(-1, 1))


def _sitting(pen: Pen, dice: Dice, looks: Looks, coat: Coat) -> None:
    """Sitting, seen from the front, the tail curled up beside the body."""
    fur, contour, leg, reach = coat.fur, coat.contour, looks.leg_width, looks.tail_length
    bend, tip = (0.9 + reach, 2.6), (0.9 + 0.7 * reach, 2.3 - 0.9 * reach)
    pen.body(fur, contour, stroke((0.7, 2.3), bend, tip, looks.tail_width, 0.7 * looks.tail_width))
    torso = smooth((-1.15, 2.75), (-1.0, 1.2), (-0.5, 0.2), (0.5, 0.2), (1.0, 1.2), (1.15, 2.75))
    haunches = [ellipse(0.85 * side, 2.15, 0.5, 0.6) for side in SIDES]
    pen.body(fur, contour, torso, *haunches)
    if coat.pattern == "bib":
        pen.fill(coat.muzzle, ellipse(0, 1.5, 0.42, 0.75))
    elif coat.pattern == "tabby":
        for y in (1.2, 1.6, 2.0):
            for half in pen.halves():
                half.fill(coat.patch, stroke((0.85, y), (0.6, y + 0.1), (0.45, y), 0.15, 0.05))
    elif coat.pattern == "patches":
        pen.fill(coat.patch, smooth((-0.9, 1.9), (-0.7, 1.2), (-0.1, 1.3), (-0.3, 2.2)))
    for side in SIDES:
        top, bend, bottom = (side * 0.36, 1.4), (side * 0.42, 2.0), (side * 0.38, 2.55)
        paw = ellipse(side * 0.4, 2.6, 0.62 * leg, 0.2)
        pen.body(fur, contour, stroke(top, bend, bottom, leg, 0.9 * leg), paw)
        pen.fill(fur, ellipse(side * 0.36, 1.5, 0.55 * leg, 0.3))
    _collar(pen.at(0, 0.9), dice, 0.6)
    draw_head(pen.at(0, 0, turn=dice.between(-0.12, 0.12)), looks, coat, dice.between(-1, 1))


def _standing(pen: Pen, dice: Dice, looks: Looks, coat: Coat) -> None:
    """Standing or walking, seen from the side, the head turned to us."""
    fur, contour, width, reach = coat.fur, coat.contour, looks.leg_width, looks.tail_length
    length, height = dice.between(1.9, 2.7), dice.between(1.9, 2.5)
    stride, lift = dice.between(-0.35, 0.35), dice.between(-0.8, 1)
    bend, tip = (length + 0.5 * reach + 0.3, 0.7), (length + 0.75 * reach, 0.6 - lift * reach)
    tail = stroke((length + 0.2, 0.75), bend, tip, looks.tail_width, 0.7 * looks.tail_width)
    pen.body(fur, contour, tail)

    def leg(x: float, step: float, taper: float) -> Points:
        return stroke((x, 1.0), (x, 1.6), (x + step, height), width, taper * width)

    for far_leg in (leg(0.45, -stride, 0.75), leg(length - 0.15, stride, 0.75)):
        pen.body(mix(fur, BLACK, 0.25), contour, far_leg)
    rump = ((length + 0.3, 0.1), (length + 0.55, 1.1))
    torso = smooth((-0.35, 0.2), (0.8, 0.25), *rump, (length - 0.6, 1.45), (0.7, 1.75), (-0.3, 1.4))
    pen.body(fur, contour, torso, leg(0.25, stride, 0.8), leg(length, -stride, 0.8))
    _flank_markings(pen, coat, length, top=0.34, bottom=0.95)
    if coat.pattern == "bib":
        pen.fill(coat.muzzle, ellipse(0.15, 1.15, 0.3, 0.35))
    _collar(pen.at(-0.1, 0.75), dice, 0.6)
    neck = pen.at(-0.35, -0.15, scale=0.92, turn=dice.between(-0.14, 0.14))
    draw_head(neck, looks, coat, dice.between(-1.2, 0.6))


def _lying(pen: Pen, dice: Dice, looks: Looks, coat: Coat) -> None:
    """Lying, the front paws before the head."""
    fur, contour, leg, reach = coat.fur, coat.contour, looks.leg_width, looks.tail_length
    length = dice.between(1.8, 2.6)
    bend, tip = (length + 0.6 * reach, 1.2), (length + 0.3 * reach, 1.0 - 0.5 * reach)
    tail = stroke((length, 1.0), bend, tip, looks.tail_width, 0.7 * looks.tail_width)
    pen.body(fur, contour, tail)
    torso = smooth((-0.5, 1.3), (-0.2, 0.1), (1.0, -0.1), (length + 0.2, -0.1), (length + 0.6, 1.3))
    pen.body(fur, contour, torso)
    _flank_markings(pen, coat, 0.9 * length, top=0.08, bottom=0.75)
    haunch = ellipse(length - 0.2, 0.75, 0.62, 0.55)
    hind_paw = stroke((length - 0.2, 1.2), (length - 0.6, 1.25), (length - 0.95, 1.2), 0.3, 0.3)
    pen.body(fur, contour, haunch, hind_paw)
    far_paw = stroke((0.3, 1.0), (-0.3, 1.25), (-0.95, 1.2), 0.8 * leg, 0.75 * leg)
    near_paw = stroke((0.6, 1.1), (0.1, 1.35), (-0.45, 1.35), 0.8 * leg, 0.75 * leg)
    pen.body(fur, contour, far_paw, near_paw)
    _collar(pen.at(-0.1, 0.72), dice, 0.6)
    head = pen.at(-0.1, -0.1, turn=dice.between(-0.2, 0.2))
    draw_head(head, looks, coat, dice.between(-1, 1))


def _flank_markings(pen: Pen, coat: Coat, length: float, *, top: float, bottom: float) -> None:
    """Stripes or a patch on a body seen from the side, behind the head on the left."""
    if coat.pattern == "tabby":
        for x in (0.35 * length, 0.52 * length, 0.69 * length, 0.86 * length):
            bend = (x + 0.12, (top + bottom) / 2)
            pen.fill(coat.patch, stroke((x, top), bend, (x, bottom), 0.17, 0.05))
    elif coat.pattern == "patches":
        upper = ((0.5 * length, top), (0.9 * length, top))
        patch = smooth(*upper, (0.92 * length, bottom - 0.05), (0.58 * length, bottom + 0.1))
        pen.fill(coat.patch, patch)


def _collar(pen: Pen, dice: Dice, half_width: float) -> None:
    """Three animals in ten wear a collar with a tag."""
    if dice.chance(0.3):
        colour = dice.one_of(COLLARS)
        band = stroke((-half_width, 0), (0, 0.28), (half_width, 0), 0.2, 0.2)
        pen.body(colour, mix(colour, BLACK, 0.5), band)
        pen.fill(TAG, ellipse(0, 0.26, 0.11, 0.11))


# How a pose is drawn, with the head at the origin and the body on the right, if anywhere; ranges of
# the head's radius and of its x and y, in sides of the picture; x, y and half the width of the
# shadow on the ground, where feet are in view. The factor says how often it comes up.
_POSES = (
    [(_portrait, (0.23, 0.34), (0.34, 0.66), (0.42, 0.62), None)] * 3
    + [(_sitting, (0.2, 0.28), (0.32, 0.64), (0.32, 0.5), (0.0, 2.75, 1.6))] * 2
    + [(_standing, (0.2, 0.28), (0.26, 0.46), (0.36, 0.6), (1.2, 2.2, 2.2))]
    + [(_lying, (0.2, 0.28), (0.26, 0.46), (0.38, 0.66), (1.2, 1.5, 2.2))] * 2
)
