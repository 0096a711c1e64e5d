"""The history of metrics: whole or in pages, of several runs, and sampled for a chart.

Points go from rows to JSON in chunks: a million of them never exist as objects at the same time.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from penstock.entities.errors import UsageError
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.limits import required
from penstock.server.mlflow.paging import read_token
from penstock.server.mlflow.wire import LARGEST, Json, OfRun
from penstock.stores.metadata.metric_history import Place, Row, read_history, sample_history
from penstock.stores.metadata.run_log import RunRow, find_row

MAX_RUNS = 100
MAX_BULK = 25_000
MAX_SAMPLES = 2500


class GetHistory(OfRun):
    """``metrics/get-history``."""

    metric_key: str = ""
    max_results: str | int = ""
    page_token: str = ""


class GetSamples(Struct):
    """``metrics/get-history-bulk-interval``; the runs are repeated members of the query."""

    metric_key: str = ""
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = MAX_SAMPLES


class GetBulk(Struct):
    """``metrics/get-history-bulk``; the runs are repeated members of the query."""

    metric_key: str = ""
    max_results: int = MAX_BULK


class _Point(Struct):
    key: str
    value: float | str
    timestamp: int
    step: int


class _PointOfRun(Struct):
    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str


class _Token(Struct):
    """A page token as the real server makes it, and where the page before ended, so that nothing is counted again."""

    offset: int
    after: Place | None = None


async def get_history(call: Call) -> Json:
    """Return a metric's points; those of an unknown run are none."""
    sent = await call.read(GetHistory)
    required(sent.run, "run_id")
    required(sent.metric_key, "metric_key")
    most, begin = _read_most(sent.max_results), _read_token(sent.page_token)
    if most is not None and most <= 0:
        raise UsageError(f"Invalid value {most} for parameter 'max_results' supplied. It must be a positive integer.")

    def question(connection: Connection) -> Json:
        run = _find(call, connection, sent.run)
        if run is None:
            return {}
        start = {"after": begin.after} if begin.after else {"offset": begin.offset}
        limit = None if most is None else most + 1
        encoded: list[bytes] = []
        count, last = 0, None
        for chunk in read_history(connection, run, sent.metric_key, limit=limit, **start):
            has_more = most is not None and count + len(chunk) > most
            shown = chunk[:-1] if has_more else chunk
            if shown:
                encoded.append(_encode(_Point(sent.metric_key, *_shown(row)) for row in shown))
                count, last = count + len(shown), shown[-1]
        answer: Json = {"metrics": _joined(encoded)} if encoded else {}
        if last is not None and has_more:
            answer["next_page_token"] = _make_token(begin.offset + count, last)
        return answer

    return await call.ask(question)


async def get_bulk(call: Call) -> Json:
    """Return a metric's points of up to 100 runs, run by run in the order of their ids."""
    sent = await call.read(GetBulk)
    run_ids = _read_runs(call, "run_id", "GetMetricHistoryBulk")
    required(sent.metric_key, "metric_key")
    most = min(sent.max_results, MAX_BULK)

    def question(connection: Connection) -> Json:
        encoded: list[bytes] = []
        left = most
        for run_id in sorted(set(run_ids)):
            run = _find(call, connection, run_id) if left > 0 else None
            if run is not None:
                for chunk in read_history(connection, run, sent.metric_key, limit=left):
                    left -= len(chunk)
                    encoded.append(_encode(_PointOfRun(sent.metric_key, *_shown(row), run_id) for row in chunk))
        return {"metrics": _joined(encoded)}

    return await call.ask(question)


async def get_samples(call: Call) -> Json:
    """Return points spread evenly over a metric's history, for each of up to 100 runs."""
    sent = await call.read(GetSamples)
    run_ids = _read_runs(call, "run_ids", "GetMetricHistoryBulkInterval")
    required(sent.metric_key, "metric_key")
    if not 1 <= sent.max_results <= MAX_SAMPLES:
        raise UsageError(f"max_results must be between 1 and {MAX_SAMPLES}.")
    steps = _read_steps(sent.start_step, sent.end_step)

    def question(connection: Connection) -> Json:
        encoded: list[bytes] = []
        for run_id in run_ids:
            run = _find(call, connection, run_id)
            if run is None:
                continue
            rows = sample_history(connection, run, sent.metric_key, limit=sent.max_results, steps=steps)
            if rows:
                encoded.append(_encode(_PointOfRun(sent.metric_key, *_shown(row), run_id) for row in rows))
        return {"metrics": _joined(encoded)} if encoded else {}

    return await call.ask(question)


def _find(call: Call, connection: Connection, run_id: str) -> RunRow | None:
    """Return a run the caller may read, None where there is none of that id."""
    if find_row(connection, run_id) is None:
        return None
    return call.open_run(connection, run_id, is_write=False)


def _read_runs(call: Call, name: str, request: str) -> list[str]:
    run_ids = call.request.query_params.getlist(name)
    if not run_ids:
        raise UsageError(f"Missing value for required parameter '{name}': {request} wants at least one run.")
    if len(run_ids) > MAX_RUNS:
        raise UsageError(f"{request} request cannot specify more than {MAX_RUNS} runs. Received {len(run_ids)} runs.")
    return run_ids


def _read_steps(start: int | None, end: int | None) -> tuple[int, int] | None:
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise UsageError("If either start step or end step are specified, both must be specified.")
    if start > end:
        raise UsageError(f"end_step must be greater than start_step. Found start_step={start} and end_step={end}.")
    return start, end


def _read_most(asked: str | int) -> int | None:
    """Return how many points were asked for; what is no number asks for all, as for MLflow."""
    try:
        return int(asked)
    except ValueError:
        return None


def _shown(row: Row) -> tuple[float | str, int, int]:
    value, is_nan, timestamp, step, _ = row
    if is_nan:
        return "NaN", timestamp, step
    return value if math.isfinite(value) else math.copysign(LARGEST, value), timestamp, step


def _encode(points: Iterator[Struct] | Iterable[Struct]) -> bytes:
    """Return the inner part of a JSON list."""
    return msgspec.json.encode(list(points))[1:-1]


def _joined(parts: list[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def _make_token(offset: int, last: Row) -> str:
    value, is_nan, timestamp, step, attempt = last
    # Infinity is no JSON; such a page is found by counting.
    after = Place(timestamp, step, value, bool(is_nan), attempt) if math.isfinite(value) else None
    return base64.b64encode(msgspec.json.encode(_Token(offset, after))).decode()


def _read_token(token: str) -> _Token:
    offset = read_token(token)
    if not token:
        return _Token(0)
    try:
        return msgspec.json.decode(base64.b64decode(token, validate=True), type=_Token)
    except (binascii.Error, msgspec.DecodeError):
        return _Token(offset)
