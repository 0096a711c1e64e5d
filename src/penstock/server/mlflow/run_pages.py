"""Pages of the runs that a search finds, as the protocol's JSON, encoded a few runs at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from sqlalchemy import Connection

from penstock.access.actors import Actor
from penstock.rules.filters.mlflow import parse_run_filter, parse_run_order
from penstock.server.mlflow.limits import USUAL_PAGE, check_page, read_view
from penstock.server.mlflow.paging import make_token, read_experiment_id, read_token
from penstock.server.mlflow.shown_inputs import shown_inputs, shown_outputs
from penstock.server.mlflow.wire import LARGEST, Json, SearchRuns
from penstock.server.readers.question import Question
from penstock.stores.metadata.datasets import RunInputs, inputs_of
from penstock.stores.metadata.search.run_pages import ShownRun, read_runs
from penstock.stores.metadata.search.run_search import RunQuery, find_runs


class RunsAsked(Struct, array_like=True):
    """What was sent, and by whom."""

    sent: SearchRuns
    actor: Actor


class _Info(Struct, gc=False):
    run_uuid: str
    run_id: str
    experiment_id: str
    run_name: str
    user_id: str
    status: str
    start_time: int
    artifact_uri: str
    lifecycle_stage: str
    end_time: int | UnsetType = UNSET


class _Metric(Struct, gc=False):
    key: str
    value: float | str
    timestamp: int
    step: int


class _Data(Struct, gc=False):
    metrics: list[_Metric] | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    tags: Raw | UnsetType = UNSET


class _Run(Struct, gc=False):
    info: _Info
    data: _Data
    inputs: Json
    outputs: Json


_encode = msgspec.json.Encoder().encode
_NONE = RunInputs()


def search_page(connection: Connection, asked: RunsAsked) -> Iterator[bytes]:
    """Yield a page of the runs that the caller may see."""
    sent, actor = asked.sent, asked.actor
    limit, offset, view = check_page(sent.max_results), read_token(sent.page_token), read_view(sent.run_view_type)
    wanted = tuple(read_experiment_id(str(experiment_id)) for experiment_id in sent.experiment_ids)
    if not actor.sees_all:
        wanted = tuple(experiment_id for experiment_id in wanted if experiment_id == actor.experiment_id)
    query = RunQuery(
        wanted,
        where=parse_run_filter(sent.filter),
        order=parse_run_order(sent.order_by),
        view=view,
        limit=limit,
        offset=offset,
    )
    found = find_runs(connection, query)
    following = None if found.next is None else make_token(offset + limit)
    if not found.rows:
        yield _encode({} if following is None else {"next_page_token": following})
        return
    yield b'{"runs":['
    yield from _pieces(connection, found.rows)
    yield b"]}" if following is None else b'],"next_page_token":%b}' % _encode(following)


SEARCH = Question("mlflow.runs.search", RunsAsked, search_page, lambda asked: asked.sent.max_results > USUAL_PAGE)


def encode_runs(connection: Connection, rows: Sequence[int]) -> Raw:
    """Return the JSON array of runs, given by their rows, in that order."""
    return Raw(b"[" + b"".join(_pieces(connection, rows)) + b"]")


def _pieces(connection: Connection, rows: Sequence[int]) -> Iterator[bytes]:
    is_first = True
    for part in read_runs(connection, rows):
        inputs = inputs_of(connection, [run.info.id for run in part.runs if run.has_inputs])
        encoded = _encode([_run(run, part.names, inputs.get(run.info.id, _NONE)) for run in part.runs])[1:-1]
        if encoded:
            yield encoded if is_first else b"," + encoded
            is_first = False


def _run(run: ShownRun, names: Mapping[int, str], inputs: RunInputs) -> _Run:
    row = run.info
    info = _Info(
        row.run_id,
        row.run_id,
        str(row.experiment),
        row.run_name,
        row.user_id,
        row.status,
        row.start_time,
        row.artifact_uri,
        row.lifecycle_stage,
        UNSET if row.end_time is None else row.end_time,
    )
    data = _Data(
        [
            _Metric(names[key], value if not is_nan and abs(value) <= LARGEST else _odd(value, is_nan), timestamp, step)
            for _, key, value, timestamp, step, is_nan in run.points
        ]
        or UNSET,
        Raw(run.params.encode()) if run.params else UNSET,
        Raw(run.tags.encode()) if run.tags else UNSET,
    )
    return _Run(info, data, shown_inputs(inputs), shown_outputs(inputs))


def _odd(value: float, is_nan: bool) -> float | str:
    return "NaN" if is_nan else math.copysign(LARGEST, value)
