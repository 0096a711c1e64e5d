"""Pages of rows as an Arrow stream or a Parquet file; run in the process beside the server alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from penstock.plugins import load_module

Row = list[Any]

_BATCH_ROWS = 20_000


def write(form: str, columns: Sequence[tuple[str, str]], pages: Iterator[list[Row]]) -> Iterator[bytes]:
    """Return the pieces of a file; a batch of rows is in memory at a time.

    Parameters
    ----------
    form : str
        ``arrow`` or ``parquet``.
    columns : sequence of (str, str)
        Name and kind: ``text``, ``time`` (ms UTC), ``integer`` or ``number``.

    Raises
    ------
    MissingPartError
        If pyarrow is not installed here.
    """
    arrow = load_module("pyarrow")
    kinds = {
        "text": arrow.string(),
        "time": arrow.timestamp("ms", tz="UTC"),
        "integer": arrow.int64(),
        "number": arrow.float64(),
    }
    schema = arrow.schema([(name, kinds[kind]) for name, kind in columns])
    return _write(arrow, form, schema, pages)


def _write(arrow: Any, form: str, schema: Any, pages: Iterator[list[Row]]) -> Iterator[bytes]:
    target = _Pieces()
    sink = arrow.PythonFile(target, mode="w")
    if form == "parquet":
        writer = load_module("pyarrow.parquet").ParquetWriter(sink, schema, compression="zstd")
    else:
        writer = arrow.ipc.new_stream(sink, schema)
    for rows in _batches(pages):
        lists = zip(*rows, strict=True)
        arrays = [arrow.array(list(values), kind) for values, kind in zip(lists, schema.types, strict=True)]
        writer.write_batch(arrow.record_batch(arrays, schema=schema))
        yield target.take()
    writer.close()
    sink.close()
    yield target.take()


def _batches(pages: Iterator[list[Row]]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for page in pages:
        batch += page
        if len(batch) >= _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


class _Pieces:
    """A file that only grows, whose beginning is taken away: Parquet's footer holds offsets."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._taken = 0
        self.closed = False

    def take(self) -> bytes:
        """Return what was written since the last time."""
        piece = bytes(self._buffer)
        self._taken += len(piece)
        self._buffer.clear()
        return piece

    def write(self, piece: Any) -> int:
        """Keep a copy of a buffer."""
        size = len(self._buffer)
        self._buffer += memoryview(piece).cast("B")
        return len(self._buffer) - size

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._taken + len(self._buffer)

    def flush(self) -> None:
        """Do nothing: everything is here."""

    def close(self) -> None:
        """Note the end."""
        self.closed = True

    def writable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False."""
        return False
