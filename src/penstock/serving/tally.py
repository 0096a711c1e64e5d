"""Counts of what became of requests, in a mapped file: they survive a kill of the gateway to the last request.

A count costs a few additions and no system call; the kernel writes the page. What the machine itself loses when its
power fails is lost.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

from penstock.rules.rollout import BUCKETS, Counts, bucket_of

_HEAD = 4
_IDENTITY, _BLOCK, _DROPPED = 0, 1, 2
_CELL_BYTES = 8


class Tally:
    """Requests, failures and latencies of one side; on the event loop only.

    Parameters
    ----------
    path : Path
        The file; without space for it, the counts live in memory alone.
    identity : str
        What is counted; counts of anything else that the file holds are dropped.
    blocks : int
        With several, only about the last ``(blocks - 1) * block_size`` requests are kept: the oldest block is emptied
        when the newest is full.
    block_size : int
        Requests per block, where there are several.
    """

    def __init__(self, path: Path, identity: str, *, blocks: int = 1, block_size: int = 500) -> None:
        self._width = 2 + BUCKETS
        self._blocks = blocks
        self._block_size = block_size
        self._map = _open(path, (_HEAD + blocks * self._width) * _CELL_BYTES)
        self._cells = memoryview(self._map).cast("q")
        mark = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:7], "big")
        cells = self._cells
        if cells[_IDENTITY] != mark or not 0 <= cells[_BLOCK] < blocks:
            cells[_IDENTITY] = 0
            for index in range(1, len(cells)):
                cells[index] = 0
            cells[_IDENTITY] = mark
        self._start = _HEAD + cells[_BLOCK] * self._width

    @property
    def dropped(self) -> int:
        """Return how many were not even tried."""
        return self._cells[_DROPPED]

    def drop(self) -> None:
        """Count one that was not tried."""
        self._cells[_DROPPED] += 1

    def note(self, seconds: float, *, is_failure: bool) -> None:
        """Count one request."""
        cells, start = self._cells, self._start
        if is_failure:
            cells[start + 1] += 1
        else:
            cells[start + 2 + bucket_of(seconds)] += 1
        self.count()

    def count(self) -> None:
        """Count one request that did not fail, without its latency."""
        cells, start = self._cells, self._start
        cells[start] += 1
        if self._blocks > 1 and cells[start] >= self._block_size:
            self._turn()

    @property
    def requests(self) -> int:
        """Return how many requests are counted."""
        return sum(self._cells[_HEAD :: self._width])

    def counts(self) -> Counts:
        """Return all counts."""
        cells, width = self._cells, self._width
        latencies = [sum(cells[_HEAD + 2 + bucket :: width]) for bucket in range(BUCKETS)]
        return Counts(sum(cells[_HEAD::width]), sum(cells[_HEAD + 1 :: width]), latencies)

    def close(self) -> None:
        """Let go of the file; the counts stay in it."""
        self._cells.release()
        self._map.close()

    def _turn(self) -> None:
        block = (self._cells[_BLOCK] + 1) % self._blocks
        start = _HEAD + block * self._width
        for index in range(start, start + self._width):
            self._cells[index] = 0
        self._cells[_BLOCK] = block
        self._start = start


def _open(path: Path, size: int) -> mmap.mmap:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size != size:
                os.ftruncate(descriptor, 0)
            os.posix_fallocate(descriptor, 0, size)  # a hole without space behind it would end the process
            return mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
    except OSError:
        return mmap.mmap(-1, size)
