"""The part of the metadata suite about run history: experiments, runs, parameters, tags and metric rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock.entities.errors import ConflictError, NotFoundError, UsageError
from penstock.entities.run import LifecycleStage, Metric, Run, RunStatus
from penstock.stores.metadata import experiments, runs
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.metric_history import Place, Row, as_metric, read_history
from penstock.stores.metadata.run_log import row_of
from penstock.stores.metadata.search.run_pages import read_runs
from penstock.stores.metadata.search.run_search import RunQuery, find_runs
from penstock.testing.fixtures import MetadataFixtures, make_run

NAN = float("nan")
INF = float("inf")
# The suite of one backend runs beside that of another, with the same functions.
_SHARED_STORE = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.differing_executors,
    ],
)

small = st.integers(min_value=-1, max_value=2)
values = st.sampled_from([NAN, INF, -INF, 0.0, -0.5, 0.5, 1.0])
metric = st.builds(Metric, st.sampled_from(["acc", "loss"]), values, small, small)
batch = st.tuples(st.integers(min_value=0, max_value=3), st.lists(metric, max_size=6))


def rank(point: Metric) -> tuple[int, int, float]:
    """Return what decides which point is the latest; NaN competes as 0."""
    return point.step, point.timestamp, 0.0 if math.isnan(point.value) else point.value


def identity(point: Metric) -> tuple[object, ...]:
    """Return what makes two points exact duplicates; NaN equals NaN here."""
    return point.key, point.timestamp, point.step, repr(point.value)


class MetricModel:
    """The metric rules of one run as plain lists, to compare a store with."""

    def __init__(self) -> None:
        self.attempt = 0
        self.logged: list[tuple[int, Metric]] = []

    def log(self, attempt: int, points: list[Metric]) -> None:
        """Log a batch."""
        self.attempt = max(self.attempt, attempt)
        known = {(number, identity(point)) for number, point in self.logged}
        for point in points:
            if (attempt, identity(point)) not in known:
                known.add((attempt, identity(point)))
                self.logged.append((attempt, point))

    def seen(self) -> list[Metric]:
        """Return the points that count, in the order they were logged."""
        return [point for attempt, point in self.logged if attempt in (0, self.attempt)]

    def latest(self) -> dict[str, Metric]:
        """Return the latest point of each key."""
        found: dict[str, Metric] = {}
        for point in self.seen():
            if point.key not in found or rank(point) > rank(found[point.key]):
                found[point.key] = point
        return found


class RunHistorySuite(MetadataFixtures):
    """Run history as MLflow has it."""

    @_SHARED_STORE
    @given(batches=st.lists(batch, max_size=6))
    @example(batches=[(0, [Metric("acc", NAN, 1, 1)]), (0, [Metric("acc", 0.0, 1, 1)])])
    @example(
        batches=[(1, [Metric("acc", 1.0, 1, 9)]), (2, [Metric("acc", 0.5, 1, 1)]), (1, [Metric("acc", 1.0, 1, 10)])]
    )
    def test_metrics_follow_the_model(self, store: MetadataStore, batches: list[tuple[int, list[Metric]]]) -> None:
        """Latest points, histories and streams are those of the model, whatever was logged in which order."""
        run_id, model = make_run(store), MetricModel()
        for attempt, points in batches:
            model.log(attempt, points)
            store.write(
                lambda c, p=points, a=attempt: runs.log_batch(c, run_id, metrics=p, attempt=a)  # type: ignore[misc] # a default binds the loop variable
            )
        with store.read() as connection:
            latest = runs.get_run(connection, run_id).latest_metrics
            stream = runs.metrics_since(connection, run_id, 0)
            histories = {key: runs.metric_history(connection, run_id, key) for key in ("acc", "loss")}
        assert {m.key: identity(m) for m in latest} == {k: identity(m) for k, m in model.latest().items()}
        assert [identity(point) for _, point in stream] == [identity(point) for point in model.seen()]
        assert [number for number, _ in stream] == sorted({number for number, _ in stream})
        for key, history in histories.items():
            assert sorted(map(identity, history)) == sorted(identity(m) for m in model.seen() if m.key == key)
            order = [(m.timestamp, m.step, rank(m)[2]) for m in history]
            assert order == sorted(order)

    def test_a_stream_continues_after_the_last_id(self, store: MetadataStore, run_id: str) -> None:
        """Reading after an id gives exactly what was logged since."""
        for step in range(5):
            _log(store, run_id, [Metric("loss", step * 1.0, 1, step)])
        with store.read() as connection:
            first = runs.metrics_since(connection, run_id, 0, limit=2)
            rest = runs.metrics_since(connection, run_id, first[-1][0])
        assert [point.step for _, point in first + rest] == [0, 1, 2, 3, 4]

    def test_a_history_is_paged(self, store: MetadataStore, run_id: str) -> None:
        """Pages, continued after their last point, are the whole history, NaN included."""
        points = [Metric("loss", value, 1, step) for step in range(4) for value in (NAN, 0.0, -1.0, INF)]
        _log(store, run_id, points)
        with store.read() as connection:
            run = row_of(connection, run_id)
            whole = list(chain(*read_history(connection, run, "loss", chunk=5)))
            pages, after = list[Row](), None
            while page := list(chain(*read_history(connection, run, "loss", limit=3, after=after))):
                pages += page
                value, is_nan, timestamp, step, attempt = page[-1]
                after = Place(timestamp, step, value, is_nan, attempt)
            some = list(chain(*read_history(connection, run, "loss", steps=(1, 2), limit=5, offset=2)))
            assert runs.metric_history(connection, run_id, "loss") == [as_metric("loss", row) for row in whole]
        assert len(whole) == 16
        assert pages == whole
        assert some == whole[6:11]

    def test_a_new_attempt_starts_without_metrics(self, store: MetadataStore, run_id: str) -> None:
        """Points of an earlier attempt stop to count, those of no attempt stay."""
        _log(store, run_id, [Metric("acc", 0.9, 1, 9)], attempt=1)
        _log(store, run_id, [Metric("acc", 0.1, 1, 1)], attempt=0)
        store.write(lambda c: runs.start_attempt(c, run_id, 2))
        store.write(lambda c: runs.start_attempt(c, run_id, 1))
        with store.read() as connection:
            assert runs.get_run(connection, run_id).latest_metrics == (Metric("acc", 0.1, 1, 1),)
            assert runs.metric_history(connection, run_id, "acc") == [Metric("acc", 0.1, 1, 1)]

    def test_unknown_runs_and_keys_have_no_history(self, store: MetadataStore, run_id: str) -> None:
        """As in MLflow, an empty answer and no error."""
        with store.read() as connection:
            assert runs.metric_history(connection, "nobody", "loss") == []
            assert runs.metric_history(connection, run_id, "loss") == []
            assert runs.metrics_since(connection, "nobody", 0) == []

    def test_metrics_are_sorted_by_key(self, store: MetadataStore, run_id: str) -> None:
        """Bytewise, as everywhere."""
        _log(store, run_id, [Metric(key, 1.0, 1) for key in ("b", "a", "B", "é/x")])
        with store.read() as connection:
            latest = runs.get_run(connection, run_id).latest_metrics
        assert [metric.key for metric in latest] == ["B", "a", "b", "é/x"]

    def test_a_step_beyond_64_bits_is_a_usage_error(self, store: MetadataStore, run_id: str) -> None:
        """And nothing of the batch is stored."""
        with pytest.raises(UsageError):
            _log(store, run_id, [Metric("a", 1.0, 1, 1), Metric("a", 1.0, 1, 2**63)])
        _log(store, run_id, [Metric("b", 1.0, 1, 2**63 - 1)])
        with store.read() as connection:
            assert [m.key for m in runs.get_run(connection, run_id).latest_metrics] == ["b"]

    def test_a_run_round_trips(self, store: MetadataStore) -> None:
        """What was given is what is read."""
        run_id = make_run(store, tags={"team": "x"})
        with store.read() as connection:
            assert runs.get_run(connection, run_id) == Run(
                run_id=run_id,
                experiment_id="0",
                run_name="calm_heron",
                user_id="ada",
                status=RunStatus.RUNNING,
                start_time=1000,
                end_time=None,
                lifecycle_stage=LifecycleStage.ACTIVE,
                artifact_uri=f"mlflow-artifacts:/0/{run_id}/artifacts",
                tags={"team": "x", "mlflow.runName": "calm_heron"},
            )
            assert runs.get_run(connection, run_id, details=False).tags == {}

    def test_what_creating_a_run_returns_is_what_is_read(self, store: MetadataStore) -> None:
        """It is answered without being read again; a tag that says another name than the run has is none."""
        made = store.write(
            lambda c: runs.create_run(
                c,
                run_id="made",
                experiment_id="0",
                run_name="calm_heron",
                user_id="ada",
                status=RunStatus.SCHEDULED,
                start_time=7,
                tags={"z": 'quoted "text"', "a": "back\\slash, {braces}", "": "NULL", "mlflow.runName": "no"},
            )
        )
        with store.read() as connection:
            found = runs.get_run(connection, "made")
        assert made == found
        assert made.tags["mlflow.runName"] == "calm_heron"

    def test_run_ids_are_taken_once(self, store: MetadataStore, run_id: str) -> None:
        """Also by deleted runs; unknown experiments and runs are not found."""
        store.write(lambda c: runs.set_run_lifecycle(c, run_id, LifecycleStage.DELETED, now=1))
        with pytest.raises(ConflictError):
            make_run(store, run_id=run_id)
        with pytest.raises(NotFoundError):
            make_run(store, experiment_id="17")
        with store.read() as connection:
            assert runs.find_run(connection, "nobody") is None
            with pytest.raises(NotFoundError):
                runs.get_run(connection, "nobody")

    def test_a_batch_with_a_changed_parameter_is_refused_whole(self, store: MetadataStore, run_id: str) -> None:
        """An equal value is fine; a different one keeps metrics and tags of the batch out, too."""
        store.write(lambda c: runs.log_param(c, run_id, "lr", "0.1"))
        store.write(lambda c: runs.log_batch(c, run_id, params={"lr": "0.1", "b": ""}))
        with pytest.raises(UsageError, match="lr"):
            store.write(
                lambda c: runs.log_batch(
                    c, run_id, metrics=[Metric("m", 1.0, 1)], tags={"t": "1"}, params={"lr": "0.2"}
                )
            )
        with store.read() as connection:
            run = runs.get_run(connection, run_id)
        assert (run.params, run.latest_metrics) == ({"lr": "0.1", "b": ""}, ())
        assert "t" not in run.tags

    def test_tags_are_set_replaced_and_deleted(self, store: MetadataStore, run_id: str) -> None:
        """Deleting one that is not there is not found."""
        for value in ("1", "2"):
            store.write(lambda c, v=value: runs.set_tag(c, run_id, "t", v))  # type: ignore[misc] # a default binds the loop variable
        with store.read() as connection:
            assert runs.get_run(connection, run_id).tags["t"] == "2"
        store.write(lambda c: runs.delete_tag(c, run_id, "t"))
        with pytest.raises(NotFoundError):
            store.write(lambda c: runs.delete_tag(c, run_id, "t"))

    def test_the_name_and_its_tag_are_one(self, store: MetadataStore, run_id: str) -> None:
        """The tag renames, the name sets the tag, deleting the tag keeps the name, an empty name is ignored."""
        store.write(lambda c: runs.set_tag(c, run_id, "mlflow.runName", "one"))
        with store.read() as connection:
            assert runs.get_run(connection, run_id).run_name == "one"
        run = store.write(lambda c: runs.update_run(c, run_id, run_name="two"))
        assert (run.run_name, run.tags["mlflow.runName"]) == ("two", "two")
        store.write(lambda c: runs.delete_tag(c, run_id, "mlflow.runName"))
        run = store.write(lambda c: runs.update_run(c, run_id, run_name="", status=RunStatus.FINISHED, end_time=9))
        assert (run.run_name, run.status, run.end_time) == ("two", RunStatus.FINISHED, 9)
        run = store.write(lambda c: runs.update_run(c, run_id, status=RunStatus.RUNNING))
        assert (run.status, run.end_time) == (RunStatus.RUNNING, 9)

    def test_runs_are_searched_newest_first(self, store: MetadataStore) -> None:
        """By start time, then by id; by experiment, view, limit and offset."""
        other = store.write(lambda c: experiments.create_experiment(c, "other", now=1)).experiment_id
        ids = [make_run(store, start_time=start, experiment_id=other) for start in (5, 9, 5)]
        make_run(store)
        store.write(lambda c: runs.set_run_lifecycle(c, ids[2], LifecycleStage.DELETED, now=1))
        assert _found(store, RunQuery((other,))) == [ids[1], ids[0]]
        found = _found(store, RunQuery((other, "no", "0"), view="ALL"))
        assert [run_id for run_id in found if run_id in ids] == [ids[1], ids[0], ids[2]]
        assert _found(store, RunQuery((other,), limit=1, offset=1)) == [ids[0]]
        assert _found(store, RunQuery((other,), view="DELETED_ONLY")) == [ids[2]]
        assert _found(store, RunQuery(())) == []

    def test_experiments_are_named_once(self, store: MetadataStore) -> None:
        """A deleted one keeps its name, is found by it, and its runs go and come back with it."""
        made = store.write(lambda c: experiments.create_experiment(c, "digits", now=3, tags={"a": "b"}))
        assert (made.artifact_location, made.tags) == (f"mlflow-artifacts:/{made.experiment_id}", {"a": "b"})
        run_id = make_run(store, experiment_id=made.experiment_id)
        for stage in (LifecycleStage.DELETED, LifecycleStage.ACTIVE, LifecycleStage.DELETED):
            store.write(lambda c, s=stage: experiments.set_experiment_lifecycle(c, made.experiment_id, s, now=4))  # type: ignore[misc] # a default binds the loop variable
            with store.read() as connection:
                assert runs.get_run(connection, run_id).lifecycle_stage is stage
        for refused in (experiments.create_experiment, experiments.ensure_experiment):
            with pytest.raises(ConflictError):
                store.write(lambda c, make=refused: make(c, "digits", now=4))  # type: ignore[misc] # a default binds the loop variable
        with store.read() as connection:
            found = experiments.find_experiment_by_name(connection, "digits")
            assert found is not None
            assert (found.experiment_id, found.updated_at) == (made.experiment_id, 4)
            assert [e.name for e in experiments.list_experiments(connection, limit=9)] == ["Default"]

    def test_experiments_are_ensured_renamed_tagged_and_paged(self, store: MetadataStore) -> None:
        """The rest of what a protocol asks of them."""
        ids = [store.write(_ensure(name)) for name in ("a", "b", "a")]
        assert ids[0] == ids[2] != ids[1]
        store.write(lambda c: experiments.set_experiment_tag(c, ids[0], "t", "1", now=2))
        store.write(lambda c: experiments.rename_experiment(c, ids[0], "c", now=2))
        with pytest.raises(ConflictError):
            store.write(lambda c: experiments.rename_experiment(c, ids[0], "b", now=2))
        with store.read() as connection:
            found = experiments.get_experiment(connection, ids[0])
            page = experiments.list_experiments(connection, limit=1)
            rest = experiments.list_experiments(connection, limit=9, after=page[-1].experiment_id)
        assert (found.name, found.tags) == ("c", {"t": "1"})
        assert [e.name for e in page + rest] == ["b", "c", "Default"]
        store.write(lambda c: experiments.delete_experiment_tag(c, ids[0], "t", now=2))
        with pytest.raises(NotFoundError):
            store.write(lambda c: experiments.delete_experiment_tag(c, ids[0], "t", now=2))

    @pytest.mark.parametrize("wrong", ["", "x", "-1", "01", "٣", "1e3", "9" * 30])
    def test_what_is_no_experiment_id_is_not_found(self, store: MetadataStore, wrong: str) -> None:
        """Whatever it looks like."""
        with store.read() as connection, pytest.raises(NotFoundError):
            experiments.get_experiment(connection, wrong)


def _log(store: MetadataStore, run_id: str, points: list[Metric], attempt: int = 0) -> None:
    store.write(lambda c: runs.log_batch(c, run_id, metrics=points, attempt=attempt))


def _ensure(name: str) -> Callable[..., str]:
    return lambda connection: experiments.ensure_experiment(connection, name, now=1).experiment_id


def _found(store: MetadataStore, query: RunQuery) -> list[str]:
    with store.read() as connection:
        return [
            run.info.run_id for part in read_runs(connection, find_runs(connection, query).rows) for run in part.runs
        ]
