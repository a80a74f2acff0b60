"""Colours as (red, green, blue), 0 to 255, and how they mix."""

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)


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
