"""Write PNG files (ISO/IEC 15948) from raw 8-bit pixels; decoding and everything else is left to real libraries."""

from __future__ import annotations

import struct
import zlib

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_png(width: int, height: int, channels: int, pixels: bytes) -> bytes:
    """Return a PNG file.

    Parameters
    ----------
    width, height : int
        In pixels, each at least 1.
    channels : int
        1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
    pixels : bytes
        ``height * width * channels`` samples, row by row.
    """
    stride = width * channels
    if channels not in COLOUR_TYPES or width < 1 or height < 1 or len(pixels) != stride * height:
        raise ValueError(
            "%d bytes are no image of %d x %d pixels, %d channels" % (len(pixels), width, height, channels)
        )
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, len(pixels), stride))
    head = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 6)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
