"""Sessions with a PostgreSQL server: the URL, what every session sets, and the lock of the one writer.

Here are the only texts of SQL that are PostgreSQL's alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import select
import socket
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8Dumper

from penstock.entities.errors import RefusedError, UsageError
from penstock.stores.metadata.engine.postgres_failures import unreachable

Session = psycopg.Connection[tuple[object, ...]]

DEFAULT_SCHEMA = "penstock"
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_OLDEST = 140000
_LONGEST_NAME = 63
_CONNECT_TIMEOUT_S = 10
# A look-up is short: compiling it costs more than running it. A server notices a dead peer by these too.
_EVERY = """
SET jit TO off; SET statement_timeout TO 0; SET lock_timeout TO 0; SET idle_in_transaction_session_timeout TO 0;
SET tcp_keepalives_idle TO 30; SET tcp_keepalives_interval TO 10; SET tcp_keepalives_count TO 3;
SET client_connection_check_interval TO '5s'
"""
_WEAK = {"off", "local", "remote_write"}
_HOLDER = """
SELECT a.application_name, coalesce(host(a.client_addr), 'this machine')
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND ((l.classid::bigint << 32) | l.objid::bigint) = %s
"""


@dataclass(frozen=True, slots=True)
class Address:
    """A database of a server and the schema in it.

    Parameters
    ----------
    conninfo : str
        What libpq takes, the password included; never shown.
    schema : str
        The schema that holds our tables.
    place : str
        How messages call it, without a password.
    """

    conninfo: str = field(repr=False)
    schema: str
    place: str


def parse_address(url: str) -> Address:
    """Return what ``postgresql://user:password@host:port/database?schema=name`` means.

    The parameters of libpq (``sslmode``, ``connect_timeout``, several hosts, …) are taken as they are; what the
    URL leaves open comes from ``PGHOST``, ``PGPASSWORD``, ``~/.pgpass`` and their like.

    Raises
    ------
    UsageError
        If it is no such URL; the message does not show it, for it may hold a password.
    """
    hint = "Write it as postgresql://user@host:5432/database?schema=penstock; see docs/how-to/postgresql.md."
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        conninfo = urlunsplit(parts._replace(query=urlencode([pair for pair in pairs if pair[0] != "schema"])))
        known = conninfo_to_dict(conninfo)
    except (ValueError, psycopg.Error):
        # Their messages quote the URL.
        raise UsageError("[stores] metadata is no valid PostgreSQL URL", hint=hint) from None
    schema = dict(pairs).get("schema", DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise UsageError("the schema in [stores] metadata is no plain name", hint="Letters, digits and _, at most 63.")
    host, port, name = (str(known.get(key) or "") for key in ("host", "port", "dbname"))
    where = f"{host or 'localhost'}{':' + port if port else ''}"
    return Address(conninfo, schema, f"PostgreSQL at {where}, database {name or 'of the user'}, schema {schema}")


def connect(address: Address) -> Session:
    """Open a session in the schema, with the settings of every session.

    Raises
    ------
    UnavailableError
        If the server cannot be reached or refuses the user.
    RefusedError
        If it is older than 14, or the database is not in UTF-8.
    """
    try:
        session = psycopg.connect(
            address.conninfo,
            autocommit=True,
            client_encoding="utf-8",
            application_name=f"penstock {os.getpid()} on {socket.gethostname()}"[:_LONGEST_NAME],
            connect_timeout=int(conninfo_to_dict(address.conninfo).get("connect_timeout") or _CONNECT_TIMEOUT_S),
            prepare_threshold=2,
        )
    except psycopg.Error as error:
        raise unreachable(error, address.place) from error
    try:
        _check(session, address)
        # One type for whole numbers, whatever their size: else each combination of sizes is a statement to prepare.
        session.adapters.register_dumper(int, Int8Dumper)
        session.prepared_max = 400
        session.execute(_EVERY)
        session.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(address.schema)))
    except BaseException:
        session.close()
        raise
    return session


def become_writer(session: Session, address: Address, wait_s: float) -> None:
    """Take the lock that only one server can hold, make the schema, and let commits wait for the disk.

    The lock ends with the session, so a killed server's is free as soon as PostgreSQL sees its connection closed.

    Raises
    ------
    RefusedError
        If another server holds it after ``wait_s``; the message names it.
    """
    key = lock_key(address.schema)
    session.execute("SELECT set_config('lock_timeout', %s, false)", (f"{max(1, int(wait_s * 1000))}ms",))
    try:
        session.execute("SELECT pg_advisory_lock(%s)", (key,))
    except psycopg.errors.LockNotAvailable:
        holder = session.execute(_HOLDER, (key % 2**64 - (2**64 if key < 0 else 0),)).fetchone()
        who = f"{holder[0]} (from {holder[1]})" if holder else "another server"
        raise RefusedError(
            f"{address.place} is in use by {who}",
            hint="One Penstock server writes to it at a time; stop that one, or name another schema in the URL.",
        ) from None
    session.execute("SET lock_timeout TO 0")
    if session.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (address.schema,)).fetchone() is None:
        session.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(address.schema)))
    found = session.execute("SELECT current_setting('synchronous_commit')").fetchone()
    if found is not None and found[0] in _WEAK:
        session.execute("SET synchronous_commit TO on")
    session.autocommit = False


def begin_by_hand(session: Session, text: str) -> None:
    """Begin a transaction with a text of several statements, instead of a message that only begins it."""
    if not session.autocommit:
        session.rollback()
        session.autocommit = True  # commit and rollback go by whether a transaction is open
    session.execute(text.encode(), prepare=False)


def become_reader(session: Session) -> None:
    """Let each transaction be a snapshot that changes nothing."""
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    session.read_only = True
    session.autocommit = False


def is_gone(session: Session | None) -> bool:
    """Tell whether an idle session has ended; costs no message to the server.

    Nothing is due on an idle session, so what can be read there is its end, or news after which a new
    session is as good.
    """
    if session is None or session.closed:
        return True
    poll = select.poll()
    try:
        poll.register(session.fileno(), select.POLLIN)
    except psycopg.Error:
        return True
    return bool(poll.poll(0))


def lock_key(schema: str) -> int:
    """Return the key of the lock on a schema: one for all databases, since PostgreSQL's locks are a database's."""
    return int.from_bytes(hashlib.sha256(f"penstock {schema}".encode()).digest()[:8], "big", signed=True)


def is_sure(session: Session) -> bool:
    """Tell whether the server itself waits for its disk."""
    found = session.execute("SELECT current_setting('fsync')").fetchone()
    return found is not None and found[0] == "on"


def _check(session: Session, address: Address) -> None:
    if session.info.server_version < _OLDEST:
        raise RefusedError(
            f"{address.place} is PostgreSQL {session.info.server_version // 10000}", hint="Penstock needs 14 or newer."
        )
    encoding = session.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise RefusedError(
            f"{address.place} is in {encoding}, not in UTF-8",
            hint="CREATE DATABASE penstock ENCODING 'UTF8' TEMPLATE template0;",
        )
