"""The promise of every metadata store.

A store holds rows; SQLAlchemy Core statements in the sibling modules (``runs``, ``jobs``, ``assets``, …) ask
and change them, the same for every backend. A backend file says only how to connect, to commit and to
migrate.

Threads
    ``write`` and ``submit`` may be called from any thread; operations run one after another on the one
    writer. ``read`` gives each caller a snapshot of committed rows and never waits for the writer.
Atomicity
    One operation is one unit: if it raises, none of its changes is kept and the exception reaches its caller;
    other operations of the same group commit are not harmed.
Durability
    When ``write`` returns (or the future of ``submit`` resolves) the change survives kill -9 and power loss.
Crash
    An operation that had not been acknowledged is wholly there or wholly absent after a restart. Where a server
    is lost in the middle of a commit and cannot be asked, the operation fails with an UnavailableError that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Space:
    """What deleted rows left behind.

    Parameters
    ----------
    bytes : int
        About so much; on PostgreSQL an estimate.
    obstacle : str
        Why it cannot be given back now, and what to do; empty where it can.
    """

    bytes: int
    obstacle: str = ""


class MetadataReader(Protocol):
    """Where rows are read: what a process gets that must not write."""

    @property
    def place(self) -> str:
        """How messages and ``penstock status`` call it; never with a password."""
        ...

    def read(self) -> AbstractContextManager[Connection]:
        """Open a read-only snapshot; statements that write fail."""
        ...

    def interrupt(self, connection: Connection) -> None:
        """Let the statement that runs now on a snapshot's connection fail, if one does; called from another thread.

        Whoever calls it makes sure that the snapshot is still open.
        """
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class MetadataStore(MetadataReader, Protocol):
    """Where rows live."""

    @property
    def address(self) -> tuple[str, Path]:
        """URL and file by which ``open_reader`` finds it in another process; the URL may hold a password."""
        ...

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` on the writer, return its result once it is durable.

        The operation must be short and do no I/O but its statements; it must not call ``write`` itself.
        """
        ...

    def submit(self, operation: Callable[[Connection], T]) -> Future[T]:
        """Queue ``operation`` for the writer; the future resolves once it is durable."""
        ...

    def read_elsewhere(self) -> AbstractContextManager[None]:
        """Let the store know, while the block runs, that another process reads for us.

        Nothing depends on it; what disturbs readers, or waits for them, is put off until there is none.
        """
        ...

    def space(self) -> Space:
        """Return how much space deleted rows left behind."""
        ...

    def give_space_back(self) -> Iterator[int]:
        """Give it back in steps during which writes wait for milliseconds at most; yield the bytes freed so far."""
        ...

    def close(self) -> None:
        """Finish queued operations, then release everything."""
        ...
