"""Permanent deletion: what was deleted before goes for good, then the content that nothing names any more.

Load → decide → apply, in slices short enough that other writers hardly notice, each of them whole: whoever is
killed in between has removed less, and the next collection goes on. Content is taken in two phases. What is named
is marked in one snapshot; then blobs without a mark go, but for those used within the grace period, because an
upload, or a client that was told not to send content again, names it a moment later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from penstock.access.audit import record_event
from penstock.entities.attempt import AttemptState
from penstock.entities.errors import ConflictError, NotFoundError
from penstock.rules.collection import Deleted, Kind, Removal, decide
from penstock.stores.blobs.base import BlobStore, StoredBlob
from penstock.stores.metadata import attempts, experiments, run_log, runs
from penstock.stores.metadata.base import MetadataStore, Space
from penstock.stores.metadata.removal import marks
from penstock.stores.metadata.removal import records as removal
from penstock.stores.metadata.removal.digest_marks import DigestMarks

logger = logging.getLogger(__name__)

GRACE_MS = 3_600_000
SLICE_S = 0.005
MOST_ROWS = 200
BLOBS_AT_ONCE = 50

Progress = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a collection is about.

    Parameters
    ----------
    older_than_ms : int
        What was deleted later than so long ago stays.
    run : str, optional
        Only this run.
    experiment : str, optional
        Only what is in the experiment of this name, and the experiment itself if it is deleted.
    """

    older_than_ms: int
    run: str | None = None
    experiment: str | None = None


@dataclass(frozen=True, slots=True)
class Garbage:
    """Content that would go: trees and blobs that nothing names, and how much is only too young to go."""

    trees: tuple[marks.UnnamedTree, ...]
    blobs: tuple[StoredBlob, ...]
    young: int
    young_bytes: int
    snapshot: marks.Snapshot

    @property
    def bytes(self) -> int:
        """Return the size of all blobs together."""
        return sum(blob.size for blob in self.blobs)


class Collector:
    """Removes for good; one collection at a time.

    Parameters
    ----------
    store, blobs
        Where rows and bytes live.
    clock : callable
        Returns milliseconds since 1970-01-01 UTC.
    grace_ms : int
        Blobs used within this time stay, named or not.
    """

    def __init__(
        self, store: MetadataStore, blobs: BlobStore, *, clock: Callable[[], int], grace_ms: int = GRACE_MS
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._grace_ms = grace_ms
        self._busy = threading.Lock()

    def plan(self, scope: Scope) -> tuple[Removal, Garbage]:
        """Return what a collection would take now; changes nothing.

        Raises
        ------
        NotFoundError
            If the scope names a run or an experiment that does not exist.
        ConflictError
            If the run is not deleted.
        """
        planned = self._decide(scope)
        going = planned.going
        without = marks.Without(
            runs={record.row for record in going if record.kind is Kind.RUN},
            models={record.row for record in going if record.kind is Kind.LOGGED_MODEL},
            versions={record.row for record in going if record.kind is Kind.VERSION},
        )
        return planned, self._find_garbage(without)

    def space(self) -> Space:
        """Return what rows that were removed before left behind in the metadata store."""
        return self._store.space()

    def collect(self, scope: Scope, *, actor: str, vacuum: bool = False) -> Generator[Progress, None, None]:
        """Remove for good; yield what happens as it happens, the totals last.

        With ``vacuum`` the metadata store gives the space of rows back to the disk afterwards. Nothing is lost if the
        caller stops asking: what was removed stays removed, the rest waits.

        Raises
        ------
        ConflictError
            If another collection is under way.
        """
        if not self._busy.acquire(blocking=False):
            raise ConflictError("another collection is under way", hint="Wait until it has ended.")
        try:
            counts: Counter[str] = Counter()
            yield from self._finish_parked()
            planned = self._decide(scope)
            yield {"step": "plan", "going": len(planned.going), "kept": len(planned.kept)}
            for record in self._remove(planned.going, actor):
                counts[record.kind.value] += 1
                yield {"step": "removed", "kind": record.kind.value, "name": record.name}
            yield from self._finish_parked()
            freed = 0
            for step in self._sweep():
                freed = step.get("bytes", freed)
                yield step
            done: Progress = {"step": "done", "removed": dict(counts), "bytes": freed}
            if vacuum:
                space, given = self._store.space(), 0
                for given in self._store.give_space_back():
                    yield {"step": "vacuum", "bytes": given, "total": max(given, space.bytes)}
                done["vacuumed_bytes"] = given
            yield done
        finally:
            self._busy.release()

    def _decide(self, scope: Scope) -> Removal:
        with self._store.read() as connection:
            run = experiment = None
            if scope.run is not None:
                found = runs.get_run(connection, scope.run, details=False)
                if found.lifecycle_stage.value != "deleted":
                    raise ConflictError(
                        f'the run "{found.run_id}" is not deleted',
                        hint=f"Delete it first: penstock run delete {found.run_id}",
                        ref=f"run:{found.run_id}",
                    )
                run = run_log.row_of(connection, found.run_id).id
            if scope.experiment is not None:
                named = experiments.find_experiment_by_name(connection, scope.experiment)
                if named is None:
                    raise NotFoundError(
                        f'no experiment "{scope.experiment}"',
                        hint="List deleted ones too: penstock experiment list --view all",
                        ref=f"experiment:{scope.experiment}",
                    )
                experiment = int(named.experiment_id)
            records = removal.list_deleted(connection, experiment=experiment, run=run)
        return decide(records, now=self._clock(), older_than_ms=scope.older_than_ms)

    def _remove(self, going: Sequence[Deleted], actor: str) -> Iterator[Deleted]:
        done = 0
        while done < len(going):
            start = done

            def some(connection: Connection, start: int = start) -> tuple[int, list[Deleted]]:
                """Remove as many records as fit into one slice of the writer's time."""
                end = time.monotonic() + SLICE_S
                removed: list[Deleted] = []
                position = start
                while position < len(going) and (position == start or time.monotonic() < end):
                    record = going[position]
                    if removal.remove(connection, record, most=MOST_ROWS) is not None:
                        detail = {"name": record.title or record.name, "deleted_at": record.deleted_at}
                        now = self._clock()
                        record_event(connection, actor, "remove", record.ref, now=now, detail=detail)
                        removed.append(record)
                    position += 1
                return position, removed

            done, removed = self._store.write(some)
            yield from removed

    def _finish_parked(self) -> Iterator[Progress]:
        with self._store.read() as connection:
            is_parked, parked = removal.has_park(connection), removal.list_parked(connection)
        rows = 0
        for kind, row in parked:
            is_gone = False
            while not is_gone:
                is_gone = self._store.write(partial(removal.remove_parked, kind=kind, row=row, most=MOST_ROWS))
                rows += MOST_ROWS
                if rows % 20_000 == 0:
                    yield {"step": "rows", "done": rows}
        if is_parked:
            self._store.write(removal.close_park)

    def _find_garbage(self, without: marks.Without | None = None) -> Garbage:
        now = self._clock()
        before = now - self._grace_ms
        marked = DigestMarks()
        with self._store.read() as connection:
            snapshot = marks.take_snapshot(connection, now=now)
            named = marks.documented_digests(connection, without)
            unnamed = marks.unnamed_trees(connection, named)
            is_preparing = any(
                attempt.state in {AttemptState.STARTING, AttemptState.PREPARING}
                for attempt in attempts.list_live_attempts(connection)
            )
            trees_going = [tree for tree in unnamed if not is_preparing and self._is_old(tree.content, before)]
            marked.add(named)
            marks.mark_content(connection, marked, without=without, trees_going={tree.row for tree in trees_going})
        marked.seal()
        old: list[StoredBlob] = []
        young = young_bytes = 0
        for blob in self._blobs.walk():
            if blob.digest in marked:
                continue
            # While an attempt is prepared it reads content of trees that may be named no more.
            if blob.used_at < before and not is_preparing:
                old.append(blob)
            else:
                young += 1
                young_bytes += blob.size
        return Garbage(tuple(trees_going), tuple(old), young, young_bytes, snapshot)

    def _is_old(self, digest: str, before: int) -> bool:
        found = self._blobs.find(digest)
        return found is None or found.used_at < before

    def _sweep(self) -> Iterator[Progress]:
        yield {"step": "marking"}
        garbage = self._find_garbage()
        before = garbage.snapshot.at - self._grace_ms
        for tree in garbage.trees:
            while not self._store.write(
                partial(marks.remove_tree, tree=tree, snapshot=garbage.snapshot, most=MOST_ROWS)
            ):
                pass
        # A tree that was named again since the marks were made keeps its files: they are marked by what is left.
        blobs = self._still_unnamed(garbage)
        freed = taken = 0
        for start in range(0, len(blobs), BLOBS_AT_ONCE):
            part = blobs[start : start + BLOBS_AT_ONCE]

            def aside(connection: Connection, part: Sequence[StoredBlob] = part) -> list[StoredBlob]:
                """Take blobs out of reach on the writer, where nobody names them meanwhile."""
                later = marks.later_digests(connection, garbage.snapshot)
                return [
                    blob
                    for blob in part
                    if blob.digest not in later and self._blobs.set_aside(blob.digest, unused_since=before)
                ]

            for blob in self._store.write(aside):
                self._blobs.discard(blob.digest)
                freed += blob.size
                taken += 1
            yield {"step": "blobs", "done": taken, "total": len(blobs), "bytes": freed}
        if garbage.young:
            yield {"step": "young", "blobs": garbage.young, "young_bytes": garbage.young_bytes}

    def _still_unnamed(self, garbage: Garbage) -> list[StoredBlob]:
        """Return the blobs that no tree names which was spared in the meantime."""
        if not garbage.trees:
            return list(garbage.blobs)
        again = DigestMarks()
        with self._store.read() as connection:
            marks.mark_content(connection, again)
        again.seal()
        return [blob for blob in garbage.blobs if blob.digest not in again]
