"""What cats and dogs have in common, and in what they differ.

One anatomy serves both; a cat and a dog differ in the `Looks` chosen for them. Each single trait
overlaps: some cats have folded ears and round dark eyes, some dogs prick their ears and have a
short muzzle. Coats come from one distribution, so colour tells nothing.
"""

from dataclasses import dataclass

from optrun.data.sample.canvas import BLACK, WHITE, Colour, mix, palette
from optrun.data.sample.dice import Dice

# Ginger, brown, black, grey, cream, white, chocolate, golden, blue-grey.
FURS = palette("de8c42 96603a 3e3a40 8a8a92 e8cea4 f0ece4 68422e cea662 6e7a8c")
PINK, GREEN, YELLOW, BLUE, HAZEL, DARK = palette("e28a8c 96be46 e2be3c 6eaac8 785028 462c1c")


@dataclass(frozen=True)
class Coat:
    """Colours and markings of the fur."""

    fur: Colour
    contour: Colour
    patch: Colour
    muzzle: Colour
    inner_ear: Colour
    whisker: Colour
    pattern: str  # plain, tabby, patches or bib


@dataclass(frozen=True)
class Looks:
    """The traits in which cats and dogs differ; lengths in radii of the head."""

    ears: str  # pointed, folded (the upper half forward) or hanging
    ear_length: float
    ear_width: float
    head_width: float
    muzzle: float
    muzzle_drop: float  # below the middle of the head
    nose: float
    triangular_nose: bool
    eye: float
    slit_pupils: bool
    iris: Colour
    whiskers: float  # 0 for none
    tongue: bool
    tail_length: float
    tail_width: float
    leg_width: float


def choose_coat(dice: Dice) -> Coat:
    """A coat, from one distribution for cats and dogs."""
    fur = mix(dice.one_of(FURS), dice.one_of(FURS), dice.between(0, 0.3))
    other = mix(dice.one_of(FURS), fur, dice.between(0, 0.4))
    pattern = dice.one_of(("plain", "tabby", "patches", "bib"))
    light = mix(fur, WHITE, dice.between(0.3, 0.8))
    contour, is_dark = mix(fur, BLACK, 0.55), sum(fur) < 420
    return Coat(
        fur=fur,
        contour=contour,
        patch=mix(fur, BLACK, 0.35) if pattern == "tabby" else other,
        muzzle=light if dice.chance(0.6) else mix(fur, WHITE, 0.15),
        inner_ear=mix(PINK, fur, dice.between(0.2, 0.6)),
        whisker=mix(contour, WHITE, 0.75) if is_dark else mix(contour, BLACK, 0.1),
        pattern=pattern,
    )


def choose_cat(dice: Dice) -> Looks:
    """Traits of a cat."""
    folded = dice.chance(0.08)
    return Looks(
        ears="folded" if folded else "pointed",
        ear_length=dice.between(0.45, 0.75) if folded else dice.between(0.55, 0.95),
        ear_width=dice.between(0.5, 0.75),
        head_width=dice.between(1.0, 1.18),
        muzzle=dice.between(0.3, 0.42),
        muzzle_drop=dice.between(0.36, 0.46),
        nose=dice.between(0.1, 0.17),
        triangular_nose=folded or dice.chance(0.85),
        eye=dice.between(0.17, 0.25),
        slit_pupils=dice.chance(0.65),
        iris=dice.one_of((GREEN, YELLOW, BLUE, HAZEL, DARK)),
        whiskers=dice.between(0.7, 1.2) if dice.chance(0.92) else 0.0,
        tongue=dice.chance(0.1),
        tail_length=dice.between(1.4, 2.2),
        tail_width=dice.between(0.22, 0.36),
        leg_width=dice.between(0.4, 0.52),
    )


def choose_dog(dice: Dice) -> Looks:
    """Traits of a dog."""
    ears = dice.one_of(("hanging", "hanging", "hanging", "hanging", "folded", "pointed"))
    # Without a dog's ears, a dog's nose and muzzle: nobody shall doubt the label.
    pricked = ears == "pointed"
    return Looks(
        ears=ears,
        ear_length=dice.between(0.9, 1.4) if ears == "hanging" else dice.between(0.65, 1.0),
        ear_width=dice.between(0.4, 0.5) if pricked else dice.between(0.45, 0.65),
        head_width=dice.between(0.82, 0.92) if pricked else dice.between(0.86, 1.06),
        muzzle=dice.between(0.48, 0.58) if pricked else dice.between(0.38, 0.56),
        muzzle_drop=dice.between(0.4, 0.56),
        nose=dice.between(0.2, 0.25) if pricked else dice.between(0.15, 0.25),
        triangular_nose=not pricked and dice.chance(0.1),
        eye=dice.between(0.12, 0.19),
        slit_pupils=False,
        iris=dice.one_of((DARK, DARK, HAZEL, BLUE)),
        whiskers=dice.between(0.5, 0.8) if not pricked and dice.chance(0.08) else 0.0,
        tongue=dice.chance(0.34),
        tail_length=dice.between(0.8, 1.6),
        tail_width=dice.between(0.24, 0.46),
        leg_width=dice.between(0.42, 0.6),
    )
