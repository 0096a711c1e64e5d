"""Bodies that a client sent compressed, with a limit to what they may become."""

from __future__ import annotations

import zlib

from penstock.inference.contract import BadInputError

MAX_UNPACKED_BYTES = 32 * 2**20
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class UnknownEncodingError(Exception):
    """A ``Content-Encoding`` that is not taken: 415, whose text is the message."""


def unpack(body: bytes, encoding: str) -> bytes:
    """Return a body as it was before it was compressed.

    Raises
    ------
    UnknownEncodingError
        For an encoding other than gzip, deflate and identity.
    BadInputError
        If the body is damaged, or becomes larger than ``MAX_UNPACKED_BYTES``.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _WINDOWS:
        raise UnknownEncodingError(f"the content encoding {encoding[:40]!r} is not taken; gzip and deflate are")
    reader = zlib.decompressobj(_WINDOWS[name])
    try:
        unpacked = reader.decompress(body, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise BadInputError(f"the body is no {name}: {error}") from error
    if reader.unconsumed_tail:
        raise BadInputError(f"the body becomes larger than {MAX_UNPACKED_BYTES} bytes")
    if not reader.eof or reader.unused_data:
        raise BadInputError(f"the body is no whole {name}")
    return unpacked
