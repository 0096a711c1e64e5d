"""Trees: folders named by their content, so a model, a code snapshot and an output of equal files are one.

Entries are rows, so that a later collection can count which blobs are still named.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from penstock.entities.asset import Tree, TreeEntry
from penstock.entities.errors import NotFoundError
from penstock.rules.trees import check_tree, tree_digest
from penstock.stores.metadata.engine.statements import HotStatement
from penstock.stores.metadata.tables import tree_entries, trees

_COLUMNS = ("tree", "position", "path", "digest", "size", "executable")


def _insert_entry(_: str) -> Any:
    return insert(tree_entries)


_ADD = HotStatement(_insert_entry, *_COLUMNS)


def put_tree(connection: Connection, tree: Tree) -> str:
    """Store a tree, once, and return its digest; its blobs must be durable before.

    Raises
    ------
    InvalidPathError
        If a path escapes the root, or the entries are not sorted and unique.
    """
    check_tree(tree)
    digest = tree_digest(tree)
    if _find(connection, digest) is None:
        row = connection.execute(
            insert(trees).values(digest=digest, is_file=tree.is_file).returning(trees.c.id)
        ).scalar_one()
        _ADD.many(
            connection,
            [
                (row, position, entry.path, entry.digest, entry.size, entry.executable)
                for position, entry in enumerate(tree.entries)
            ],
        )
    return digest


def get_tree(connection: Connection, digest: str) -> Tree:
    """Return a tree.

    Raises
    ------
    NotFoundError
        If there is none with that digest.
    """
    found = _find(connection, digest)
    if found is None:
        raise NotFoundError(f'no tree with the digest "{digest[:64]}"', hint="Upload it first.", ref=f"tree:{digest}")
    row, is_file = found
    table = tree_entries
    rows = connection.execute(select(table).where(table.c.tree == row).order_by(table.c.position))
    entries = tuple(
        TreeEntry.model_construct(path=e.path, digest=e.digest, size=e.size, executable=e.executable) for e in rows
    )
    return Tree.model_construct(entries=entries, is_file=is_file)


def _find(connection: Connection, digest: str) -> tuple[int, bool] | None:
    row = connection.execute(select(trees.c.id, trees.c.is_file).where(trees.c.digest == digest)).one_or_none()
    return None if row is None else (row.id, row.is_file)
