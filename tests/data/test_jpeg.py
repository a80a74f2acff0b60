import io
from collections.abc import Callable

import numpy as np
import pytest
import simplejpeg
import tensorflow as tf
from optrun.data.images.decode import UndecodableError, decode, examine, photo
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
    header = examine(jpeg(picture(1, 90, 60).convert(mode), **options))

    assert (header.width, header.height) == (90, 60)
    assert header.decoder == ("TensorFlow" if mode == "CMYK" else "libjpeg-turbo")
    assert header.decoding_bytes == 90 * 60 * (9 if "progressive" in options else 3)


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


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_pixels_are_those_of_tensorflows_fast_integer_transform(
    picture: Picture, options: dict[str, object], mode: str
) -> None:
    content = jpeg(picture(4, 91, 67).convert(mode), **options)
    expected = tf.raw_ops.DecodeJpeg(contents=content, channels=3, dct_method="INTEGER_FAST")

    assert np.array_equal(photo(content, examine(content)), expected)


def test_bytes_between_the_segments_are_harmless(picture: Picture) -> None:
    content = jpeg(picture(5, 90, 60))
    odd = content[:-2] + bytes(99) + content[-2:]
    with pytest.raises(ValueError, match="extraneous bytes"):
        simplejpeg.decode_jpeg(odd)

    assert np.array_equal(decode(odd, SIZE), decode(content, SIZE))
