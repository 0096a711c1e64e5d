"""The part of the metadata suite about jobs, artifacts, trees, assets, events and replies."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, update

from penstock.entities.asset import AssetKind, AssetType, Tree, TreeEntry
from penstock.entities.attempt import Attempt, AttemptState
from penstock.entities.errors import ConflictError, InvalidPathError, NotFoundError
from penstock.entities.job import JobError, JobOutput, JobStatus
from penstock.stores.metadata import (
    artifacts,
    assets,
    deleted_versions,
    events,
    idempotency,
    jobs,
    registered_models,
    tables,
    trees,
)
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.removal import marks
from penstock.stores.metadata.removal import records as removal
from penstock.testing.fixtures import MetadataFixtures, make_job

DIGEST = "ab" * 32
OTHER = "cd" * 32


def entry(path: str, digest: str = DIGEST, size: int = 3) -> TreeEntry:
    """Return a file of a tree."""
    return TreeEntry(path=path, digest=digest, size=size)


class RecordSuite(MetadataFixtures):
    """What the control plane keeps."""

    def test_a_job_round_trips_and_changes(self, store: MetadataStore) -> None:
        """Spec and state are read as they were written; its name, spec and creation never change."""
        job = make_job(store, tags={"a": "b"}, warnings=("w",))
        changed = store.write(
            lambda c: jobs.update_job(
                c,
                job.name,
                status=JobStatus.FAILED,
                started_at=6,
                ended_at=9,
                attempt=2,
                error=JobError(code="ExitCode", message="it failed", exit_code=3),
                outputs={"model": JobOutput(path="named/model")},
            )
        )
        with store.read() as connection:
            assert jobs.get_job(connection, job.name) == changed
            assert jobs.get_job(connection, job.name).spec == job.spec
            with pytest.raises(NotFoundError):
                jobs.get_job(connection, "nobody")
        assert (changed.status, changed.tags, changed.warnings) == (JobStatus.FAILED, {"a": "b"}, ("w",))
        with pytest.raises(TypeError):
            store.write(lambda c: jobs.update_job(c, job.name, name="other"))
        with pytest.raises(ConflictError):
            store.write(lambda c: jobs.create_job(c, job))

    def test_jobs_are_listed_newest_first_and_paged(self, store: MetadataStore) -> None:
        """By status and experiment; pages continue after a name."""
        names = [make_job(store, f"job-{number}", created_at=9 - number).name for number in range(5)]
        store.write(lambda c: jobs.update_job(c, names[3], status=JobStatus.COMPLETED, experiment_name="digits"))
        with store.read() as connection:
            page = jobs.list_jobs(connection, limit=2)
            rest = jobs.list_jobs(connection, limit=9, after=page[-1].name)
            queued = jobs.list_jobs(connection, statuses=[JobStatus.QUEUED])
            digits = jobs.list_jobs(connection, experiment_name="digits")
            unfinished = jobs.list_unfinished_jobs(connection)
            with pytest.raises(NotFoundError):
                jobs.list_jobs(connection, after="nobody")
        assert [job.name for job in page + rest] == names[::-1]
        assert [job.name for job in queued] == [names[4], names[2], names[1], names[0]]
        assert [job.name for job in digits] == [names[3]]
        assert [job.name for job in unfinished] == [names[0], names[1], names[2], names[4]]

    def test_jobs_are_found_by_prefix(self, store: MetadataStore) -> None:
        """Case matters, wildcards are letters, and an exact name comes first."""
        for name in ("digits", "digits-2", "digits_3", "Digits", "digit"):
            make_job(store, name)
        with store.read() as connection:
            found = [job.name for job in jobs.find_jobs_by_prefix(connection, "digits", limit=2)]
            assert found == ["digits", "digits-2"]
            assert len(jobs.find_jobs_by_prefix(connection, "digits", limit=9)) == 3
            for nothing in ("digits%", "", "é", "zz", "digits\x7f", "\udfff"):
                assert jobs.find_jobs_by_prefix(connection, nothing) == []

    def test_attempts_follow_their_job(self, store: MetadataStore) -> None:
        """Live ones are those not in a final state; a number exists once a job."""
        job = make_job(store)
        made = Attempt("a1", job.name, 1, AttemptState.STARTING, "hash", created_at=4)
        store.write(lambda c: jobs.create_attempt(c, made))
        changed = store.write(lambda c: jobs.update_attempt(c, "a1", state=AttemptState.RUNNING, pid=7, log_offset=99))
        assert (changed.state, changed.pid, changed.token_hash) == (AttemptState.RUNNING, 7, "hash")
        with store.read() as connection:
            assert jobs.list_live_attempts(connection) == [changed] == jobs.list_attempts(connection, job.name)
            assert jobs.get_attempt(connection, "a1") == changed
            assert jobs.find_attempt(connection, "a2") is None
        store.write(lambda c: jobs.update_attempt(c, "a1", state=AttemptState.LOST, ended_at=5))
        second = Attempt("a2", job.name, 2, AttemptState.STARTING, "hash")
        store.write(lambda c: jobs.create_attempt(c, second))
        with store.read() as connection:
            assert jobs.list_live_attempts(connection) == [second]
            assert [found.number for found in jobs.list_attempts(connection, job.name)] == [1, 2]
        with pytest.raises(ConflictError):
            store.write(lambda c: jobs.create_attempt(c, Attempt("a3", job.name, 2, AttemptState.STARTING, "hash")))
        with pytest.raises(NotFoundError):
            store.write(lambda c: jobs.update_attempt(c, "a9", pid=1))

    def test_artifacts_are_listed_walked_and_replaced(self, store: MetadataStore, run_id: str) -> None:
        """A folder's children are found whatever sorts between them."""
        paths = ["a", "a b", "a-b/x", "a/b/c", "a/b/d", "a/z", "a0", "logs/ü"]
        store.write(lambda c: artifacts.put_artifacts(c, run_id, [entry(p) for p in paths if p != "a"], now=1))
        store.write(lambda c: artifacts.put_artifacts(c, run_id, [entry("a/z", OTHER, 9)], now=2))
        with store.read() as connection:
            assert artifacts.list_artifacts(connection, run_id) == [
                ("a", True, 0),
                ("a b", False, 3),
                ("a-b", True, 0),
                ("a0", False, 3),
                ("logs", True, 0),
            ]
            assert artifacts.list_artifacts(connection, run_id, "a/") == [("a/b", True, 0), ("a/z", False, 9)]
            assert artifacts.list_artifacts(connection, run_id, "a/z") == []
            assert [e.path for e in artifacts.walk_artifacts(connection, run_id, "a")] == ["a/b/c", "a/b/d", "a/z"]
            assert len(artifacts.walk_artifacts(connection, run_id)) == 7
            assert artifacts.find_artifact(connection, run_id, "a/z") == entry("a/z", OTHER, 9)
            assert artifacts.find_artifact(connection, run_id, "a") is None
        for count in (2, 0):
            assert store.write(lambda c: artifacts.delete_files(c, artifacts.run_shelf(c, run_id), "a/b")) == count
        with store.read() as connection:
            assert [e.path for e in artifacts.walk_artifacts(connection, run_id, "a")] == ["a/z"]
            with pytest.raises(NotFoundError):
                artifacts.list_artifacts(connection, "nobody")

    def test_artifact_paths_stay_inside_their_root(self, store: MetadataStore, run_id: str) -> None:
        """Nothing of a batch with such a path is kept."""
        for path in ("../x", "/x", "a/../../x"):
            with pytest.raises(InvalidPathError):
                store.write(
                    lambda c, p=path: artifacts.put_artifacts(c, run_id, [entry("ok"), entry(p)], now=1)  # type: ignore[misc] # a default binds the loop variable
                )
        with store.read() as connection:
            assert artifacts.walk_artifacts(connection, run_id) == []

    def test_a_tree_is_stored_once_by_its_content(self, store: MetadataStore) -> None:
        """Equal trees have one digest; a single file differs from a folder with that file."""
        folder = Tree(entries=(entry("a"), TreeEntry(path="b/c", digest=OTHER, size=0, executable=True)))
        file = Tree(entries=(entry("a"),), is_file=True)
        digests = [store.write(lambda c, t=tree: trees.put_tree(c, t)) for tree in (folder, folder, file, Tree())]  # type: ignore[misc] # a default binds the loop variable
        assert len(set(digests)) == 3
        with store.read() as connection:
            assert trees.get_tree(connection, digests[0]) == folder
            assert trees.get_tree(connection, digests[2]) == file
            assert trees.get_tree(connection, digests[3]) == Tree()
            with pytest.raises(NotFoundError):
                trees.get_tree(connection, DIGEST)
        with pytest.raises(InvalidPathError):
            store.write(lambda c: trees.put_tree(c, Tree(entries=(entry("b"), entry("a")))))

    def test_versions_are_numbered_and_never_reused(self, store: MetadataStore) -> None:
        """Also over explicit versions, deletions and other kinds of the same name."""

        def create(version: str | None = None, kind: AssetKind = AssetKind.MODEL) -> str:
            return store.write(
                lambda c: assets.create_version(c, kind=kind, name="digits", version=version, now=1, created_by="ada")
            ).version

        assert [create(), create(), create("7"), create("v-x"), create()] == ["1", "2", "7", "v-x", "8"]
        assert create(kind=AssetKind.DATA) == "1"
        store.write(lambda c: deleted_versions.delete_version(c, AssetKind.MODEL, "digits", "8", now=9))
        store.write(lambda c: deleted_versions.delete_version(c, AssetKind.MODEL, "digits", "8", now=9))
        assert create() == "9"
        for taken in ("7", "8", "v-x"):
            with pytest.raises(ConflictError):
                create(taken)
        with store.read() as connection:
            versions = [v.version for v in assets.list_versions(connection, AssetKind.MODEL, "digits", limit=9)]
            rest = assets.list_versions(connection, AssetKind.MODEL, "digits", limit=2, after="7")
            assert versions == ["9", "v-x", "7", "2", "1"]
            assert [v.version for v in rest] == ["2", "1"]
            with pytest.raises(NotFoundError):
                assets.get_version(connection, AssetKind.MODEL, "digits", "8")

    def test_the_latest_version_is_the_last_created_in_use(self, store: MetadataStore) -> None:
        """Archived and deleted ones are passed over; fields are kept."""
        for name in ("b", "a", "b"):
            store.write(
                lambda c, n=name: assets.create_version(  # type: ignore[misc] # a default binds the loop variable
                    c,
                    kind=AssetKind.MODEL,
                    name=n,
                    version=None,
                    now=3,
                    created_by="ada",
                    type=AssetType.CUSTOM_MODEL,
                    tags={"k": "v"},
                    definition={"x": [1, None]},
                    tree=DIGEST,
                    size=5,
                    job_name="job-1",
                )
            )
        with store.read() as connection:
            latest = assets.latest_version(connection, AssetKind.MODEL, "b")
            assert (latest.version, latest.tags, latest.tree) == ("2", {"k": "v"}, DIGEST)
            assert latest == assets.get_version(connection, AssetKind.MODEL, "b", "2")
            listed = assets.list_assets(connection, AssetKind.MODEL, limit=9)
            assert [(v.name, v.version) for v in listed] == [("a", "1"), ("b", "2")]
            assert [v.name for v in assets.list_assets(connection, AssetKind.MODEL, limit=1, after="a")] == ["b"]
        archived = store.write(lambda c: assets.set_archived(c, AssetKind.MODEL, "b", "2"))
        assert archived.is_archived
        with store.read() as connection:
            assert assets.latest_version(connection, AssetKind.MODEL, "b").version == "1"
            every = assets.list_versions(connection, AssetKind.MODEL, "b", limit=9, include_archived=True)
            assert [v.version for v in every] == ["2", "1"]
            assert assets.get_version(connection, AssetKind.MODEL, "b", "2") == archived
        store.write(lambda c: deleted_versions.delete_version(c, AssetKind.MODEL, "b", "1", now=9))
        with store.read() as connection:
            with pytest.raises(NotFoundError):
                assets.latest_version(connection, AssetKind.MODEL, "b")
            assert assets.asset_names(connection, AssetKind.MODEL) == ["a", "b"]
        assert not store.write(lambda c: assets.set_archived(c, AssetKind.MODEL, "b", "2", False)).is_archived

    def test_a_deleted_version_is_restored_as_it_was(self, store: MetadataStore) -> None:
        """With files, tags, description and the aliases that nobody else has; the deletion's time is what counts."""

        def create() -> None:
            store.write(
                lambda c: assets.create_version(
                    c,
                    kind=AssetKind.MODEL,
                    name="digits",
                    version=None,
                    now=3,
                    created_by="ada",
                    type=AssetType.CUSTOM_MODEL,
                    description="the first",
                    tags={"k": "v"},
                    tree=DIGEST,
                    size=5,
                )
            )

        create()
        create()
        for alias in ("champion", "taken"):
            store.write(lambda c, a=alias: registered_models.set_alias(c, "digits", a, "1"))  # type: ignore[misc] # a default binds the loop variable
        with store.read() as connection:
            before = assets.get_version(connection, AssetKind.MODEL, "digits", "1")
        store.write(lambda c: deleted_versions.delete_version(c, AssetKind.MODEL, "digits", "1", now=50))
        store.write(lambda c: deleted_versions.delete_version(c, AssetKind.MODEL, "digits", "1", now=60))
        store.write(lambda c: registered_models.set_alias(c, "digits", "taken", "2"))
        with store.read() as connection:
            assert [(r.name, r.deleted_at) for r in removal.list_deleted(connection)] == [("model:digits:1", 50)]
            assert DIGEST in marks.documented_digests(connection)
            assert registered_models.find_alias(connection, "digits", "champion") is None
        back = store.write(lambda c: deleted_versions.restore_version(c, AssetKind.MODEL, "digits", "1", now=70))
        assert back == before.model_copy(update={"aliases": ("champion",), "updated_at": 70})
        with store.read() as connection:
            assert removal.list_deleted(connection) == []
        with pytest.raises(NotFoundError):
            store.write(lambda c: deleted_versions.restore_version(c, AssetKind.MODEL, "digits", "9", now=70))

    def test_events_are_chained(self, store: MetadataStore) -> None:
        """An intact log verifies; entries are read after a sequence number."""
        self._append(store, 5)
        with store.read() as connection:
            found = events.list_events(connection, after=2, limit=2)
            assert [event.seq for event in found] == [3, 4]
            assert found[1].previous_hash == found[0].hash
            assert found[0].detail == {"n": 2, "text": "ü"}
            assert events.verify_chain(connection) == []

    def test_an_event_goes_with_its_operation(self, store: MetadataStore) -> None:
        """One that failed leaves neither an entry nor a gap."""
        self._append(store, 1)
        with pytest.raises(ZeroDivisionError):
            store.write(lambda c: (events.append_event(c, actor="a", verb="v", ref="r", detail={}, now=1), 1 // 0))
        self._append(store, 1)
        with store.read() as connection:
            assert [event.seq for event in events.list_events(connection)] == [1, 2]
            assert events.verify_chain(connection) == []

    @pytest.mark.parametrize("change", [{"actor": "eve"}, {"at": 8}, {"detail": '{"n":7}'}, {"detail": "{"}])
    def test_a_changed_event_is_found(self, store: MetadataStore, change: dict[str, object]) -> None:
        """Whatever of it was changed."""
        self._append(store, 4)
        store.write(lambda c: c.execute(update(tables.events).where(tables.events.c.seq == 2).values(**change)))
        with store.read() as connection:
            assert events.verify_chain(connection) == ["Entry 2 was changed."]

    def test_a_forged_hash_breaks_the_chain(self, store: MetadataStore) -> None:
        """Recomputing one entry's hash leaves the next one's pointing at nothing."""
        self._append(store, 4)
        table = tables.events
        with store.read() as connection:
            second = events.list_events(connection, after=1, limit=1)[0]
            last = connection.execute(select(table).where(table.c.seq == 4)).one()
        forged = events.entry_hash(second.previous_hash, second.model_copy(update={"actor": "eve"}))
        store.write(lambda c: c.execute(update(table).where(table.c.seq == 2).values(actor="eve", hash=forged)))
        with store.read() as connection:
            assert events.verify_chain(connection) == ["Entry 2 was replaced: entry 3 was written after another one."]
        assert last.seq == 4

    @pytest.mark.parametrize(
        ("gone", "said"),
        [
            ([1], "Entry 1 is missing."),
            ([2, 3], "Entries 2 to 3 are missing."),
            ([4], "Entry 4 is missing."),
            ([1, 2, 3, 4], "Entries 1 to 4 are missing."),
        ],
    )
    def test_a_missing_event_is_found(self, store: MetadataStore, gone: list[int], said: str) -> None:
        """At the start, in the middle and at the end."""
        self._append(store, 4)
        store.write(lambda c: c.execute(delete(tables.events).where(tables.events.c.seq.in_(gone))))
        with store.read() as connection:
            assert events.verify_chain(connection) == [said]

    def test_replies_are_kept_a_day(self, store: MetadataStore) -> None:
        """For their key and scope only."""
        day = idempotency.KEPT_MS
        store.write(lambda c: idempotency.put_reply(c, "k", "s", "{}", 100))
        with store.read() as connection:
            assert idempotency.find_reply(connection, "k", "s", 100 + day - 1) == "{}"
            assert idempotency.find_reply(connection, "k", "s", 100 + day) is None
            assert idempotency.find_reply(connection, "k", "other", 100) is None
        store.write(lambda c: idempotency.put_reply(c, "k2", "s", "2", 100 + day))
        with store.read() as connection:
            assert connection.execute(select(tables.replies.c.key)).scalars().all() == ["k2"]

    def _append(self, store: MetadataStore, count: int) -> None:
        for n in range(count):
            store.write(
                lambda c, n=n: events.append_event(  # type: ignore[misc] # a default binds the loop variable
                    c, actor="ada", verb="create", ref="model:x:1", detail={"text": "ü", "n": n}, now=5
                )
            )
