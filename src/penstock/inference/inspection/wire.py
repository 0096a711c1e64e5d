"""Protocol Buffers' wire format, as much as reading takes: fields of a message, nothing is copied, lengths are checked.

Specification: https://protobuf.dev/programming-guides/encoding. Groups, which nobody writes any more, are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from penstock.entities.errors import UsageError

Buffer = memoryview
Part = tuple[int, int]
"""Start and end of a length-delimited field in the buffer."""
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 5_000_000


class DamagedError(UsageError):
    """Bytes that are no such message."""

    code = "damaged_model"


class Reader:
    """Reads messages of one buffer; counts fields, so that a hostile file cannot keep it busy for ever."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self._left = MAX_FIELDS

    def fields(self, part: Part) -> Iterator[tuple[int, int, int, int]]:
        """Yield (field number, wire type, first, second): a number and 0, or the start and end of bytes.

        Raises
        ------
        DamagedError
            If a length leaves the message, or a tag has no meaning.
        """
        buffer = self.buffer
        position, end = part
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise DamagedError(f"it has more than {MAX_FIELDS} fields")
            tag = buffer[position]
            position += 1
            if tag > 127:
                tag, position = self._varint(position - 1, end)
            kind = tag & 7
            if kind == DELIMITED:
                if position < end and buffer[position] < 128:
                    length = buffer[position]
                    position += 1
                else:
                    length, position = self._varint(position, end)
                start, position = position, position + length
                if position > end:
                    raise DamagedError(f"a part of {length} bytes at byte {start} goes beyond its end")
                yield tag >> 3, kind, start, position
            elif kind == VARINT:
                value, position = self._varint(position, end)
                yield tag >> 3, kind, value, 0
            elif kind in (FIXED32, FIXED64):
                start, position = position, position + (4 if kind == FIXED32 else 8)
                if position > end:
                    raise DamagedError("it ends within a number")
                yield tag >> 3, kind, start, position
            else:
                raise DamagedError(f"byte {position - 1} begins no field")

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while position < end:
            byte = self.buffer[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, position
            shift += 7
            if shift > 63:
                break
        raise DamagedError(f"it ends within a number, or one is too long, at byte {position}")

    def text(self, start: int, end: int, limit: int = 4096) -> str:
        """Return a text field; what is no UTF-8 is replaced, what is very long is cut."""
        return bytes(self.buffer[start : min(end, start + limit)]).decode("utf-8", "replace")

    def numbers(self, kind: int, first: int, second: int, limit: int = 4096) -> list[int]:
        """Return a repeated integer field's values: one, or a packed run of them."""
        if kind == VARINT:
            return [signed(first)]
        values: list[int] = []
        position = first
        while position < second and len(values) < limit:
            value, position = self._varint(position, second)
            values.append(signed(value))
        return values

    def number(self, start: int, end: int) -> float:
        """Return a float or double field."""
        found: float = struct.unpack("<f" if end - start == 4 else "<d", self.buffer[start:end])[0]
        return found


def signed(value: int) -> int:
    """Return an int64 from a varint."""
    return value - (1 << 64) if value >> 63 else value
