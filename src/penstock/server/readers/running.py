"""Questions that run in threads of this process, each on a snapshot, and how one is ended before its time."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection

from penstock.server.readers.answers import collect
from penstock.server.readers.question import Question
from penstock.stores.metadata.base import MetadataReader


class DroppedError(Exception):
    """Nobody waits for the answer any more."""


class Running:
    """Runs questions; used by several threads.

    Parameters
    ----------
    store : MetadataReader
        What is asked.
    folder : Path, optional
        Where long answers are.
    """

    def __init__(self, store: MetadataReader, folder: Path | None) -> None:
        self._store = store
        self._folder = folder
        self._lock = threading.Lock()
        self._connections: dict[Hashable, Connection] = {}
        self._dropped: set[Hashable] = set()

    @property
    def is_dropping(self) -> bool:
        """Return whether a question that was taken back still runs."""
        return bool(self._dropped)

    def run(self, key: Hashable, question: Question[Any], argument: Any) -> bytes | IO[bytes]:
        """Return the answer to a question that may be taken back under a key; raises what the question raises."""
        with self._store.read() as connection:
            with self._lock:
                self._connections[key] = connection
            try:
                answer = question.run(connection, argument)
                return collect(answer if isinstance(answer, bytes) else self._unless_dropped(key, answer), self._folder)
            finally:
                with self._lock:  # from here on the connection is somebody else's
                    del self._connections[key]
                    self._dropped.discard(key)

    def drop(self, key: Hashable) -> None:
        """End a question if it runs; to be followed by :meth:`interrupt` while it still does."""
        with self._lock:
            if key in self._connections:
                self._dropped.add(key)
        self.interrupt()

    def interrupt(self) -> None:
        """Interrupt what was dropped; once is not enough, for it may be between two statements."""
        with self._lock:
            for key in self._dropped:
                self._store.interrupt(self._connections[key])

    def _unless_dropped(self, key: Hashable, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if key in self._dropped:
                raise DroppedError
            yield piece
