"""What a file says beside its pixels is seen as a viewer sees it: which way is up, and colours."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optrun.data.cache.prepare import prepare
from optrun.data.images import decode
from PIL import Image, ImageCms, ImageOps

ORIENTATION = 0x0112
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("RGB", {}),
    "progressive JPEG": ("RGB", {"progressive": True}),
    "grey JPEG": ("L", {}),
    "CMYK JPEG": ("CMYK", {}),
    "PNG": ("RGB", {}),
    "transparent PNG": ("RGBA", {}),
    "WEBP": ("RGB", {"lossless": True}),
    "TIFF": ("RGB", {}),
    "compressed TIFF": ("RGB", {"compression": "tiff_lzw"}),
}


def exif(orientation: object) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()


def saved(image: Image.Image, kind: str, **more: Any) -> bytes:
    mode, options = FORMATS[kind]
    file = io.BytesIO()
    image.convert(mode).save(file, kind.split()[-1], **options, **more)
    return file.getvalue()


def decoded(encoded: bytes) -> np.ndarray:
    return np.array(decode.photo(encoded, decode.examine(encoded)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_is_turned_as_a_viewer_turns_it(
    kind: str, orientation: int, picture: Callable[..., Image.Image]
) -> None:
    lying = picture(orientation, 40, 30)
    plain = decoded(saved(lying, kind))
    said = Image.fromarray(plain)
    said.getexif()[ORIENTATION] = orientation
    encoded = saved(lying, kind, exif=exif(orientation))
    assert np.array_equal(decoded(encoded), np.asarray(ImageOps.exif_transpose(said)))
    assert decode.examine(encoded).is_turned == (orientation != 1)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_lying_photo_becomes_the_square_of_the_upright_one(
    resize: Any, picture: Callable[..., Image.Image]
) -> None:
    upright = picture(1, 41, 30)
    lying = saved(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif(6))
    squares = [decode.decode(one, 16, resize) for one in (lying, saved(upright, "PNG"))]
    assert np.array_equal(*squares)


def test_png_may_say_it_behind_the_pixels(picture: Callable[..., Image.Image]) -> None:
    plain = saved(picture(1), "PNG")
    content = b"eXIf" + exif(3).removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    end = plain.rindex(b"IEND") - 4
    turned = decoded(plain[:end] + chunk + plain[end:])
    assert np.array_equal(turned, decoded(plain)[::-1, ::-1])


@pytest.mark.parametrize(
    "metadata",
    [
        exif(0),
        exif(9),
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0garbage",
    ],
    ids=["0", "9", "empty", "beyond its end", "garbage"],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_is_no_orientation_turns_nothing(
    kind: str, metadata: bytes, picture: Callable[..., Image.Image]
) -> None:
    encoded = saved(picture(1), kind, exif=metadata)
    assert not decode.examine(encoded).is_turned
    assert np.array_equal(decoded(encoded), decoded(saved(picture(1), kind)))


def profile(red: tuple[float, ...], green: tuple[float, ...], blue: tuple[float, ...]) -> bytes:
    """A display's profile (ICC.1:2001-04): its primaries, adapted to D50, and a gamma of 2.2."""

    def fixed(values: tuple[float, ...]) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    name = b"A display\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(2.2 * 256), 0)
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + fixed((0.9642, 1.0, 0.8249)),
        **{
            tag: b"XYZ \0\0\0\0" + fixed(values)
            for tag, values in ((b"rXYZ", red), (b"gXYZ", green), (b"bXYZ", blue))
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    header = struct.pack(
        ">I4sI4s4s4s12s4s28s3i48s",
        *(128 + len(table) + len(body), b"", 0x02100000, b"mntr", b"RGB ", b"XYZ ", bytes(12)),
        *(b"acsp", bytes(28), 63190, 65536, 54061, bytes(48)),
    )
    return header + table + body


P3 = profile((0.5151, 0.2412, -0.0011), (0.292, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
LIKE_SRGB = profile((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("colours", "name"),
    [(P3, "A display"), (LIKE_SRGB, ""), (SRGB, ""), (b"no profile", ""), (P3[:200], "")],
    ids=["P3", "sRGB in other words", "sRGB", "garbage", "cut short"],
)
def test_a_profile_of_other_colours_is_named_and_changes_no_pixel(
    kind: str, colours: bytes, name: str, picture: Callable[..., Image.Image]
) -> None:
    encoded = saved(picture(1), kind, icc_profile=colours)
    assert decode.examine(encoded).profile == name
    assert np.array_equal(decoded(encoded), decoded(saved(picture(1), kind)))


def test_prepared_photos_know_which_were_turned_and_whose_colours_are_others(
    tmp_path: Path,
    picture: Callable[..., Image.Image],
    kaggle: Callable[[int], dict[str, bytes]],
    write_folder: Callable[[Path, dict[str, bytes]], Path],
) -> None:
    files = kaggle(40)
    names = sorted(files)
    for number, name in enumerate(names[3:20], start=100):
        files[name] = saved(picture(number), "JPEG", exif=exif(6))
    files[names[0]] = saved(picture(200), "JPEG", icc_profile=P3)
    folder = write_folder(tmp_path / "photos", files)

    photos = prepare(str(folder), image_size=16, cache=tmp_path / "cache")
    assert photos.turned == tuple(Path(one).name for one in names[3:20])
    assert photos.profiles == ((Path(names[0]).name, "A display"),)
    again = prepare(str(folder), image_size=16, cache=tmp_path / "cache")
    assert (again.turned, again.profiles) == (photos.turned, photos.profiles)
