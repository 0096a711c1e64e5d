"""The metadata store on a PostgreSQL server, for when one machine's disk is outgrown or backups are central.

Differs from the promise in two points. The server can go away: what was in flight then fails with
UnavailableError, which says that nothing was kept, or, where the connection broke while committing and the server
did not come back within seconds, that it is not known; afterwards everything works again by itself. And a text
that holds the character NUL is refused with UsageError, because PostgreSQL keeps none.

A session-level advisory lock, held by the writer's session, keeps a second server out; so connections must not
go through a pooler that shares sessions between transactions.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

import psycopg
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import DBAPIError

from penstock.clock import now_ms
from penstock.entities.errors import PenstockError
from penstock.stores.metadata.base import Space
from penstock.stores.metadata.engine.postgres_failures import translate
from penstock.stores.metadata.engine.postgres_reader import PostgresReader, PostgresSessions, discard, session_of
from penstock.stores.metadata.engine.postgres_session import (
    Address,
    become_writer,
    begin_by_hand,
    connect,
    is_gone,
    is_sure,
    parse_address,
)
from penstock.stores.metadata.engine.schema import prepare_schema
from penstock.stores.metadata.engine.space import server_space, vacuum_server
from penstock.stores.metadata.engine.statements import HotStatement
from penstock.stores.metadata.engine.writer import Link, Writer
from penstock.stores.metadata.tables import counters

T = TypeVar("T")

logger = logging.getLogger(__name__)

_LOCK_WAIT_S = 10.0
_SETTLE_S = 10.0
_BETWEEN_TRIES_S = 0.1
_COMMIT = "commit"
_MARKS = 64


# In one message; a statement with something bound would be a second.
_BEGIN = (
    "BEGIN; INSERT INTO counters (name, value) VALUES ('commit', %d)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_FIND_MARK = HotStatement(lambda _: select(counters.c.value).where(counters.c.name == bindparam("found")), "found")


class PostgresMetadataStore:
    """A metadata store in one schema of a PostgreSQL database, made or brought up to date when it is opened.

    Parameters
    ----------
    url : str
        ``postgresql://user:password@host:port/database?schema=penstock``.
    clock : callable
        Returns ms UTC; used only for rows that opening a new database makes.
    lock_wait_s : float
        How long to wait for another server to let go of it.
    settle_s : float
        How long to try to learn what became of a commit that was cut off; writers wait for it.

    Raises
    ------
    UsageError
        If the URL is none.
    RefusedError
        If another server uses it, it is of a newer program, or holds other tables.
    UnavailableError
        If the server cannot be reached.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], int] = now_ms,
        lock_wait_s: float = _LOCK_WAIT_S,
        settle_s: float = _SETTLE_S,
    ) -> None:
        self._url = url
        self._address = parse_address(url)
        self._lock_wait_s = lock_wait_s
        self._sessions = PostgresSessions(self._address)
        self._reader = PostgresReader(self._sessions)
        with self._sessions.translated():
            writer = self._open_writer()
            try:
                with writer.begin():
                    prepare_schema(writer, self._address.place, now=clock())
            except BaseException:
                writer.close()
                raise
        self._writer = Writer(writer, _ServerLink(self._address, self._open_writer, settle_s))

    @property
    def address(self) -> tuple[str, Path]:
        """Return the URL, and no file."""
        return self._url, Path()

    @property
    def place(self) -> str:
        """Return server, database and schema, as messages call them."""
        return self._address.place

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` on the writer, return its result once it is durable."""
        return self._writer.write(operation)

    def submit(self, operation: Callable[[Connection], T]) -> Future[T]:
        """Queue ``operation`` for the writer; the future resolves once it is durable."""
        return self._writer.submit(operation)

    def read(self) -> AbstractContextManager[Connection]:
        """Open a read-only snapshot; statements that write fail."""
        return self._reader.read()

    def interrupt(self, connection: Connection) -> None:
        """Let the statement that runs on a snapshot's connection fail."""
        self._reader.interrupt(connection)

    def read_elsewhere(self) -> AbstractContextManager[None]:
        """Do nothing: the server knows its readers."""
        return nullcontext()

    def space(self) -> Space:
        """Return about how much the statistics say that dead rows hold."""
        with self.read() as connection:
            return server_space(connection)

    def give_space_back(self) -> Iterator[int]:
        """Vacuum table by table, in a session of its own; what went back to the disk is counted, not what is reused."""
        with self._sessions.translated(), connect(self._address) as session:
            yield from vacuum_server(session)

    def close(self) -> None:
        """Finish queued operations, then release everything; idempotent."""
        self._writer.close()
        self._reader.close()

    def _open_writer(self) -> Connection:
        session = connect(self._address)
        try:
            become_writer(session, self._address, self._lock_wait_s)
            if not is_sure(session):
                logger.warning("%s runs with fsync=off: a power cut may lose what it acknowledged", self._address.place)
            session.rollback()
        except BaseException:
            session.close()
            raise
        return self._sessions.wrap(session)


class _ServerLink(Link):
    """The writer's link to a server that can go away and come back.

    Each group commit leaves a random number in a row of its own; a new session that holds the lock, so that the
    old one has surely ended, sees by it whether the last commit came through.
    """

    next_savepoint = ("RELEASE operation; SAVEPOINT operation",)

    def __init__(self, address: Address, open_writer: Callable[[], Connection], settle_s: float) -> None:
        super().__init__(lambda error: translate(error, address.place))
        self._open_writer = open_writer
        self._settle_s = settle_s
        self._mark = 0
        self._renewed: Connection | None = None
        # The last few that were left, and the one that was there at first; one of them is the last commit's.
        self._marks: deque[int | None] = deque(maxlen=_MARKS)

    def is_broken(self, connection: Connection) -> bool:
        return is_gone(session_of(connection))

    def renew(self, connection: Connection) -> Connection:
        if self._renewed is None or is_gone(session_of(self._renewed)):
            self._renewed = self._open_writer()
            logger.info("connected to the metadata store again")
        renewed, self._renewed = self._renewed, None
        discard(connection)
        return renewed

    def begin(self, connection: Connection) -> None:
        if not self._marks:
            self._marks.append(_found_mark(connection))
        session = session_of(connection)
        if session is not None:
            self._mark = secrets.randbits(62)
            begin_by_hand(session, _BEGIN % self._mark)

    def mark(self) -> int:
        self._marks.append(self._mark)
        return self._mark

    def was_committed(self, mark: int | None) -> bool | None:
        logger.warning("the metadata store went away while committing; asking it what was kept")
        deadline = time.monotonic() + self._settle_s
        while time.monotonic() < deadline:
            try:
                self._renewed = self._open_writer()
                with self._renewed.begin():
                    found = _found_mark(self._renewed)
                # A mark that is not ours: another server was here in between.
                return found == mark if found in self._marks else None
            except (PenstockError, DBAPIError, psycopg.Error):
                logger.debug("the metadata store does not answer yet", exc_info=True)
                time.sleep(_BETWEEN_TRIES_S)
        return None

    def close(self) -> None:
        if self._renewed is not None:
            discard(self._renewed)


def _found_mark(connection: Connection) -> int | None:
    row = _FIND_MARK.first(connection, (_COMMIT,))
    return None if row is None else int(row[0])
