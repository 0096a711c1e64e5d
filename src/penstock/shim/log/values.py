"""Metrics, parameters and tags: one line of the spool each."""

from __future__ import annotations

import math
import os
import threading
from typing import Any, Iterable, Mapping

from ..mistakes import forgiven, forgiving, say_mistake
from ..spool import current
from .checks import MAX_STEP, checked_key, checked_mapping, checked_number, checked_step

MAX_PARAM, MAX_TAG = 6000, 8000  # characters, as MLflow has them
_steps: dict[str, int] = {}
_steps_lock = threading.Lock()


@forgiving
def log_metric(name: str, value: Any, step: int | None = None) -> None:
    """Log one value of a metric.

    Parameters
    ----------
    name : str
        Letters, digits and ``_ - . space : /``.
    value : number
        Anything ``float`` takes, and arrays of one element; NaN and infinities are kept.
    step : int, optional
        Its place on the x axis; by default one more than the last of this name in this process, from 0.
    """
    _log_metric(checked_key(name), checked_number(value, name), step)


@forgiving
def log_metrics(metrics: Mapping[str, Any], step: int | None = None) -> None:
    """Log several metrics at the same step; one that is none is left out, and the others are kept."""
    chosen = None if step is None else checked_step(step)
    for name, value in _numbers("log_metrics", checked_mapping(metrics)).items():
        _log_metric(name, value, chosen)


@forgiving
def log_param(name: str, value: Any) -> None:
    """Log a parameter as text; it keeps its first value for the whole run."""
    _log_text("param", checked_key(name), value, MAX_PARAM)


@forgiving
def log_params(params: Mapping[str, Any]) -> None:
    """Log several parameters."""
    for name, value in checked_mapping(params).items():
        log_param(name, value)


@forgiving
def set_tag(name: str, value: Any) -> None:
    """Set a tag of the run as text; the last value counts."""
    _log_text("tag", checked_key(name), value, MAX_TAG)


@forgiving
def set_tags(tags: Mapping[str, Any]) -> None:
    """Set several tags."""
    for name, value in checked_mapping(tags).items():
        set_tag(name, value)


@forgiving
def log_list(name: str, values: Iterable[Any]) -> None:
    """Log a metric's values at once, at steps 0, 1, 2, …; one that is no number leaves its step out."""
    if isinstance(values, (str, bytes)):
        raise TypeError("the values of %r are numbers, not text" % (name,))
    key = checked_key(name)
    checked = []
    for step, value in enumerate(values):
        with forgiven("log_list"):
            checked.append((step, checked_number(value, "%s[%d]" % (key, step))))
    for step, number in checked:
        _log_metric(key, number, step)


@forgiving
def log_row(name: str, **columns: Any) -> None:
    """Log one row of a table of numbers: each column is the metric ``<name>.<column>``, each call the next step."""
    checked_key(name)
    checked = _numbers("log_row", {"%s.%s" % (name, column): value for column, value in columns.items()})
    step = _next_step(name, None)
    for column, value in checked.items():
        _log_metric(column, value, step)


def _numbers(call: str, values: Mapping[Any, Any]) -> dict[str, float]:
    """Return those that are metrics; a strict program hears of the others before anything is logged."""
    found = {}
    for name, value in values.items():
        with forgiven(call):
            found[checked_key(name)] = checked_number(value, name)
    return found


def _log_text(kind: str, name: str, value: Any, most: int) -> None:
    try:
        text = str(value)
    except ValueError:
        if not isinstance(value, int):
            raise
        text = hex(value)  # Python writes no more than 4300 digits
    spool = current()
    if spool is None:
        return
    if len(text) > most:
        call = "log_param" if kind == "param" else "set_tag"
        say_mistake(call, "the %s %r is cut to %d characters" % (kind, name, most))
        text = text[:most]
    if kind == "param":
        known = spool.params.setdefault(name, text)
        if known != text:
            raise ValueError(
                "the param %r is %r and keeps it; %r is left out. What changes is a metric or a tag"
                % (name, known[:60], text[:60])
            )
    spool.append({kind: [name, text]})


def _log_metric(name: str, value: float, step: int | None) -> None:
    spool = current()
    step = _next_step(name, step)
    if spool is None:
        return
    sent: float | str = value
    if not math.isfinite(value):
        sent = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    spool.append({"metric": [name, sent, step]})


def _next_step(name: str, step: int | None) -> int:
    with _steps_lock:
        chosen = min(_steps.get(name, -1) + 1, MAX_STEP) if step is None else checked_step(step)
        _steps[name] = chosen
    return chosen


def _renew_lock() -> None:
    """Give a forked process a lock that nobody holds: the thread that held it was not forked."""
    global _steps_lock
    _steps_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
