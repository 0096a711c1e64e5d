"""Pages of a metric's points as the protocol's JSON.

Points go from rows to JSON in chunks: a million of them never exist as objects at the same time.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from penstock.access.actors import Actor
from penstock.entities.errors import NotFoundError
from penstock.server.mlflow.paging import read_token
from penstock.server.mlflow.wire import LARGEST
from penstock.server.readers.question import Question
from penstock.stores.metadata.metric_history import Place, Row, read_history, sample_history
from penstock.stores.metadata.run_log import RunRow, find_row, unknown_run

LARGE = 10_000
"""More points than these are much to ask for."""


class _Point(Struct, gc=False):
    key: str
    value: float | str
    timestamp: int
    step: int


class _PointOfRun(Struct, gc=False):
    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str


class _Token(Struct):
    """A page token as the real server makes it, and where the page before ended, so that nothing is counted again."""

    offset: int
    after: Place | None = None


class HistoryAsked(Struct, array_like=True):
    """A page of one run's points, or all of them."""

    actor: Actor
    run_id: str
    key: str
    most: int | None
    page_token: str


class BulkAsked(Struct, array_like=True):
    """The points of some runs, up to a number."""

    actor: Actor
    run_ids: list[str]
    key: str
    most: int


class SamplesAsked(Struct, array_like=True):
    """Points spread evenly over each run's history."""

    actor: Actor
    run_ids: list[str]
    key: str
    most: int
    steps: tuple[int, int] | None


def history_page(connection: Connection, asked: HistoryAsked) -> Iterator[bytes]:
    """Yield points of one run; those of an unknown run are none."""
    begin = _read_token(asked.page_token)
    run = _find(asked.actor, connection, asked.run_id)
    if run is None:
        yield b"{}"
        return
    start = {"after": begin.after} if begin.after else {"offset": begin.offset}
    most = asked.most
    limit = None if most is None else most + 1
    count, last = 0, None
    for chunk in read_history(connection, run, asked.key, limit=limit, **start):
        has_more = most is not None and count + len(chunk) > most
        shown = chunk[:-1] if has_more else chunk
        if shown:
            yield b"," if count else b'{"metrics":['
            yield _encode(_Point(asked.key, *_shown(row)) for row in shown)
            count, last = count + len(shown), shown[-1]
    if last is None:
        yield b"{}"
    elif has_more:
        yield b'],"next_page_token":%b}' % _encoded(_make_token(begin.offset + count, last))
    else:
        yield b"]}"


def bulk_page(connection: Connection, asked: BulkAsked) -> bytes:
    """Return points run by run in the order of their ids."""
    encoded: list[bytes] = []
    left = asked.most
    for run_id in sorted(set(asked.run_ids)):
        run = _find(asked.actor, connection, run_id) if left > 0 else None
        if run is not None:
            for chunk in read_history(connection, run, asked.key, limit=left):
                left -= len(chunk)
                encoded.append(_encode(_PointOfRun(asked.key, *_shown(row), run_id) for row in chunk))
    return _encoded({"metrics": _joined(encoded)})


def samples_page(connection: Connection, asked: SamplesAsked) -> bytes:
    """Return points of each run, in the order the runs were named."""
    encoded: list[bytes] = []
    for run_id in asked.run_ids:
        run = _find(asked.actor, connection, run_id)
        if run is None:
            continue
        rows = sample_history(connection, run, asked.key, limit=asked.most, steps=asked.steps)
        if rows:
            encoded.append(_encode(_PointOfRun(asked.key, *_shown(row), run_id) for row in rows))
    return _encoded({"metrics": _joined(encoded)} if encoded else {})


HISTORY = Question(
    "mlflow.metrics.history", HistoryAsked, history_page, lambda asked: asked.most is None or asked.most > LARGE
)
BULK = Question("mlflow.metrics.bulk", BulkAsked, bulk_page, lambda asked: asked.most > LARGE)
SAMPLES = Question(
    "mlflow.metrics.samples", SamplesAsked, samples_page, lambda asked: asked.most * len(asked.run_ids) > LARGE
)


def _find(actor: Actor, connection: Connection, run_id: str) -> RunRow | None:
    """Return a run the caller may read, None where there is none of that id."""
    row = find_row(connection, run_id)
    if row is not None:
        try:
            actor.check_experiment(str(row.experiment), unknown_run(run_id))
        except NotFoundError:
            return None
    return row


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
    except (ValueError, RecursionError):
        return _Token(offset)


_encoded = msgspec.json.Encoder().encode
