"""The head of a cat or a dog: radius 1 around the origin of the pen."""

from optrun.data.sample.canvas import BLACK, WHITE, Colour, mix, palette
from optrun.data.sample.looks import PINK, Coat, Looks
from optrun.data.sample.pen import SIDES, Pen, ellipse, smooth, stroke

PUPIL, DARK_NOSE, NOSE_GLOSS, TONGUE = palette("141216 221c1e 968c8c e4606c")
# Half width, half height and turn of an eye's rim, iris and pupil.
SLIT_EYE = ((1.12, 1, 0.12), (0.95, 0.8, 0.12), (0.3, 0.75, 0))
ROUND_EYE = ((1, 1, 0), (0.85, 0.85, 0), (0.6, 0.6, 0))


def draw_head(pen: Pen, looks: Looks, coat: Coat, yaw: float) -> None:
    """Draws a head turned to the side by yaw, -1 to 1."""
    width, shift = looks.head_width, 0.3 * yaw
    if looks.ears != "hanging":
        _ears(pen, looks, coat)
    jowls = 0.94 if looks.ears == "pointed" else 0.86
    skull, cheeks = ellipse(0, -0.08, width, 0.88), ellipse(0.3 * shift, 0.3, width * jowls, 0.62)
    pen.body(coat.fur, coat.contour, skull, cheeks)
    _markings(pen, width, coat, shift)
    if looks.ears == "hanging":
        _ears(pen, looks, coat)
    middle, drop, muzzle = 1.25 * shift, looks.muzzle_drop, looks.muzzle
    for side in SIDES:
        pen.fill(coat.muzzle, ellipse(middle + 0.17 * side, drop, 0.8 * muzzle, 0.75 * muzzle))
    for side in SIDES:
        _eye(pen, looks, shift + 0.42 * width * side, side)
    _mouth(pen.at(middle, drop - 0.5 * muzzle), looks, mix(coat.contour, BLACK, 0.4))
    if looks.whiskers:
        length = looks.whiskers
        for half in pen.at(middle, drop).halves():
            for rise in (-0.16, 0.0, 0.16):
                bend, end = (0.3 + 0.5 * length, 0.8 * rise - 0.06), (0.35 + length, 2.2 * rise)
                half.fill(coat.whisker, stroke((0.3, 0.4 * rise), bend, end, 0.06, 0.03))


def _ears(pen: Pen, looks: Looks, coat: Coat) -> None:
    fur = coat.patch if coat.pattern == "patches" else mix(coat.fur, BLACK, 0.12)
    width, length, root = looks.ear_width, looks.ear_length, 0.55 * looks.head_width
    inner_root, outer_root = (root - 0.5 * width, -0.72), (root + 0.55 * width, -0.3)
    for half in pen.halves():
        if looks.ears == "hanging":
            outer = (root + 0.35, -0.9), (root + 0.35 + 0.5 * width, -0.4 + 0.4 * length)
            lower = (root + 0.3, -0.5 + length), (root + 0.05, -0.5 + 0.7 * length)
            ear = smooth((root - 0.15, -0.85), *outer, *lower, (root + 0.15, -0.4))
            half.body(mix(fur, BLACK, 0.1), coat.contour, ear)
        elif looks.ears == "pointed":
            ear = [inner_root, (root + 0.3, -0.55 - length), outer_root]
            half.body(fur, coat.contour, ear)
            x0, y0 = sum(x for x, _ in ear) / 3, sum(y for _, y in ear) / 3
            inner = [(x0 + 0.55 * (x - x0), y0 + 0.55 * (y - y0) + 0.06) for x, y in ear]
            half.fill(coat.inner_ear, inner)
        else:
            # The upper half is folded forward: a blunt edge, from which a flap hangs.
            edge = (root - 0.1, -0.6 - 0.62 * length), (root + 0.45, -0.5 - 0.55 * length)
            half.body(fur, coat.contour, [inner_root, *edge, outer_root])
            flap = [*edge, (root + 0.42, -0.45 - 0.02 * length)]
            half.body(mix(fur, BLACK, 0.25), coat.contour, flap)


def _markings(pen: Pen, width: float, coat: Coat, shift: float) -> None:
    if coat.pattern == "tabby":
        for x in (-0.3, 0, 0.3):
            top, bottom = (x + 0.5 * shift, -0.9), (0.7 * x + shift, -0.42)
            pen.fill(coat.patch, stroke(top, (0.9 * x + shift, -0.7), bottom, 0.14, 0.06))
        for half in pen.halves():
            half.fill(coat.patch, stroke((0.95 * width, 0.1), (0.8, 0.16), (0.6, 0.14), 0.12, 0.04))
    elif coat.pattern == "patches":
        left = (-0.9 * width, -0.4)
        pen.fill(coat.patch, smooth(left, (-0.3, -0.95), (0.02, -0.3), (-0.15, 0.25), (-0.75, 0.3)))
    elif coat.pattern == "bib":
        brow = (shift - 0.06, -0.95), (shift + 0.06, -0.95)
        pen.fill(coat.muzzle, smooth((shift - 0.16, 0.5), *brow, (shift + 0.16, 0.5)))


def _eye(pen: Pen, looks: Looks, x: float, side: int) -> None:
    size, colours = looks.eye, (mix(looks.iris, BLACK, 0.75), looks.iris, PUPIL)
    shapes = SLIT_EYE if looks.slit_pupils else ROUND_EYE
    for colour, (width, height, turn) in zip(colours, shapes, strict=True):
        pen.fill(colour, ellipse(x, -0.1, width * size, height * size, turn * side))
    pen.fill(WHITE, ellipse(x + 0.3 * size, -0.1 - 0.35 * size, 0.24 * size, 0.24 * size))


def _mouth(pen: Pen, looks: Looks, line: Colour) -> None:
    """Nose at the origin, lips and perhaps a tongue below it."""
    nose = looks.nose
    if looks.tongue:
        tongue = ellipse(0.05, 0.42 + 0.3 * looks.muzzle, 0.14, 0.26)
        pen.body(TONGUE, mix(TONGUE, BLACK, 0.4), tongue)
    for half in pen.halves():
        half.fill(line, stroke((0, nose), (0.1, nose + 0.22), (0.3, nose + 0.14), 0.07, 0.04))
    if looks.triangular_nose:
        triangle = smooth((-1.6 * nose, -nose), (1.6 * nose, -nose), (0, 1.3 * nose))
        pen.fill(mix(PINK, line, 0.25), triangle)
    else:
        pen.fill(DARK_NOSE, ellipse(0, 0, 1.2 * nose, nose))
        pen.fill(NOSE_GLOSS, ellipse(-0.3 * nose, -0.4 * nose, 0.35 * nose, 0.2 * nose))
