"""Metrics, parameters and tags: one line of the spool each."""

from __future__ import annotations

import math
import operator
import os
import threading
from typing import Any, Iterable, Mapping

from ..spool import current, warn_once
from .checks import checked_mapping, checked_name, checked_number, is_key

MAX_PARAM, MAX_TAG = 6000, 8000  # characters, as MLflow has them
LEAST_STEP, MAX_STEP = -(2**63), 2**63 - 1
_steps: dict[str, int] = {}
_steps_lock = threading.Lock()


def log_metric(name: str, value: Any, step: int | None = None) -> None:
    """Log one value of a metric.

    Parameters
    ----------
    name : str
        Letters, digits and ``_ - . space : /``.
    value : number
        Anything ``float`` takes but text; NaN and infinities are kept.
    step : int, optional
        Its place on the x axis; by default one more than the last of this name in this process, from 0.
    """
    _log_metric(checked_name(name), checked_number(value), step)


def log_metrics(metrics: Mapping[str, Any], step: int | None = None) -> None:
    """Log several metrics at the same step."""
    checked = {checked_name(name): checked_number(value) for name, value in checked_mapping(metrics).items()}
    for name, value in checked.items():
        _log_metric(name, value, step)


def log_param(name: str, value: Any) -> None:
    """Log a parameter as text; it keeps its first value for the whole run."""
    _log_text("param", checked_name(name), value, MAX_PARAM)


def log_params(params: Mapping[str, Any]) -> None:
    """Log several parameters."""
    for name, value in checked_mapping(params).items():
        log_param(name, value)


def set_tag(name: str, value: Any) -> None:
    """Set a tag of the run as text; the last value counts."""
    _log_text("tag", checked_name(name), value, MAX_TAG)


def set_tags(tags: Mapping[str, Any]) -> None:
    """Set several tags."""
    for name, value in checked_mapping(tags).items():
        set_tag(name, value)


def log_list(name: str, values: Iterable[Any]) -> None:
    """Log a metric's values at once, at steps 0, 1, 2, …."""
    if isinstance(values, (str, bytes)):
        raise TypeError("the values are numbers, not text")
    for step, value in enumerate([checked_number(value) for value in values]):
        _log_metric(checked_name(name), value, step)


def log_row(name: str, **columns: Any) -> None:
    """Log one row of a table of numbers: each column is the metric ``<name>.<column>``, each call the next step."""
    checked = {"%s.%s" % (checked_name(name), column): checked_number(value) for column, value in columns.items()}
    step = _next_step(name, None)
    for column, value in checked.items():
        _log_metric(column, value, step)


def _log_text(kind: str, name: str, value: Any, most: int) -> None:
    try:
        text = str(value)
    except ValueError:
        if not isinstance(value, int):
            raise
        text = hex(value)  # Python writes no more than 4300 digits
    spool = current()
    if spool is None or not is_key(name):
        return
    if len(text) > most:
        warn_once("the %s %r is cut to %d characters" % (kind, name, most), "cut " + kind)
    spool.append({kind: [name, text[:most]]})


def _log_metric(name: str, value: float, step: int | None) -> None:
    spool = current()
    step = _next_step(name, step)
    if spool is None or not is_key(name):
        return
    if not LEAST_STEP <= step <= MAX_STEP:
        warn_once("a value of the metric %r is left out: its step has more than 64 bits" % name, "step")
        return
    sent: float | str = value
    if not math.isfinite(value):
        sent = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    spool.append({"metric": [name, sent, step]})


def _next_step(name: str, step: int | None) -> int:
    with _steps_lock:
        chosen = _steps.get(name, -1) + 1 if step is None else operator.index(step)
        if LEAST_STEP <= chosen <= MAX_STEP:
            _steps[name] = chosen
    return chosen


def _renew_lock() -> None:
    """Give a forked process a lock that nobody holds: the thread that held it was not forked."""
    global _steps_lock
    _steps_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
