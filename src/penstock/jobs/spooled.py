"""What a command logged without waiting: the lines of its spool, applied to its run.

A line that cannot be kept is left out, and the job's owner hears why; it never holds up the lines behind it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from penstock.entities.attempt import Attempt
from penstock.entities.errors import PenstockError
from penstock.entities.run import Metric
from penstock.rules.run_keys import find_key_fault
from penstock.stores.metadata import runs

logger = logging.getLogger(__name__)

MAX_PARAM = 6000
MAX_TAG = 8000
INT64 = 1 << 63
MAX_REASONS = 20
MAX_REASON = 500  # characters
DAMAGED = (ValueError, TypeError, KeyError, OverflowError, RecursionError, PenstockError)


def apply_lines(connection: Connection, attempt: Attempt, lines: Iterable[str]) -> list[str]:
    """Log what the lines say, in the open transaction: metrics in one batch, each parameter and tag by itself.

    Returns
    -------
    list of str
        Why lines were left out, each reason once and 20 at most.
    """
    metrics: list[Metric] = []
    reasons: dict[str, None] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            if "metric" in entry:
                metrics.append(_metric(entry))
            elif "param" in entry:
                key, value = entry["param"]
                _log(connection, attempt, params={_key(key): str(value)[:MAX_PARAM]})
            elif "tag" in entry:
                key, value = entry["tag"]
                _log(connection, attempt, tags={_key(key): str(value)[:MAX_TAG]})
        except DAMAGED as error:
            _leave_out(attempt, error, reasons)
    try:
        _log(connection, attempt, metrics=metrics)
    except DAMAGED:
        for metric in metrics:
            try:
                _log(connection, attempt, metrics=[metric])
            except DAMAGED as error:
                _leave_out(attempt, error, reasons)
    return list(reasons)


def _metric(entry: dict[str, Any]) -> Metric:
    key, value, step = entry["metric"]
    metric = Metric(_key(key), float(value), int(entry["t"]), int(step or 0))
    if not (-INT64 <= metric.step < INT64 and 0 <= metric.timestamp < INT64):
        raise ValueError(f"step {metric.step} or time {metric.timestamp} of {metric.key!r} does not fit into 64 bits")
    return metric


def _key(key: Any) -> str:
    fault = find_key_fault(key) if isinstance(key, str) else "a name is text"
    if fault:
        raise ValueError(fault)
    return str(key)


def _log(connection: Connection, attempt: Attempt, **what: Any) -> None:
    if any(what.values()):
        with connection.begin_nested():
            runs.log_batch(connection, attempt.job_name, attempt=attempt.number, **what)


def _leave_out(attempt: Attempt, error: Exception, reasons: dict[str, None]) -> None:
    reason = " ".join(str(error).split())[:MAX_REASON]
    logger.warning("a logged line was left out: %s", reason, extra={"run_id": attempt.job_name})
    if len(reasons) < MAX_REASONS:
        reasons[reason] = None
