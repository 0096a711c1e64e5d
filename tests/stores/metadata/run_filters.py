"""What a search over runs means, evaluated one run after another, and strategies that make runs and searches."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert

from penstock.rules.filters.tree import And, Comparison, Condition, Field, Not, Op, Or, OrderKey, Scope
from penstock.stores.metadata import tables

KEYS = ("a", "b")
TEXTS = ("", "x", "X", "xy", "x%", "_", "*[?", "é", "x" * 64, "x" * 65, "x" * 64 + "y")
NUMBERS = (0.0, 1.0, -1.0, 0.5, 2.0, math.nan, math.inf, -math.inf)
EXPERIMENTS = ("1", "2", "3")


@dataclass(frozen=True)
class FakeRun:
    """All that a search sees of a run."""

    row: int
    experiment: str
    stage: str
    status: str
    user_id: str
    start_time: int
    end_time: int | None
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    datasets: list[tuple[str, str, str | None]] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        """Ids do not follow the rows."""
        return f"r{(self.row * 67) % 101:03d}"


def runs() -> st.SearchStrategy[list[FakeRun]]:
    """Return runs of three experiments, with ties, NaN and missing keys."""
    texts = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(TEXTS))
    one: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {
            "experiment": st.sampled_from(EXPERIMENTS),
            "stage": st.sampled_from(("active", "active", "deleted")),
            "status": st.sampled_from(("RUNNING", "FINISHED")),
            "user_id": st.sampled_from(("ada", "Ada")),
            "start_time": st.integers(0, 3),
            "end_time": st.none() | st.integers(3, 5),
            "metrics": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(NUMBERS)),
            "params": texts,
            "tags": st.dictionaries(st.sampled_from((*KEYS, "mlflow.runName")), st.sampled_from(TEXTS)),
            "datasets": st.lists(
                st.tuples(st.sampled_from("de"), st.sampled_from("12"), st.sampled_from((None, "train"))),
                max_size=2,
                unique_by=lambda one: one[:2],
            ),
        }
    )
    return (st.lists(one, max_size=6) | st.lists(one, min_size=10, max_size=25)).map(
        lambda found: [FakeRun(row=i + 1, **values) for i, values in enumerate(found)]
    )


def conditions() -> st.SearchStrategy[Condition]:
    """Return filter trees over what ``runs`` have."""
    numeric = st.sampled_from((Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE))
    one_of = st.sampled_from((Op.IN, Op.NOT_IN))
    null = st.sampled_from((Op.IS_NULL, Op.IS_NOT_NULL))
    numbers = st.sampled_from((0.0, 1.0, 0.5, -1.0, 3.0))
    times = st.integers(0, 5)
    patterns = st.sampled_from(("x%", "%", "_", "X", "x_", "*%", "%[?", "", "x" * 64 + "%"))
    metric = st.builds(Field, st.just(Scope.METRIC), st.sampled_from((*KEYS, "c")))
    text = st.builds(Field, st.sampled_from((Scope.PARAM, Scope.TAG)), st.sampled_from((*KEYS, "c"))) | st.builds(
        Field, st.just(Scope.ATTRIBUTE), st.sampled_from(("run_id", "run_name", "user_id", "status"))
    )
    dataset = st.builds(Field, st.just(Scope.DATASET), st.sampled_from(("name", "digest", "context")))
    time = st.builds(Field, st.just(Scope.ATTRIBUTE), st.sampled_from(("start_time", "end_time", "duration")))
    words = st.sampled_from((*TEXTS, "FINISHED", "ada", "r067"))
    leaf = st.one_of(
        st.builds(Comparison, metric, numeric, numbers),
        st.builds(Comparison, metric, one_of, st.lists(numbers, min_size=1, max_size=3).map(tuple)),
        st.builds(Comparison, time, numeric, times),
        st.builds(Comparison, time, one_of, st.lists(times, min_size=1, max_size=3).map(tuple)),
        st.builds(Comparison, metric | text | time | dataset, null),
        st.builds(Comparison, text, numeric, words),
        st.builds(Comparison, text, one_of, st.lists(words, min_size=1, max_size=3).map(tuple)),
        st.builds(Comparison, text | dataset, st.sampled_from((Op.LIKE, Op.ILIKE)), patterns),
        st.builds(Comparison, text, st.just(Op.MATCHES), st.sampled_from(("^x", "x$", "[Xé]", "^.{2,70}$"))),
        st.builds(Comparison, dataset, st.sampled_from((Op.EQ, Op.NE)), st.sampled_from(("d", "1", "train"))),
        st.builds(Comparison, dataset, one_of, st.just(("d", "2", "eval"))),
    )
    return st.recursive(
        leaf,
        lambda inner: (
            st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple))
            | st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple))
            | st.builds(Not, inner)
        ),
        max_leaves=5,
    )


def orders() -> st.SearchStrategy[tuple[OrderKey, ...]]:
    """Return up to two different order keys."""
    fields = st.one_of(
        st.builds(Field, st.sampled_from((Scope.METRIC, Scope.PARAM, Scope.TAG)), st.sampled_from((*KEYS, "c"))),
        st.builds(
            Field,
            st.just(Scope.ATTRIBUTE),
            st.sampled_from(("start_time", "end_time", "run_id", "status", "user_id", "duration")),
        ),
    )
    keys = st.builds(OrderKey, fields, st.booleans())
    return st.lists(keys, max_size=2, unique_by=lambda key: key.field).map(tuple)


def expected(
    found: list[FakeRun],
    experiments: tuple[str, ...] | None,
    where: Condition | None,
    order: tuple[OrderKey, ...],
    view: str,
) -> list[int]:
    """Return the rows a search finds, in order."""
    stages = {"ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",), "ALL": ("active", "deleted")}[view]
    shown = [run for run in found if run.stage in stages and (experiments is None or run.experiment in experiments)]
    kept = [run for run in shown if where is None or _holds(run, where)]
    newest = sorted(kept, key=lambda run: (-run.start_time, run.run_id))
    return [run.row for run in sorted(newest, key=functools.cmp_to_key(functools.partial(_compare, order)))]


def store_runs(connection: Connection, found: list[FakeRun]) -> None:
    """Make these the only runs there are."""
    for table in (tables.run_datasets, tables.datasets, tables.latest, tables.params, tables.tags, tables.runs):
        connection.execute(delete(table))
    connection.execute(delete(tables.metric_keys))
    connection.execute(delete(tables.experiments))
    connection.execute(insert(tables.metric_keys), [{"id": i + 1, "key": key} for i, key in enumerate(KEYS)])
    connection.execute(
        insert(tables.experiments),
        [
            {
                "id": int(e),
                "name": e,
                "artifact_location": "",
                "lifecycle_stage": "active",
                "created_at": 0,
                "updated_at": 0,
            }
            for e in EXPERIMENTS
        ],
    )
    rows: dict[Any, list[dict[str, Any]]] = {}
    datasets: dict[tuple[str, str, str], int] = {}
    for run in found:
        at = {"run": run.row, "experiment": int(run.experiment)}
        rows.setdefault(tables.runs, []).append(
            {
                "id": run.row,
                "run_id": run.run_id,
                "experiment": int(run.experiment),
                "run_name": "any",
                "user_id": run.user_id,
                "status": run.status,
                "lifecycle_stage": run.stage,
                "start_time": run.start_time,
                "end_time": run.end_time,
                "artifact_uri": "",
                "attempt": 0,
            }
        )
        for key, value in run.metrics.items():
            is_nan = math.isnan(value)
            point = {"key": KEYS.index(key) + 1, "step": 0, "timestamp": 0, "value": 0.0 if is_nan else value}
            rows.setdefault(tables.latest, []).append({**at, **point, "is_nan": is_nan, "start_time": run.start_time})
        for table, pairs in ((tables.params, run.params), (tables.tags, run.tags)):
            rows.setdefault(table, []).extend({**at, "key": key, "value": value} for key, value in pairs.items())
        for name, digest, context in run.datasets:
            row = datasets.setdefault((run.experiment, name, digest), len(datasets) + 1)
            rows.setdefault(tables.run_datasets, []).append(
                {"run": run.row, "dataset": row, "context": context, "tags": "{}"}
            )
    rows[tables.datasets] = [
        {"id": row, "experiment": int(e), "name": name, "digest": digest, "source_type": "", "source": ""}
        for (e, name, digest), row in datasets.items()
    ]
    for table in (tables.runs, tables.latest, tables.params, tables.tags, tables.datasets, tables.run_datasets):
        if rows.get(table):
            connection.execute(insert(table), rows[table])


def _holds(run: FakeRun, where: Condition) -> bool:
    match where:
        case And(items):
            return all(_holds(run, item) for item in items)
        case Or(items):
            return any(_holds(run, item) for item in items)
        case Not(item):
            return not _holds(run, item)
        case Comparison(Field(Scope.DATASET, key), op, value):
            index = ("name", "digest", "context").index(key)
            values = [one[index] for one in run.datasets if one[index] is not None]
            if op in (Op.IS_NULL, Op.IS_NOT_NULL):
                return bool(values) is (op is Op.IS_NOT_NULL)
            return any(_fits(one, op, value) for one in values)
        case Comparison(wanted, op, value):
            found = run.tags.get("mlflow.runName") if wanted.key == "run_name" else _value(run, wanted)
            if op in (Op.IS_NULL, Op.IS_NOT_NULL):
                return (found is None) is (op is Op.IS_NULL)
            return found is not None and _fits(found, op, value)


def _fits(found: Any, op: Op, value: Any) -> bool:
    if isinstance(found, str) and op in (Op.LT, Op.LE, Op.GT, Op.GE):
        found, value = found.encode(), value.encode()
    match op:
        case Op.EQ:
            return bool(found == value)
        case Op.NE:
            return bool(found != value)
        case Op.LT:
            return bool(found < value)
        case Op.LE:
            return bool(found <= value)
        case Op.GT:
            return bool(found > value)
        case Op.GE:
            return bool(found >= value)
        case Op.IN:
            return found in value
        case Op.NOT_IN:
            return found not in value
        case Op.LIKE | Op.ILIKE:
            pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in value)
            flags = re.DOTALL | (re.IGNORECASE | re.ASCII if op is Op.ILIKE else 0)
            return re.fullmatch(pattern, found, flags) is not None
        case _:
            return re.search(value, found) is not None


def _value(run: FakeRun, wanted: Field) -> Any:
    match wanted:
        case Field(Scope.METRIC, key):
            return run.metrics.get(key)
        case Field(Scope.PARAM, key):
            return run.params.get(key)
        case Field(Scope.TAG, key):
            return run.tags.get(key)
        case Field(_, "duration"):
            return None if run.end_time is None else run.end_time - run.start_time
        case Field(_, key):
            return getattr(run, key)


def _compare(order: tuple[OrderKey, ...], one: FakeRun, other: FakeRun) -> int:
    for key in order:
        first, second = (_placed(_value(run, key.field)) for run in (one, other))
        if first[0] != second[0]:
            return first[0] - second[0]
        if first[1] != second[1]:
            return 1 if (first[1] > second[1]) is not key.is_descending else -1
    return 0


def _placed(value: Any) -> tuple[int, Any]:
    if value is None:
        return 2, 0
    if isinstance(value, float) and math.isnan(value):
        return 1, 0
    return 0, value.encode() if isinstance(value, str) else value
