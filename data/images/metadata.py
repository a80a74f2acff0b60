"""What an image file says beside its pixels: which way is up, and in whose colours they are."""

import functools
import io
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

Pixels = npt.NDArray[np.uint8]

UPRIGHT = 1
_ORIENTATION, _SHORT = 0x0112, 3  # a tag, of EXIF and of TIFF, and its type
_EXIF, _PROFILE = b"Exif\0\0", b"ICC_PROFILE\0"
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, struct.error)
# In 1/255. The curve of "2.2" stays within 6 of sRGB's, where a display's own colours differ by 20.
_MOST_LIKE_SRGB = 8


def metadata(encoded: bytes, image: Image.Image | None = None) -> tuple[int, str]:
    """Returns how a photo lies, 1 to 8 as EXIF numbers it, and the name of its colour profile.

    1 where nothing says it, and no name where there is no profile, or one of sRGB. Damaged metadata
    counts as none, as viewers have it. Nothing is decoded for it.

    Args:
        encoded: The file.
        image: The photo as Pillow has opened it; None for a JPEG that it need not open.

    CIPA DC-008 (Exif 2.32, 2019), tag 0x0112; ICC.1:2010, annex B.
    """
    if image is None or image.format in ("JPEG", "MPO"):
        segments = list(_segments(encoded)) if _EXIF in encoded or _PROFILE in encoded else []
        exif = b"".join(one for one in segments if one.startswith(_EXIF))
        # In parts, each behind its number and their count, in this order.
        profile = b"".join(one[14:] for one in segments if one.startswith(_PROFILE))
    else:
        profile = image.info.get("icc_profile") or b""
        exif = _png_exif(encoded) if image.format == "PNG" else image.info.get("exif", b"")
    in_tiff = image.tag_v2.get(_ORIENTATION) if isinstance(image, TiffImageFile) else None
    lies = in_tiff if isinstance(in_tiff, int) else _orientation(exif.removeprefix(_EXIF))
    return lies if 1 <= lies <= 8 else UPRIGHT, _name_unless_srgb(profile) if profile else ""


def _segments(jpeg: bytes) -> Iterator[bytes]:
    """Yields what the segments of a JPEG hold, as far as they stand before its pixels."""
    start = 2  # behind the marker of the beginning
    while jpeg[start : start + 1] == b"\xff" and jpeg[start + 1 : start + 2] != b"\xda":
        if jpeg[start + 1 : start + 2] == b"\xff":  # any number of these may precede a marker
            start += 1
            continue
        length = int.from_bytes(jpeg[start + 2 : start + 4])
        yield jpeg[start + 4 : start + 2 + length]
        start += 2 + length


def _png_exif(encoded: bytes) -> bytes:
    """Returns the chunk `eXIf`, which may stand behind the pixels."""
    start = 8  # behind the signature
    while start + 8 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, start)
        if kind == b"eXIf":
            return encoded[start + 8 : start + 8 + length]
        start += length + 12  # length, kind and checksum have 4 bytes each
    return b""


def _orientation(tiff: bytes) -> int:
    """Returns what EXIF, which is a TIFF without a picture, has in its first directory."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values, first = struct.unpack_from(f"{order}HHIH", tiff, place)
            if (tag, kind, values) == (_ORIENTATION, _SHORT, 1):
                return int(first)
    except struct.error:  # cut short
        pass
    return UPRIGHT


def upright(photo: Pixels, orientation: int) -> Pixels:
    """Returns a view of [height, width, 3] as a viewer shows a photo with this orientation.

    From 5 on rows and columns change places; a rotation is a reflection in the diagonal and one in
    an axis.

    >>> lying = np.array([[1, 2], [3, 4]], np.uint8)[..., None]
    >>> upright(lying, 6)[..., 0].tolist()  # a quarter turn clockwise
    [[3, 1], [4, 2]]
    """
    if orientation >= 5:
        photo = photo.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        photo = photo[::-1]
    if orientation in (2, 3, 6, 7):
        photo = photo[:, ::-1]
    return photo


@functools.lru_cache(maxsize=1000)
def _name_unless_srgb(profile: bytes) -> str:
    """Judges by what the profile does to colours: names of sRGB are many, and some say nothing."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = " ".join(ImageCms.getProfileDescription(opened).split()) or "without a name"
        space = opened.profile.xcolor_space.strip()
        if space not in ("RGB", "GRAY"):
            return name
        levels = np.linspace(0, 255, 6).astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(6, 36, 3)
        colours = Image.fromarray(cube if space == "RGB" else cube[..., 0])
        seen = ImageCms.profileToProfile(
            colours, opened, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        if seen is None:
            return name
        shift = np.abs(np.asarray(seen, int) - np.asarray(colours.convert("RGB"), int)).max()
    except (ImageCms.PyCMSError, *_DAMAGE):
        return ""  # viewers ignore what is no profile
    return name if shift > _MOST_LIKE_SRGB else ""
