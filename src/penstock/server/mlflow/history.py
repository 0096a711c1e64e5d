"""The history of metrics: whole or in pages, of several runs, and sampled for a chart."""

from __future__ import annotations

from msgspec import Raw, Struct
from starlette.responses import Response

from penstock.entities.errors import UsageError
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.limits import required
from penstock.server.mlflow.metric_pages import BULK, HISTORY, SAMPLES, BulkAsked, HistoryAsked, SamplesAsked
from penstock.server.mlflow.paging import read_token
from penstock.server.mlflow.wire import OfRun

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


async def get_history(call: Call) -> Raw | Response:
    """Return a metric's points; those of an unknown run are none."""
    sent = await call.read(GetHistory)
    required(sent.run, "run_id")
    required(sent.metric_key, "metric_key")
    most = _read_most(sent.max_results)
    read_token(sent.page_token)
    if most is not None and most <= 0:
        raise UsageError(f"Invalid value {most} for parameter 'max_results' supplied. It must be a positive integer.")
    return await call.answer(HISTORY, HistoryAsked(call.actor, sent.run, sent.metric_key, most, sent.page_token))


async def get_bulk(call: Call) -> Raw | Response:
    """Return a metric's points of up to 100 runs, run by run in the order of their ids."""
    sent = await call.read(GetBulk)
    run_ids = _read_runs(call, "run_id", "GetMetricHistoryBulk")
    required(sent.metric_key, "metric_key")
    return await call.answer(BULK, BulkAsked(call.actor, run_ids, sent.metric_key, min(sent.max_results, MAX_BULK)))


async def get_samples(call: Call) -> Raw | Response:
    """Return points spread evenly over a metric's history, for each of up to 100 runs."""
    sent = await call.read(GetSamples)
    run_ids = _read_runs(call, "run_ids", "GetMetricHistoryBulkInterval")
    required(sent.metric_key, "metric_key")
    if not 1 <= sent.max_results <= MAX_SAMPLES:
        raise UsageError(f"max_results must be between 1 and {MAX_SAMPLES}.")
    steps = _read_steps(sent.start_step, sent.end_step)
    return await call.answer(SAMPLES, SamplesAsked(call.actor, run_ids, sent.metric_key, sent.max_results, steps))


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
