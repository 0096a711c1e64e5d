"""Make an Arrow stream or a Parquet file of JSON pages: standard input to standard output, in a process of its own.

The first line is the schema, ``[[name, kind], …]``; each further line is a page, a list of rows. One page is in memory
at a time; nothing of the server is loaded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import IO, Any

from penstock.plugins import load_module

_BATCH_ROWS = 20_000


class _Counted:
    """A pipe that knows how much went through it: Parquet's footer holds offsets, and a pipe has no position."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._written = 0
        self.closed = False

    def write(self, piece: Any) -> int:
        """Write all of a buffer."""
        self._pipe.write(piece)
        size = len(memoryview(piece).cast("B"))
        self._written += size
        return size

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._written

    def flush(self) -> None:
        """Pass on what is buffered."""
        self._pipe.flush()

    def close(self) -> None:
        """Flush; the pipe is closed with the process."""
        self._pipe.flush()
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


def main(form: str, source: IO[bytes], target: IO[bytes]) -> None:
    """Read pages from ``source`` until its end and write the file to ``target``."""
    arrow = load_module("pyarrow")
    kinds = {
        "text": arrow.string(),
        "time": arrow.timestamp("ms", tz="UTC"),
        "integer": arrow.int64(),
        "number": arrow.float64(),
    }
    columns = json.loads(source.readline())
    schema = arrow.schema([(name, kinds[kind]) for name, kind in columns])
    numbers = [index for index, (_, kind) in enumerate(columns) if kind == "number"]
    sink = arrow.PythonFile(_Counted(target), mode="w")
    if form == "parquet":
        writer = load_module("pyarrow.parquet").ParquetWriter(sink, schema, compression="zstd")
    else:
        writer = arrow.ipc.new_stream(sink, schema)
    with writer:
        for rows in _batches(source, numbers):
            lists = zip(*rows, strict=True)
            arrays = [arrow.array(list(values), kind) for values, kind in zip(lists, schema.types, strict=True)]
            writer.write_batch(arrow.record_batch(arrays, schema=schema))
    sink.close()


def _batches(source: IO[bytes], numbers: list[int]) -> Iterator[list[list[Any]]]:
    batch: list[list[Any]] = []
    for line in source:
        for row in json.loads(line):
            for index in numbers:
                if isinstance(row[index], str):  # NaN and infinity, which JSON has no numbers for
                    row[index] = float(row[index])
            batch.append(row)
        if len(batch) >= _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
