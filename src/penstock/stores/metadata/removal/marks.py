"""Which content is named: by artifacts, by trees, and by documents that hold a digest somewhere.

Everything is read in one snapshot. Whoever names content after it has stored it, or was told that it is there,
shortly before, which the blob store notes; so old content that a snapshot does not name is named by nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, delete, func, or_, select, update

from penstock.rules.collection import find_digests
from penstock.stores.metadata.removal.digest_marks import DigestMarks
from penstock.stores.metadata.tables import (
    asset_versions,
    deployments,
    jobs,
    loose_artifacts,
    model_artifacts,
    replies,
    run_artifacts,
    runs,
    tree_entries,
    trees,
)

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Without:
    """Rows that are about to go, so that what they name does not count."""

    runs: Collection[int] = frozenset()
    models: Collection[int] = frozenset()
    versions: Collection[int] = frozenset()


@dataclass(frozen=True, slots=True)
class UnnamedTree:
    """A tree that nothing names; ``content`` is the digest of its first file, whose use tells the tree's own."""

    row: int
    digest: str
    content: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where rows ended when the marks were made: what came later has to be looked at again."""

    last_job: int
    last_version: int
    at: int


def take_snapshot(connection: Connection, *, now: int) -> Snapshot:
    """Return where the snapshot of ``connection`` ends."""
    last = [connection.execute(select(func.max(table.c.id))).scalar_one() or 0 for table in (jobs, asset_versions)]
    return Snapshot(int(last[0]), int(last[1]), now)


def documented_digests(connection: Connection, without: Without | None = None) -> set[str]:
    """Return every digest that jobs, assets, deployments and kept replies name, trees and blobs alike."""
    found: set[str] = set()
    going = without.runs if without else ()
    of_jobs = select(runs.c.id, jobs.c.spec, jobs.c.state).join(runs, runs.c.run_id == jobs.c.name)
    for row, *texts in _rows(connection, of_jobs):
        if row not in going:
            _collect(found, texts)
    versions_going = without.versions if without else ()
    for row, *texts in _rows(connection, select(asset_versions.c.id, *_version_columns())):
        if row not in versions_going:
            _collect(found, texts)
    for columns in ((deployments.c.document,), (replies.c.body,)):
        for texts in _rows(connection, select(*columns)):
            _collect(found, texts)
    return found


def later_digests(connection: Connection, snapshot: Snapshot) -> set[str]:
    """Return the digests that documents name which came or changed after a snapshot; cheap, for the writer."""
    found: set[str] = set()
    of_versions = select(*_version_columns()).where(
        or_(asset_versions.c.id > snapshot.last_version, asset_versions.c.updated_at >= snapshot.at)
    )
    of_jobs = select(jobs.c.spec, jobs.c.state).where(
        or_(jobs.c.id > snapshot.last_job, jobs.c.ended_at >= snapshot.at, jobs.c.ended_at.is_(None))
    )
    for statement in (of_versions, of_jobs, select(deployments.c.document)):
        for texts in _rows(connection, statement):
            _collect(found, texts)
    return found


def unnamed_trees(connection: Connection, named: Collection[str]) -> list[UnnamedTree]:
    """Return the trees whose digest is not among ``named``; empty trees name nothing and stay."""
    first = (
        select(tree_entries.c.digest).where(tree_entries.c.tree == trees.c.id, tree_entries.c.position == 0)
    ).scalar_subquery()
    rows = _rows(connection, select(trees.c.id, trees.c.digest, first))
    return [UnnamedTree(row, digest, content) for row, digest, content in rows if content and digest not in named]


def mark_content(
    connection: Connection, marks: DigestMarks, *, without: Without | None = None, trees_going: Collection[int] = ()
) -> None:
    """Note the digests of every file that artifacts and trees name."""
    without = without or Without()
    for table, column, going in (
        (run_artifacts, "run", without.runs),
        (model_artifacts, "model", without.models),
        (tree_entries, "tree", trees_going),
    ):
        rows = _rows(connection, select(table.c[column], table.c.digest))
        marks.add(digest for row, digest in rows if row not in going)
    marks.add(digest for (digest,) in _rows(connection, select(loose_artifacts.c.digest)))


def remove_tree(connection: Connection, tree: UnnamedTree, snapshot: Snapshot, *, most: int) -> bool:
    """Remove about ``most`` entries of a tree; return whether nothing is left to do.

    A tree that was named since the snapshot stays. One that is not done in one step loses its digest in the first,
    so that nobody finds half of it; its first file goes last, by which the next collection knows it.
    """
    if tree.digest in later_digests(connection, snapshot):
        return True
    table = tree_entries
    last = select(table.c.position).where(table.c.tree == tree.row).order_by(table.c.position.desc()).limit(most)
    some = delete(table).where(table.c.tree == tree.row, table.c.position.in_(list(connection.execute(last).scalars())))
    if connection.execute(some).rowcount < most:
        connection.execute(delete(trees).where(trees.c.id == tree.row))
        return True
    connection.execute(update(trees).where(trees.c.id == tree.row).values(digest=f"~{tree.row}"))
    return False


def _version_columns() -> tuple[Any, ...]:
    return asset_versions.c.tree, asset_versions.c.document, asset_versions.c.source


def _collect(found: set[str], texts: Any) -> None:
    for text in texts:
        if text:
            found.update(find_digests(text))


def _rows(connection: Connection, statement: Executable) -> Iterator[Any]:
    """Yield rows without holding all of them."""
    with connection.execute(statement, execution_options={"yield_per": _AT_ONCE}) as found:
        yield from found
