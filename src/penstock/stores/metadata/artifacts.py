"""Indexes of artifacts: path → content digest, size and mode; the bytes are in the blob store.

A shelf is what files lie on: those of one run, of one logged model, or the one for all that belongs to neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, select

from penstock.entities.asset import TreeEntry
from penstock.entities.errors import NotFoundError, UsageError
from penstock.rules.artifact_paths import check_path
from penstock.stores.metadata.engine.statements import HotStatement, insert_into
from penstock.stores.metadata.tables import loose_artifacts, model_artifacts, run_artifacts, runs

_AFTER_SLASH = "0"  # the character that follows "/" bytewise: ["a/", "a0") holds all that lies under "a"
_COLUMNS = ("path", "digest", "size", "executable", "created_at")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where files lie: a table, and whose rows of it; ``owner`` is None where they are nobody's."""

    table: Table
    owner: int | None

    @property
    def conditions(self) -> tuple[Any, ...]:
        """Return what the shelf's rows have in common."""
        return () if self.owner is None else (_owner_column(self.table) == self.owner,)


LOOSE = Shelf(loose_artifacts, None)


def run_shelf(connection: Connection, run_id: str) -> Shelf:
    """Return where a run's files lie.

    Raises
    ------
    NotFoundError
        If there is no such run.
    """
    row = connection.execute(select(runs.c.id).where(runs.c.run_id == run_id)).scalar_one_or_none()
    if row is None:
        raise NotFoundError(f'no run with the id "{run_id}"', ref=f"job:{run_id}")
    return Shelf(run_artifacts, int(row))


def model_shelf(row: int) -> Shelf:
    """Return where the files of the logged model with this integer row lie."""
    return Shelf(model_artifacts, row)


def _owner_column(table: Table) -> Any:
    return table.c.model if table is model_artifacts else table.c.run


def _upsert(table: Table) -> HotStatement:
    owner = [] if table is loose_artifacts else [_owner_column(table).name]
    columns = [*owner, *_COLUMNS]

    def build(dialect: str) -> Any:
        statement = insert_into(dialect, table)
        changed = {name: statement.excluded[name] for name in _COLUMNS[1:]}
        return statement.on_conflict_do_update(index_elements=[*owner, "path"], set_=changed)

    return HotStatement(build, *columns)


_PUT = {table.name: _upsert(table) for table in (run_artifacts, model_artifacts, loose_artifacts)}


def put_files(connection: Connection, shelf: Shelf, entries: Iterable[TreeEntry], *, now: int) -> None:
    """Add files, or replace those with the same path; the blobs must be durable before.

    Raises
    ------
    InvalidPathError
        If a path escapes its root.
    """
    owner = () if shelf.owner is None else (shelf.owner,)
    # The last of several with one path is the one that stays.
    found = {check_path(entry.path): entry for entry in entries}
    rows = [(*owner, path, entry.digest, entry.size, entry.executable, now) for path, entry in found.items()]
    _PUT[shelf.table.name].many(connection, rows)


def check_free(connection: Connection, shelf: Shelf, path: str) -> None:
    """Raise UsageError if a file at ``path`` would make something both a file and a folder."""
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts))]
    table = shelf.table
    found = select(table.c.path).where(*shelf.conditions, table.c.path.in_(above)).limit(1)
    parent = connection.execute(found).scalar_one_or_none()
    if parent is not None:
        raise UsageError(f"'{path}' cannot be stored: '{parent}' is a file, so nothing can lie below it")
    if is_folder(connection, shelf, path):
        raise UsageError(f"'{path}' cannot be stored as a file: it is a folder already")


def is_folder(connection: Connection, shelf: Shelf, path: str) -> bool:
    """Return whether files lie below ``path``."""
    below = select(shelf.table.c.path).where(*shelf.conditions, *_inside(shelf.table, path)).limit(1)
    return connection.execute(below).scalar_one_or_none() is not None


def find_file(connection: Connection, shelf: Shelf, path: str) -> TreeEntry | None:
    """Return the file at ``path``, or None where there is none or it is a folder."""
    table = shelf.table
    row = connection.execute(select(table).where(*shelf.conditions, table.c.path == path)).one_or_none()
    return None if row is None else _entry(row)


def digests_of_run(connection: Connection, run_id: str) -> set[str]:
    """Return the digests of all files of a run, none if there is no such run."""
    statement = (
        select(run_artifacts.c.digest)
        .distinct()
        .join(runs, runs.c.id == run_artifacts.c.run)
        .where(runs.c.run_id == run_id)
    )
    return set(connection.execute(statement).scalars())


def walk_files(connection: Connection, shelf: Shelf, prefix: str = "") -> list[TreeEntry]:
    """Return every file under the folder ``prefix`` (or the file itself), sorted by path."""
    table = shelf.table
    statement = select(table).where(*shelf.conditions, *_under(table, prefix)).order_by(table.c.path)
    return [_entry(row) for row in connection.execute(statement)]


def list_files(connection: Connection, shelf: Shelf, prefix: str = "") -> list[tuple[str, bool, int]]:
    """Return the direct children of the folder ``prefix``: (path, is a folder, size in bytes), sorted by path.

    A folder's size is 0. A path that is a file, or nothing, has no children.
    """
    folder = prefix.strip("/")
    root = f"{folder}/" if folder else ""
    end = f"{folder}{_AFTER_SLASH}" if folder else None
    found: list[tuple[str, bool, int]] = []
    start: str | None = root
    while start is not None:
        start = _list_from(connection, shelf, root, start, end, found)
    return sorted(found)


def delete_files(connection: Connection, shelf: Shelf, path: str = "") -> int:
    """Forget the file ``path`` or all files under that folder; return how many there were."""
    statement = delete(shelf.table).where(*shelf.conditions, *_under(shelf.table, path))
    return connection.execute(statement).rowcount


def put_artifacts(connection: Connection, run_id: str, entries: Iterable[TreeEntry], *, now: int) -> None:
    """Add files to a run's artifacts; see :func:`put_files`."""
    put_files(connection, run_shelf(connection, run_id), entries, now=now)


def find_artifact(connection: Connection, run_id: str, path: str) -> TreeEntry | None:
    """Return the file of a run at ``path``, or None where there is none, it is a folder, or there is no such run."""
    table = run_artifacts
    row = connection.execute(
        select(table).join(runs, runs.c.id == table.c.run).where(runs.c.run_id == run_id, table.c.path == path)
    ).one_or_none()
    return None if row is None else _entry(row)


def walk_artifacts(connection: Connection, run_id: str, prefix: str = "") -> list[TreeEntry]:
    """Return every file of a run under the folder ``prefix``; see :func:`walk_files`."""
    return walk_files(connection, run_shelf(connection, run_id), prefix)


def list_artifacts(connection: Connection, run_id: str, prefix: str = "") -> list[tuple[str, bool, int]]:
    """Return the direct children of a run's folder ``prefix``; see :func:`list_files`."""
    return list_files(connection, run_shelf(connection, run_id), prefix)


def _inside(table: Table, folder: str) -> tuple[Any, ...]:
    return table.c.path >= f"{folder}/", table.c.path < f"{folder}{_AFTER_SLASH}"


def _under(table: Table, prefix: str) -> tuple[Any, ...]:
    folder = prefix.strip("/")
    if not folder:
        return ()
    low, high = _inside(table, folder)
    return ((low & high) | (table.c.path == folder),)


def _list_from(
    connection: Connection, shelf: Shelf, root: str, start: str, end: str | None, found: list[tuple[str, bool, int]]
) -> str | None:
    """Add children until the first folder; return the path to go on from, so that a folder costs one step."""
    table = shelf.table
    statement = select(table.c.path, table.c.size).where(*shelf.conditions, table.c.path >= start)
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


def _entry(row: Row[Any]) -> TreeEntry:
    return TreeEntry.model_construct(path=row.path, digest=row.digest, size=row.size, executable=row.executable)
