"""Contact sheets: everything is where a person looks for it, and no text can break the picture."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from optrun.data.images.contact_sheet import Tile, contact_sheet
from PIL import Image


def plain(colour: tuple[int, int, int], height: int = 32, width: int = 32) -> Tile:
    return Tile(np.full((height, width, 3), colour, np.uint8), "cat")


def drawn(tiles: list[Tile], **options: int) -> npt.NDArray[np.uint8]:
    image = Image.open(io.BytesIO(contact_sheet(tiles, title="Title", **options)))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def boxes(sheet: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of what has exactly this colour."""
    rows, columns = np.nonzero(np.all(sheet == colour, axis=2))
    top, left = int(rows.min()), int(columns.min())
    return top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1


def test_tiles_follow_each_other_row_by_row() -> None:
    colours = [(10 * (i + 1), 250, 5) for i in range(5)]
    sheet = drawn([plain(colour) for colour in colours], tile_px=64, columns=3)
    places = [boxes(sheet, colour) for colour in colours]
    assert all(place[2:] == (64, 64) for place in places)
    first, second, third, fourth, fifth = [place[:2] for place in places]
    assert first[0] == second[0] == third[0] < fourth[0] == fifth[0]
    assert first[1] < second[1] < third[1]
    assert (first[1], second[1]) == (fourth[1], fifth[1])


@pytest.mark.parametrize(("height", "width"), [(30, 60), (600, 300), (1, 100), (64, 64)])
def test_a_picture_keeps_its_proportions(height: int, width: int) -> None:
    sheet = drawn([plain((0, 90, 200), height, width)], tile_px=128)
    _, _, drawn_height, drawn_width = boxes(sheet, (0, 90, 200))
    assert max(drawn_height, drawn_width) == 128
    assert min(drawn_height, drawn_width) == max(
        1, round(128 * min(height, width) / max(height, width))
    )


def test_a_wrong_tile_is_told_from_a_right_one_by_more_than_its_colour() -> None:
    grey = np.full((32, 32, 3), 200, np.uint8)

    def frame(emphasis: str) -> int:
        sheet = drawn([Tile(grey, "", emphasis)], tile_px=64)  # type: ignore[arg-type]
        return (64 - boxes(sheet, (200, 200, 200))[2]) // 2

    assert frame("none") == 0 < frame("right") < frame("wrong")


@pytest.mark.parametrize(
    "caption",
    [
        "x" * 100_000,
        "W" * 30,
        "a\x1b[31m\x00\x07",
        "\ud800\udcff",
        "a\u202eb\u2066",
        "кошка, γάτα, 猫 🐈",
        "<b>&amp;</b> **x** `y`",
        "\n\n",
        "",
    ],
)
def test_no_caption_leaves_its_column(caption: str) -> None:
    tile = Tile(np.full((32, 32, 3), (1, 200, 3), np.uint8), caption)
    sheet = drawn([plain((9, 9, 250)), tile, plain((250, 9, 9))], tile_px=160, columns=3)
    top, left, height, width = boxes(sheet, (1, 200, 3))
    below = sheet[top + height :]
    inked = np.nonzero(np.any(below < 128, axis=2))[1]
    own = inked[(inked >= left - 5) & (inked < left + width + 5)]
    assert np.all(own >= left - 1)
    assert np.all(own <= left + width)


def test_text_is_drawn_as_it_is() -> None:
    def ink(caption: str) -> int:
        return int(np.sum(drawn([Tile(plain((255, 255, 255)).pixels, caption)]) < 128))

    assert ink("") < ink("<b>cat</b>")
    assert ink("cat") < ink("<b>cat</b>")
    assert ink("cat") < ink("кошка кошка")


def test_what_can_be_no_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="tiles must hold at least one"):
        contact_sheet([], title="")
    with pytest.raises(ValueError, match="columns at least 1"):
        contact_sheet([plain((0, 0, 0))], title="", columns=0)
