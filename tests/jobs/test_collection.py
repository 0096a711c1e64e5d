"""Permanent deletion on real stores: what was deleted goes, what is named stays, whoever is killed goes on."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from penstock.entities.asset import Tree, TreeEntry
from penstock.entities.errors import ConflictError, NotFoundError
from penstock.entities.job import CommandJobSpec, JobStatus
from penstock.entities.run import LifecycleStage, Metric
from penstock.jobs.collection import GRACE_MS, Collector, Scope
from penstock.stores.blobs.local import LocalBlobStore
from penstock.stores.metadata import artifacts, events, experiments, jobs, runs, tables, trees
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.stores.metadata.removal import records as removal
from penstock.stores.metadata.search.run_search import RunQuery, find_runs
from penstock.testing.fixtures import make_job, make_run

NOW = 10 * GRACE_MS
ALL = Scope(older_than_ms=0)


@dataclass
class Lab:
    """Stores in a folder, and a clock that is moved by hand."""

    folder: Path
    now: int = NOW
    store: SqliteMetadataStore = field(init=False)
    blobs: LocalBlobStore = field(init=False)
    collector: Collector = field(init=False)

    def __post_init__(self) -> None:
        self.store = SqliteMetadataStore(self.folder / "metadata.db", clock=lambda: self.now)
        self.blobs = LocalBlobStore(self.folder / "blobs")
        self.collector = Collector(self.store, self.blobs, clock=lambda: self.now)

    def put(self, content: bytes, *, is_old: bool = True) -> TreeEntry:
        """Store a blob, as old as the test wants it."""
        digest, size = self.blobs.put(content)
        self.age(digest, 2 * GRACE_MS if is_old else 0)
        return TreeEntry(path="file", digest=digest, size=size)

    def age(self, digest: str, age_ms: int) -> None:
        when = (self.now - age_ms) / 1000
        path = self.blobs.local_path(digest)
        assert path is not None
        os.utime(path, (when, when))

    def attach(self, run_id: str, entry: TreeEntry) -> None:
        self.store.write(lambda c: artifacts.put_artifacts(c, run_id, [entry], now=self.now))

    def delete(self, run_id: str, *, at: int | None = None) -> None:
        when = self.now if at is None else at
        self.store.write(lambda c: runs.set_run_lifecycle(c, run_id, LifecycleStage.DELETED, now=when))

    def collect(self, scope: Scope = ALL) -> dict[str, object]:
        return list(self.collector.collect(scope, actor="ann"))[-1]

    def rows(self) -> dict[str, int]:
        """Return how many rows each table below a run has."""
        with self.store.read() as connection:
            names = ("runs", "points", "latest", "params", "tags", "run_artifacts", "jobs", "attempts", "experiments")
            return {
                name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()  # noqa: S608
                for name in names
            }

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def fill(lab: Lab, run_id: str, points: int) -> None:
    metrics = [Metric("loss", step / 7, step, step) for step in range(points)]
    lab.store.write(lambda c: runs.log_batch(c, run_id, metrics=metrics, params={"lr": "1"}, tags={"a": "b"}))


@pytest.mark.parametrize("points", [3, 2500])
def test_a_deleted_run_goes_with_all_its_rows_and_bytes(lab: Lab, points: int) -> None:
    before = lab.rows()
    run_id = make_run(lab.store)
    fill(lab, run_id, points)
    lab.attach(run_id, lab.put(b"weights"))
    with lab.store.read() as connection:
        name = runs.get_run(connection, run_id).run_name
    lab.delete(run_id)
    done = lab.collect()
    assert done == {"step": "done", "removed": {"run": 1}, "bytes": 7}
    assert lab.rows() == before
    assert list(lab.blobs.walk()) == []
    with lab.store.read() as connection:
        assert runs.find_run(connection, run_id) is None
        last = events.list_events(connection)[-1]
        assert (last.actor, last.verb, last.ref) == ("ann", "remove", f"run:{run_id}")
        assert last.detail["name"] == name
        assert events.verify_chain(connection) == []
    assert make_run(lab.store, run_id=run_id) == run_id


def test_a_plan_tells_the_same_and_changes_nothing(lab: Lab) -> None:
    run_id, kept = make_run(lab.store), make_run(lab.store)
    fill(lab, run_id, 10)
    shared, own = lab.put(b"shared"), lab.put(b"only mine")
    lab.attach(run_id, shared.model_copy(update={"path": "a"}))
    lab.attach(run_id, own)
    lab.attach(kept, shared)
    lab.delete(run_id)
    before = lab.rows()
    planned, garbage = lab.collector.plan(ALL)
    assert [record.name for record in planned.going] == [run_id]
    assert [blob.digest for blob in garbage.blobs] == [own.digest]
    assert lab.rows() == before
    assert lab.blobs.exists(own.digest)
    assert lab.collect()["bytes"] == own.size == garbage.bytes


def test_what_was_deleted_lately_stays(lab: Lab) -> None:
    run_id = make_run(lab.store)
    lab.delete(run_id, at=lab.now - 5)
    planned, _ = lab.collector.plan(Scope(older_than_ms=6))
    assert [kept.reason for kept in planned.kept] == ["deleted lately"]
    assert lab.collect(Scope(older_than_ms=6))["removed"] == {}
    assert lab.collect(Scope(older_than_ms=5))["removed"] == {"run": 1}


def test_a_run_that_is_not_deleted_is_refused(lab: Lab) -> None:
    run_id = make_run(lab.store)
    with pytest.raises(ConflictError, match="is not deleted"):
        lab.collector.plan(Scope(0, run=run_id))
    with pytest.raises(NotFoundError):
        lab.collector.plan(Scope(0, run="nobody"))
    with pytest.raises(NotFoundError):
        lab.collector.plan(Scope(0, experiment="nobody"))


def test_only_the_run_that_is_named_goes(lab: Lab) -> None:
    first, second = make_run(lab.store), make_run(lab.store)
    lab.delete(first)
    lab.delete(second)
    assert lab.collect(Scope(0, run=first))["removed"] == {"run": 1}
    with lab.store.read() as connection:
        assert runs.find_run(connection, first) is None
        assert runs.find_run(connection, second) is not None


def test_an_experiment_goes_after_its_runs_and_gives_its_name_back(lab: Lab) -> None:
    made = lab.store.write(lambda c: experiments.create_experiment(c, "digits", now=1, tags={"a": "b"}))
    make_run(lab.store, experiment_id=made.experiment_id)
    other = make_run(lab.store)
    lab.delete(other)
    lab.store.write(
        lambda c: experiments.set_experiment_lifecycle(c, made.experiment_id, LifecycleStage.DELETED, now=lab.now)
    )
    assert lab.collect(Scope(0, experiment="digits"))["removed"] == {"run": 1, "experiment": 1}
    again = lab.store.write(lambda c: experiments.create_experiment(c, "digits", now=2))
    assert again.experiment_id != made.experiment_id
    with lab.store.read() as connection:
        assert runs.find_run(connection, other) is not None


def test_an_experiment_waits_for_a_run_that_was_restored(lab: Lab) -> None:
    made = lab.store.write(lambda c: experiments.create_experiment(c, "digits", now=1))
    run_id = make_run(lab.store, experiment_id=made.experiment_id)

    def change(connection: Any) -> None:
        experiments.set_experiment_lifecycle(connection, made.experiment_id, LifecycleStage.DELETED, now=5)
        runs.set_run_lifecycle(connection, run_id, LifecycleStage.ACTIVE, now=6)

    lab.store.write(change)
    planned, _ = lab.collector.plan(ALL)
    assert [kept.reason for kept in planned.kept] == ["1 run in it is not deleted"]
    assert lab.collect()["removed"] == {}


def make_model(lab: Lab, experiment_id: str, model_id: str, content: bytes) -> TreeEntry:
    """Make a logged model with a file, a metric, a parameter and a tag, as rows."""
    entry = lab.put(content)
    row = {
        "model_id": model_id,
        "experiment": int(experiment_id),
        "name": "m",
        "artifact_location": "",
        "model_type": "",
    }
    row |= {"status": "READY", "status_message": "", "lifecycle_stage": "active", "created_at": 1, "updated_at": 1}
    file = {"path": "f", "digest": entry.digest, "size": entry.size, "executable": False, "created_at": 1}

    def operation(connection: Any) -> None:
        model = connection.execute(tables.logged_models.insert().values(**row).returning(tables.logged_models.c.id))
        number = model.scalar_one()
        connection.execute(tables.model_artifacts.insert().values(model=number, **file))
        connection.execute(tables.logged_model_params.insert().values(model=number, key="a", value="b"))
        connection.execute(tables.logged_model_tags.insert().values(model=number, key="a", value="b"))

    lab.store.write(operation)
    return entry


def test_the_logged_models_of_an_experiment_go_with_it(lab: Lab) -> None:
    """MLflow's client deletes an experiment and leaves its models active."""
    made = lab.store.write(lambda c: experiments.create_experiment(c, "digits", now=1))
    entry = make_model(lab, made.experiment_id, "m-" + "1" * 32, b"a model")
    lab.store.write(
        lambda c: experiments.set_experiment_lifecycle(c, made.experiment_id, LifecycleStage.DELETED, now=lab.now)
    )
    done = lab.collect()
    assert done["removed"] == {"logged-model": 1, "experiment": 1}
    assert done["bytes"] == entry.size


def test_a_model_stays_with_an_experiment_that_stays(lab: Lab) -> None:
    made = lab.store.write(lambda c: experiments.create_experiment(c, "digits", now=1))
    entry = make_model(lab, made.experiment_id, "m-" + "3" * 32, b"a model")
    run_id = make_run(lab.store, experiment_id=made.experiment_id)

    def change(connection: Any) -> None:
        experiments.set_experiment_lifecycle(connection, made.experiment_id, LifecycleStage.DELETED, now=5)
        runs.set_run_lifecycle(connection, run_id, LifecycleStage.ACTIVE, now=6)

    lab.store.write(change)
    assert lab.collect()["removed"] == {}
    assert lab.blobs.exists(entry.digest)


def test_a_model_whose_files_a_version_still_reads_stays(lab: Lab) -> None:
    made = lab.store.write(lambda c: experiments.create_experiment(c, "digits", now=1))
    model_id = "m-" + "2" * 32
    entry = make_model(lab, made.experiment_id, model_id, b"still read")

    def change(connection: Any) -> None:
        name = {"kind": "model", "name": "digits", "last_number": 1}
        connection.execute(tables.asset_names.insert().values(**name))
        version = {"kind": "model", "name": "digits", "version": "1", "created_at": 1, "document": "{}"}
        version |= {"is_archived": False, "is_deleted": False, "source": f"models:/{model_id}"}
        connection.execute(tables.asset_versions.insert().values(**version))
        experiments.set_experiment_lifecycle(connection, made.experiment_id, LifecycleStage.DELETED, now=lab.now)

    lab.store.write(change)
    assert lab.collect()["removed"] == {}
    assert lab.blobs.exists(entry.digest)
    lab.store.write(lambda c: c.execute(tables.asset_versions.update().values(is_deleted=True)))
    assert lab.collect()["removed"] == {"logged-model": 1, "version": 1, "experiment": 1}
    assert not lab.blobs.exists(entry.digest)


def test_the_run_of_a_job_that_has_not_ended_stays(lab: Lab) -> None:
    job = make_job(lab.store)
    lab.delete(job.name)
    assert lab.collect()["removed"] == {}
    lab.store.write(lambda c: jobs.update_job(c, job.name, status=JobStatus.COMPLETED))
    assert lab.collect()["removed"] == {"run": 1}
    assert lab.rows()["jobs"] == 0


def test_a_run_whose_files_a_queued_job_will_read_stays(lab: Lab) -> None:
    source = make_run(lab.store)
    lab.delete(source)
    spec = {"command": "true", "inputs": {"data": {"type": "uri_folder", "path": f"runs:/{source}/outputs"}}}
    job = make_job(lab.store, spec=CommandJobSpec.model_validate(spec))
    assert lab.collect()["removed"] == {}
    lab.store.write(lambda c: jobs.update_job(c, job.name, status=JobStatus.FAILED))
    assert lab.collect()["removed"] == {"run": 1}


def test_content_a_job_or_a_document_names_stays(lab: Lab) -> None:
    code, loose = lab.put(b"print()"), lab.put(b"nobody's")
    named, unnamed = Tree(entries=(code,)), Tree(entries=(loose,))
    digest = lab.store.write(lambda c: trees.put_tree(c, named))
    lab.store.write(lambda c: trees.put_tree(c, unnamed))
    spec = CommandJobSpec.model_validate({"command": "true", "code": f"tree:{digest}"})
    make_job(lab.store, spec=spec, status=JobStatus.COMPLETED)
    assert lab.collect()["bytes"] == loose.size
    assert lab.blobs.exists(code.digest)
    with lab.store.read() as connection:
        assert trees.get_tree(connection, digest) == named


def test_a_large_tree_goes_in_slices(lab: Lab) -> None:
    entry = lab.put(b"same")
    entries = tuple(entry.model_copy(update={"path": f"f{number:05d}"}) for number in range(1000))
    lab.store.write(lambda c: trees.put_tree(c, Tree(entries=entries)))
    assert lab.collect()["bytes"] == entry.size
    with lab.store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM tree_entries").scalar_one() == 0


def test_an_upload_of_a_moment_ago_stays(lab: Lab) -> None:
    young = lab.put(b"just uploaded", is_old=False)
    steps = list(lab.collector.collect(ALL, actor="ann"))
    assert {"step": "young", "blobs": 1, "young_bytes": young.size} in steps
    assert lab.blobs.exists(young.digest)


def test_content_that_need_not_be_sent_again_stays_for_whoever_asked(lab: Lab) -> None:
    old = lab.put(b"sent years ago")
    assert lab.blobs.missing([old.digest]) == []
    lab.age(old.digest, 0)
    assert lab.collect()["bytes"] == 0
    assert lab.blobs.exists(old.digest)


def test_every_column_that_names_content_is_looked_at() -> None:
    """A new table with digests has to be marked too: see ``stores/metadata/removal/marks.py``."""
    found = {
        f"{table.name}.{column.name}"
        for table in tables.metadata.tables.values()
        for column in table.columns
        if column.type is tables.DIGEST
    }
    assert found == {
        "asset_versions.tree",
        "loose_artifacts.digest",
        "model_artifacts.digest",
        "run_artifacts.digest",
        "tree_entries.digest",
        "trees.digest",
    }


def test_two_collections_at_once_are_refused(lab: Lab) -> None:
    first = lab.collector.collect(ALL, actor="ann")
    next(first)
    with pytest.raises(ConflictError, match="under way"):
        list(lab.collector.collect(ALL, actor="bob"))
    first.close()
    assert lab.collect()["removed"] == {}


KILLED = """
import os, sys
from pathlib import Path
from penstock.jobs.collection import Collector, Scope
from penstock.stores.blobs.local import LocalBlobStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore

folder, now, left = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store, blobs = SqliteMetadataStore(folder / "metadata.db"), LocalBlobStore(folder / "blobs")
write, discard = store.write, blobs.discard

def counted(operation):
    global left
    result = write(operation)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)
    return result

store.write = counted
for step in Collector(store, blobs, clock=lambda: now).collect(Scope(0), actor="ann"):
    pass
print("done")
"""


def test_a_collection_killed_anywhere_goes_on_where_it_was(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    empty = lab.rows()
    kept = make_run(lab.store)
    lab.attach(kept, lab.put(b"kept"))
    for number in range(3):
        run_id = make_run(lab.store)
        fill(lab, run_id, 900)
        lab.attach(run_id, lab.put(f"content {number}".encode()))
        lab.delete(run_id)
    lab.close()
    kills, output = 0, ""
    while "done" not in output:
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path), str(NOW), "2"], capture_output=True, text=True, check=False
        )
        output = done.stdout
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        kills += done.returncode != 0
        with SqliteLab(tmp_path) as again:
            with again.store.read() as connection:
                assert runs.get_run(connection, kept).run_id == kept
                assert events.verify_chain(connection) == []
            assert again.blobs.exists(hashlib.sha256(b"kept").hexdigest())
    assert kills > 2
    with SqliteLab(tmp_path) as again:
        assert [blob.size for blob in again.blobs.walk()] == [4]
        rows = again.rows()
        assert (rows["runs"], rows["points"], rows["experiments"]) == (1, 0, empty["experiments"])


class SqliteLab(Lab):
    """A lab for a with statement."""

    def __enter__(self) -> SqliteLab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Collections(RuleBasedStateMachine):
    """Uploads, runs, deletions and collections in any order: what somebody may still read is there."""

    @initialize()
    def open(self) -> None:
        import tempfile

        self.temporary = tempfile.TemporaryDirectory()
        self.lab = Lab(Path(self.temporary.name))
        self.files: dict[str, set[str]] = {}
        self.deleted: set[str] = set()
        self.promised: dict[str, int] = {}
        self.collecting: Iterator[dict[str, object]] | None = None

    def teardown(self) -> None:
        if hasattr(self, "lab"):
            self.collecting = None
            self.lab.close()
            self.temporary.cleanup()

    def promise(self, digest: str) -> None:
        """Note that somebody was told now that this content is there."""
        self.lab.age(digest, 0)
        self.promised[digest] = self.lab.now

    @rule(content=st.sampled_from([b"a", b"b", b"c", b"d"]))
    def upload(self, content: bytes) -> None:
        digest, _ = self.lab.blobs.put(content)
        self.promise(digest)

    @rule(content=st.sampled_from([b"a", b"b", b"c", b"d"]))
    def ask(self, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        if not self.lab.blobs.missing([digest]):
            self.promise(digest)

    @precondition(lambda self: self.promised)
    @rule(data=st.data())
    def attach(self, data: st.DataObject) -> None:
        """Name content that was promised within the grace period."""
        fresh = sorted(d for d, at in self.promised.items() if self.lab.now - at < GRACE_MS)
        if not fresh:
            return
        digest = data.draw(st.sampled_from(fresh))
        run_id = make_run(self.lab.store)
        self.lab.attach(run_id, TreeEntry(path="f", digest=digest, size=1))
        self.files[run_id] = {digest}

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def copy(self, data: st.DataObject) -> None:
        """Make a tree of a run's files, as registering a model does, and name it in a job."""
        source = data.draw(st.sampled_from(sorted(self.files)))

        def operation(connection: Any) -> str:
            entries = tuple(artifacts.walk_artifacts(connection, source))
            return trees.put_tree(connection, Tree(entries=entries))

        digest = self.lab.store.write(operation)
        spec = CommandJobSpec.model_validate({"command": "true", "code": f"tree:{digest}"})
        job = make_job(self.lab.store, spec=spec, status=JobStatus.COMPLETED)
        self.files[job.name] = set(self.files[source])

    @precondition(lambda self: set(self.files) - self.deleted)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(set(self.files) - self.deleted)))
        self.lab.delete(run_id)
        self.deleted.add(run_id)

    @precondition(lambda self: self.deleted)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.deleted)))

        def operation(connection: Any) -> bool:
            if runs.find_run(connection, run_id) is None:
                return False
            runs.set_run_lifecycle(connection, run_id, LifecycleStage.ACTIVE, now=self.lab.now)
            return True

        if self.lab.store.write(operation):
            self.deleted.discard(run_id)

    @rule(minutes=st.sampled_from([10, 50, 70]))
    def wait(self, minutes: int) -> None:
        self.lab.now += minutes * 60_000

    @rule()
    def begin_collection(self) -> None:
        if self.collecting is None:
            self.collecting = self.lab.collector.collect(ALL, actor="ann")

    @precondition(lambda self: self.collecting is not None)
    @rule(steps=st.integers(1, 4))
    def go_on(self, steps: int) -> None:
        assert self.collecting is not None
        for _ in range(steps):
            if next(self.collecting, None) is None:
                self.collecting = None
                return

    @invariant()
    def everything_named_is_there(self) -> None:
        if not hasattr(self, "lab"):
            return
        with self.lab.store.read() as connection:
            there = {run_id for run_id in self.files if runs.find_run(connection, run_id) is not None}
        gone = set(self.files) - there
        assert gone <= self.deleted
        for run_id in gone:
            del self.files[run_id]
            self.deleted.discard(run_id)
        for run_id in there:
            assert all(self.lab.blobs.exists(digest) for digest in self.files[run_id]), run_id


TestCollections = Collections.TestCase
TestCollections.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_parked_rows_are_seen_by_no_view(lab: Lab) -> None:
    run_id = make_run(lab.store)
    fill(lab, run_id, 3000)
    lab.delete(run_id)
    steps = lab.collector.collect(ALL, actor="ann")
    while next(steps)["step"] != "removed":
        pass
    with lab.store.read() as connection:
        assert removal.list_parked(connection) != []
        assert runs.find_run(connection, run_id) is None
        assert [e.experiment_id for e in experiments.list_experiments(connection, limit=10, view="ALL")] == ["0"]
        assert find_runs(connection, RunQuery(("0",), view="ALL")).rows == []
    steps.close()
    lab.collect()
    with lab.store.read() as connection:
        assert removal.list_parked(connection) == []


def test_no_name_of_an_experiment_stops_a_collection(lab: Lab) -> None:
    """Not even that of the place where runs wait which are being removed."""
    lab.store.write(lambda c: experiments.create_experiment(c, "~removed", now=1))
    run_id = make_run(lab.store)
    fill(lab, run_id, 3000)
    lab.delete(run_id)
    steps = lab.collector.collect(ALL, actor="ann")
    while next(steps)["step"] != "removed":
        pass
    with lab.store.read() as connection:
        table = tables.experiments
        parked = connection.execute(select(table.c.name).where(table.c.id < 0)).scalar_one()
        assert experiments.find_experiment_by_name(connection, parked) is None
    steps.close()
    assert lab.collect()["step"] == "done"
    with lab.store.read() as connection:
        assert [e.name for e in experiments.list_experiments(connection, limit=10)] == ["~removed", "Default"]
