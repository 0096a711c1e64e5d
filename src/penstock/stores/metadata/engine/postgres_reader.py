"""Reading a metadata store on a PostgreSQL server: sessions that are opened when needed and kept for the next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast
from weakref import WeakSet

import psycopg
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from penstock.entities.errors import UnavailableError
from penstock.stores.metadata.engine.postgres_failures import translate
from penstock.stores.metadata.engine.postgres_session import (
    Address,
    Session,
    become_reader,
    connect,
    is_gone,
    parse_address,
)

_IDLE_READERS = 8
_CANCEL_S = 2.0


def open_postgres_reader(url: str) -> PostgresReader:
    """Return a reader of the store at a URL; raises UsageError where it is none."""
    return PostgresReader(PostgresSessions(parse_address(url)))


class PostgresSessions:
    """Gives sessions to SQLAlchemy, one at a time.

    Parameters
    ----------
    address : Address
        Where the store is.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._opening = threading.Lock()
        self._opened: Session | None = None
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=self._hand_over,
            poolclass=NullPool,
            paramstyle="format",
            use_native_hstore=False,
        )

    def wrap(self, session: Session) -> Connection:
        """Return a connection on an open session."""
        with self._opening:
            self._opened = session
            return self._engine.connect()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what the driver raises into errors of ours."""
        try:
            yield
        except (DBAPIError, psycopg.Error, OverflowError, UnicodeEncodeError) as error:
            raise translate(error, self.address.place) from error

    def close(self) -> None:
        """Release what the engine holds; connections are closed by who opened them."""
        self._engine.dispose()

    def _hand_over(self) -> Session:
        session, self._opened = self._opened, None
        assert session is not None
        return session


class PostgresReader:
    """Reads a metadata store that some server has made; an ended session is replaced.

    Parameters
    ----------
    sessions : PostgresSessions
        Opens connections.
    """

    def __init__(self, sessions: PostgresSessions) -> None:
        self._sessions = sessions
        self._idle: deque[Connection] = deque()
        self._interrupted: WeakSet[Session] = WeakSet()
        self._is_closed = False

    @property
    def place(self) -> str:
        """Return server, database and schema, as messages call them."""
        return self._sessions.address.place

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only snapshot; statements that write fail."""
        if self._is_closed:
            raise UnavailableError("the metadata store is closed")
        with self._sessions.translated():
            connection = self._take()
            try:
                with connection.begin():
                    yield connection
            finally:
                self._give_back(connection)

    def interrupt(self, connection: Connection) -> None:
        """Let the statement that runs on a snapshot's connection fail; its session is not used again.

        The server hears of it on a connection of its own, perhaps only when the statement is over.
        """
        session = session_of(connection)
        if session is not None:
            self._interrupted.add(session)
            with suppress(psycopg.Error):
                session.cancel_safe(timeout=_CANCEL_S)

    def close(self) -> None:
        """Close the sessions; those in use are closed when they are given back."""
        self._is_closed = True
        self._trim(0)
        self._sessions.close()

    def _take(self) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._open()
            if not is_gone(session_of(connection)):
                return connection
            discard(connection)

    def _open(self) -> Connection:
        session = connect(self._sessions.address)
        become_reader(session)
        return self._sessions.wrap(session)

    def _give_back(self, connection: Connection) -> None:
        session = session_of(connection)
        if session is None or session.closed or session in self._interrupted:
            discard(connection)
            return
        self._idle.append(connection)
        self._trim(0 if self._is_closed else _IDLE_READERS)

    def _trim(self, keep: int) -> None:
        while len(self._idle) > keep:
            try:
                connection = self._idle.popleft()
            except IndexError:
                return
            discard(connection)


def session_of(connection: Connection) -> Session | None:
    """Return the driver's own connection; None where SQLAlchemy saw it break and let it go."""
    if connection.closed or connection.invalidated:
        return None
    session: Any = connection.connection.driver_connection
    return cast("Session | None", session)


def discard(connection: Connection) -> None:
    """Close a connection, broken or not."""
    with suppress(DBAPIError, psycopg.Error):
        connection.invalidate()
    with suppress(DBAPIError, psycopg.Error):
        connection.close()
