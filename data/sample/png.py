"""PNG files whose bytes depend on nothing but the pixels."""

import struct
import zlib

import numpy as np
import numpy.typing as npt


def encode(picture: npt.NDArray[np.uint8]) -> bytes:
    """The picture as an uncompressed PNG (W3C, Portable Network Graphics, third edition, 2025).

    Args:
        picture: uint8 [height, width, 3], RGB, height x (3 width + 1) at most 65,535.

    Raises:
        ValueError: The picture is larger.

    Example:
        >>> encode(np.zeros((1, 1, 3), np.uint8))[:8]
        b'\\x89PNG\\r\\n\\x1a\\n'
    """
    height, width, _ = picture.shape
    # Each row is preceded by its filter, 0 (none).
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    if len(rows) > 0xFFFF:
        raise ValueError(
            "picture must hold at most 65,535 bytes, a filter byte per row included. "
            f"Received: {len(rows):,} bytes, shape={picture.shape}"
        )
    # One stored block of the DEFLATE format (RFC 1951, section 3.2.4) in a zlib stream (RFC 1950).
    stored = struct.pack("<BHH", 1, len(rows), len(rows) ^ 0xFFFF) + rows
    stream = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    # 8 bits a channel, RGB, the only compression and filter methods there are, not interlaced.
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
