import io
from collections.abc import Callable

import numpy as np
import pytest
from optrun.data.images.decode import UndecodableError, decode, examine
from optrun.data.images.jpeg import frame_of
from optrun.data.images.squashing import TOGETHER, squashed_together
from PIL import Image

SIZE = 32
Picture = Callable[..., Image.Image]


def jpeg(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"optimize": True}, {"comment": b"\xff\xc0" * 99}]
)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_the_header_says_what_pillow_says(
    picture: Picture, options: dict[str, object], mode: str
) -> None:
    content = jpeg(picture(1, 90, 60).convert(mode), **options)
    frame = frame_of(content)

    assert frame is not None
    assert (frame.width, frame.height, frame.is_ordinary) == (90, 60, True)
    assert frame.is_progressive == ("progressive" in options)
    assert all(frame_of(content[:length]) is None for length in range(20))


def test_a_header_of_50_000_x_50_000_px_is_refused_without_decoding(picture: Picture) -> None:
    content = bytearray(jpeg(picture(1, 90, 60)))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = (50_000).to_bytes(2) * 2

    with pytest.raises(UndecodableError, match="more than 80 million pixels"):
        examine(bytes(content))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("ending", [b"", b"\xff\xd9"])
def test_a_truncated_photo_is_left_out_whether_or_not_it_has_an_end_marker(
    picture: Picture, mode: str, ending: bytes
) -> None:
    content = jpeg(picture(2, 90, 60).convert(mode))

    for share in (0.3, 0.5, 0.8):
        cut = content[: round(len(content) * share)] + ending
        with pytest.raises(UndecodableError, match="truncated or damaged"):
            decode(cut, SIZE)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_photo_that_ends_in_grey_is_none_that_is_cut_short(
    picture: Picture, options: dict[str, object]
) -> None:
    image = picture(3, 90, 60)
    image.paste((128, 128, 128), (40, 0, 90, 60))

    assert decode(jpeg(image, **options), SIZE)[-1, -1].tolist() == [128, 128, 128]
    assert decode(jpeg(image, **options) + b"more behind the end", SIZE) is not None


def test_together_photos_become_what_they_become_alone(picture: Picture) -> None:
    modes = ("RGB", "L", "CMYK", "RGB")
    contents = [
        jpeg(picture(i, 40 + 10 * i, 90 - 5 * i).convert(modes[i % 4]), progressive=i % 2 == 0)
        for i in range(TOGETHER)
    ]
    contents[5] = jpeg(picture(9, 320, 320).resize((SIZE, SIZE)))
    resized = squashed_together(contents, SIZE)

    for content, one in zip(contents, resized, strict=True):
        assert one is not None
        assert np.array_equal(np.rint(one.numpy()[0]), decode(content, SIZE))
    assert squashed_together([*contents[1:], contents[0][:-50]], SIZE) == [None] * TOGETHER
