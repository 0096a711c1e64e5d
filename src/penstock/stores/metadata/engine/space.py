"""Space that deleted rows left behind: how much there is, and giving it back in steps that nobody notices.

A file is made with ``auto_vacuum=INCREMENTAL``, so that its last pages can be moved into the holes a few at a time;
logging was measured to take the same processor time with it. A full ``VACUUM`` would keep every writer waiting for as
long as it takes to copy the file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, text

from penstock.stores.metadata.base import Space

STEP_PAGES = 128
_SLICE_S = 0.005
"""Other writes wait for a step, and for its commit."""
_INCREMENTAL = 2
_RIGID = (
    "This file was made before its space could be given back while a server runs. Stop the server once and run: "
    "sqlite3 metadata.db 'PRAGMA auto_vacuum=INCREMENTAL; VACUUM'"
)
_DEAD = text(
    "SELECT coalesce(sum(pg_table_size(relid) * n_dead_tup / greatest(n_live_tup + n_dead_tup, 1)), 0)"
    " FROM pg_stat_user_tables WHERE schemaname = current_schema()"
)
_TABLES = "SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables WHERE schemaname = current_schema()"
_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_stat_user_tables WHERE schemaname = current_schema()
"""


def file_space(connection: Connection) -> Space:
    """Return what a SQLite file has to give back."""
    size = _pragma(connection, "freelist_count") * _pragma(connection, "page_size")
    return Space(size, _RIGID if _pragma(connection, "auto_vacuum") != _INCREMENTAL else "")


def shrink_file(write: Callable[[Callable[[Connection], int]], int], space: Space) -> Iterator[int]:
    """Yield how many bytes of a SQLite file were given back so far; each step is a transaction of a few ms."""
    freed = 0
    while not space.obstacle and freed < space.bytes:
        step = write(_shrink)
        if not step:
            return
        freed += step
        yield freed


def _shrink(connection: Connection) -> int:
    before = _pragma(connection, "page_count")
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    # A page at a time: of more, each would be a row without columns, of which the driver asks for the first alone.
    end = time.monotonic() + _SLICE_S
    for _ in range(STEP_PAGES):
        driver.execute("PRAGMA incremental_vacuum(1)").close()
        if time.monotonic() >= end:
            break
    return (before - _pragma(connection, "page_count")) * _pragma(connection, "page_size")


def server_space(connection: Connection) -> Space:
    """Return about how much PostgreSQL's statistics say that dead rows hold."""
    return Space(int(connection.execute(_DEAD).scalar_one()))


def vacuum_server(session: Any) -> Iterator[int]:
    """Vacuum each table of a PostgreSQL session that commits by itself; yield how many bytes went back to the disk.

    A plain ``VACUUM`` locks out nobody. Mostly it makes space usable again within a table's files.
    """
    before = int(session.execute(_SIZE).fetchone()[0])
    for (name,) in session.execute(_TABLES).fetchall():
        session.execute(f"VACUUM {name}")
        yield max(0, before - int(session.execute(_SIZE).fetchone()[0]))


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
