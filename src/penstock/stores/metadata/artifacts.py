"""The index of a run's artifacts: path → content digest, size and mode; the bytes are in the blob store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from penstock.entities.asset import TreeEntry
from penstock.entities.errors import NotFoundError
from penstock.rules.artifact_paths import check_path
from penstock.stores.metadata.statements import HotStatement, insert_into
from penstock.stores.metadata.tables import run_artifacts as table
from penstock.stores.metadata.tables import runs

_AFTER_SLASH = "0"  # the character that follows "/" bytewise: ["a/", "a0") holds all that lies under "a"
_COLUMNS = ("run", "path", "digest", "size", "executable", "created_at")


def _upsert(dialect: str) -> Any:
    statement = insert_into(dialect, table)
    return statement.on_conflict_do_update(
        index_elements=["run", "path"], set_={name: statement.excluded[name] for name in _COLUMNS[2:]}
    )


_PUT = HotStatement(_upsert, *_COLUMNS)


def put_artifacts(connection: Connection, run_id: str, entries: Iterable[TreeEntry], *, now: int) -> None:
    """Add files to a run's artifacts, or replace those with the same path.

    The blobs must be durable before; paths are relative to the run's artifact root.

    Raises
    ------
    NotFoundError
        If there is no such run.
    InvalidPathError
        If a path escapes its root.
    """
    run = _row(connection, run_id)
    _PUT.many(
        connection,
        [(run, check_path(entry.path), entry.digest, entry.size, entry.executable, now) for entry in entries],
    )


def find_artifact(connection: Connection, run_id: str, path: str) -> TreeEntry | None:
    """Return the file at ``path``, or None where there is none or it is a folder."""
    row = connection.execute(
        select(table).join(runs, runs.c.id == table.c.run).where(runs.c.run_id == run_id, table.c.path == path)
    ).one_or_none()
    return None if row is None else _entry(row)


def walk_artifacts(connection: Connection, run_id: str, prefix: str = "") -> list[TreeEntry]:
    """Return every file under the folder ``prefix`` (or the file itself), sorted by path."""
    run = _row(connection, run_id)
    statement = select(table).where(table.c.run == run).order_by(table.c.path)
    folder = prefix.strip("/")
    if folder:
        inside = (table.c.path >= f"{folder}/") & (table.c.path < f"{folder}{_AFTER_SLASH}")
        statement = statement.where(inside | (table.c.path == folder))
    return [_entry(row) for row in connection.execute(statement)]


def list_artifacts(connection: Connection, run_id: str, prefix: str = "") -> list[tuple[str, bool, int]]:
    """Return the direct children of the folder ``prefix``: (path, is a folder, size in bytes), sorted by path.

    A folder's size is 0. A path that is a file, or nothing, has no children.
    """
    run = _row(connection, run_id)
    folder = prefix.strip("/")
    root = f"{folder}/" if folder else ""
    end = f"{folder}{_AFTER_SLASH}" if folder else None
    found: list[tuple[str, bool, int]] = []
    start: str | None = root
    while start is not None:
        start = _list_from(connection, run, root, start, end, found)
    return sorted(found)


def delete_artifacts(connection: Connection, run_id: str, path: str = "") -> int:
    """Forget the file ``path`` or all files under that folder; return how many there were."""
    run = _row(connection, run_id)
    statement = delete(table).where(table.c.run == run)
    folder = path.strip("/")
    if folder:
        inside = (table.c.path >= f"{folder}/") & (table.c.path < f"{folder}{_AFTER_SLASH}")
        statement = statement.where(inside | (table.c.path == folder))
    return connection.execute(statement).rowcount


def _list_from(
    connection: Connection, run: int, root: str, start: str, end: str | None, found: list[tuple[str, bool, int]]
) -> str | None:
    """Add children until the first folder; return the path to go on from, so that a folder costs one step."""
    statement = select(table.c.path, table.c.size).where(table.c.run == run, table.c.path >= start)
    if end is not None:
        statement = statement.where(table.c.path < end)
    with connection.execute(statement.order_by(table.c.path)) as rows:
        for path, size in rows:
            name, slash, _ = path[len(root) :].partition("/")
            if slash:
                found.append((root + name, True, 0))
                return f"{root}{name}{_AFTER_SLASH}"
            found.append((path, False, size))
    return None


def _row(connection: Connection, run_id: str) -> int:
    row = connection.execute(select(runs.c.id).where(runs.c.run_id == run_id)).scalar_one_or_none()
    if row is None:
        raise NotFoundError(f'no run with the id "{run_id}"', ref=f"job:{run_id}")
    return int(row)


def _entry(row: Row[Any]) -> TreeEntry:
    return TreeEntry.model_construct(path=row.path, digest=row.digest, size=row.size, executable=row.executable)
