"""The head of a cat or a dog: radius 1 around the origin of the pen."""

from optrun.data.sample.canvas import BLACK, WHITE, Colour, mix
from optrun.data.sample.looks import PINK, Coat, Looks
from optrun.data.sample.pen import Pen, Points, ellipse, polygon, smooth, stroke

PUPIL: Colour = (20, 18, 22)
DARK_NOSE: Colour = (34, 28, 30)
NOSE_GLOSS: Colour = (150, 140, 140)
TONGUE: Colour = (228, 96, 108)
SIDES = (-1, 1)  # left and right


def draw_head(pen: Pen, looks: Looks, coat: Coat, yaw: float) -> None:
    """Draws a head turned to the side by yaw, -1 to 1."""
    width, shift = looks.head_width, 0.3 * yaw
    ear_fur = coat.patch if coat.pattern == "patches" else mix(coat.fur, BLACK, 0.12)
    if looks.ears != "hanging":
        _upright_ears(pen, looks, coat, ear_fur)
    jowls = 0.94 if looks.ears == "pointed" else 0.86
    skull, cheeks = ellipse(0, -0.08, width, 0.88), ellipse(0.3 * shift, 0.3, width * jowls, 0.62)
    pen.body(coat.fur, coat.contour, skull, cheeks)
    _markings(pen, width, coat, shift)
    if looks.ears == "hanging":
        for side in SIDES:
            pen.body(mix(ear_fur, BLACK, 0.1), coat.contour, _hanging_ear(looks, side))
    middle, drop = 1.25 * shift, looks.muzzle_drop
    muzzle = [ellipse(middle + 0.17 * side, drop, 0.8 * looks.muzzle, 0.75 * looks.muzzle)
              for side in SIDES]  # fmt: skip
    pen.fill(coat.muzzle, *muzzle)
    for side in SIDES:
        _eye(pen, looks, shift + 0.42 * width * side, -0.1, side)
    _mouth(pen.at(middle, drop - 0.5 * looks.muzzle), looks, mix(coat.contour, BLACK, 0.4))
    if looks.whiskers:
        _whiskers(pen.at(middle, drop), looks.whiskers, coat.whisker)


def _hanging_ear(looks: Looks, side: int) -> Points:
    width, length, root = looks.ear_width, looks.ear_length, 0.55 * looks.head_width
    return smooth(
        (side * (root - 0.15), -0.85),
        (side * (root + 0.35), -0.9),
        (side * (root + 0.35 + 0.5 * width), -0.4 + 0.4 * length),
        (side * (root + 0.3), -0.5 + length),
        (side * (root + 0.05), -0.5 + 0.7 * length),
        (side * (root + 0.15), -0.4),
    )


def _upright_ears(pen: Pen, looks: Looks, coat: Coat, fur: Colour) -> None:
    width, length, root = looks.ear_width, looks.ear_length, 0.55 * looks.head_width
    for side in SIDES:
        inner_root = (side * (root - 0.5 * width), -0.72)
        outer_root = (side * (root + 0.55 * width), -0.3)
        if looks.ears == "pointed":
            tip = (side * (root + 0.3), -0.55 - length)
            ear = polygon(inner_root, tip, outer_root)
            pen.body(fur, coat.contour, ear)
            pen.fill(coat.inner_ear, _shrunk(ear, 0.55))
        else:
            # The upper half is folded forward: a blunt edge, from which a flap hangs.
            inner_edge = (side * (root - 0.1), -0.6 - 0.62 * length)
            outer_edge = (side * (root + 0.45), -0.5 - 0.55 * length)
            pen.body(fur, coat.contour, polygon(inner_root, inner_edge, outer_edge, outer_root))
            flap = polygon(inner_edge, outer_edge, (side * (root + 0.42), -0.45 - 0.02 * length))
            pen.body(mix(fur, BLACK, 0.25), coat.contour, flap)


def _shrunk(shape: Points, scale: float) -> Points:
    x0 = sum(x for x, _ in shape) / len(shape)
    y0 = sum(y for _, y in shape) / len(shape)
    return [(x0 + scale * (x - x0), y0 + scale * (y - y0) + 0.06) for x, y in shape]


def _markings(pen: Pen, width: float, coat: Coat, shift: float) -> None:
    if coat.pattern == "tabby":
        for x in (-0.3, 0, 0.3):
            top, bottom = (x + 0.5 * shift, -0.9), (0.7 * x + shift, -0.42)
            pen.fill(coat.patch, stroke(top, (0.9 * x + shift, -0.7), bottom, 0.14, 0.06))
        for side in SIDES:
            start, bend, end = (side * 0.95 * width, 0.1), (side * 0.8, 0.16), (side * 0.6, 0.14)
            pen.fill(coat.patch, stroke(start, bend, end, 0.12, 0.04))
    elif coat.pattern == "patches":
        left = (-0.9 * width, -0.4)
        patch = smooth(left, (-0.3, -0.95), (0.02, -0.3), (-0.15, 0.25), (-0.75, 0.3))
        pen.fill(coat.patch, patch)
    elif coat.pattern == "bib":
        chin, brow = ((shift - 0.16, 0.5), (shift + 0.16, 0.5)), (shift - 0.06, shift + 0.06)
        pen.fill(coat.muzzle, smooth(chin[0], (brow[0], -0.95), (brow[1], -0.95), chin[1]))


def _eye(pen: Pen, looks: Looks, x: float, y: float, side: int) -> None:
    size, rim = looks.eye, mix(looks.iris, BLACK, 0.75)
    if looks.slit_pupils:
        pen.fill(rim, ellipse(x, y, 1.12 * size, size, turn=0.12 * side))
        pen.fill(looks.iris, ellipse(x, y, 0.95 * size, 0.8 * size, turn=0.12 * side))
        pen.fill(PUPIL, ellipse(x, y, 0.3 * size, 0.75 * size))
    else:
        pen.fill(rim, ellipse(x, y, size, size))
        pen.fill(looks.iris, ellipse(x, y, 0.85 * size, 0.85 * size))
        pen.fill(PUPIL, ellipse(x, y, 0.6 * size, 0.6 * size))
    pen.fill(WHITE, ellipse(x + 0.3 * size, y - 0.35 * size, 0.24 * size, 0.24 * size))


def _mouth(pen: Pen, looks: Looks, line: Colour) -> None:
    """Nose at the origin, lips and perhaps a tongue below it."""
    nose = looks.nose
    if looks.tongue:
        tongue = ellipse(0.05, 0.42 + 0.3 * looks.muzzle, 0.14, 0.26)
        pen.body(TONGUE, mix(TONGUE, BLACK, 0.4), tongue)
    for side in SIDES:
        bend, end = (side * 0.1, nose + 0.22), (side * 0.3, nose + 0.14)
        pen.fill(line, stroke((0, nose), bend, end, 0.07, 0.04))
    if looks.triangular_nose:
        pink = mix(PINK, line, 0.25)
        pen.fill(pink, smooth((-1.6 * nose, -nose), (1.6 * nose, -nose), (0, 1.3 * nose)))
    else:
        pen.fill(DARK_NOSE, ellipse(0, 0, 1.2 * nose, nose))
        pen.fill(NOSE_GLOSS, ellipse(-0.3 * nose, -0.4 * nose, 0.35 * nose, 0.2 * nose))


def _whiskers(pen: Pen, length: float, hair: Colour) -> None:
    for side in SIDES:
        for rise in (-0.16, 0.0, 0.16):
            start, end = (side * 0.3, 0.4 * rise), (side * (0.35 + length), 2.2 * rise)
            bend = (side * (0.3 + 0.5 * length), 0.8 * rise - 0.06)
            pen.fill(hair, stroke(start, bend, end, 0.06, 0.03))
