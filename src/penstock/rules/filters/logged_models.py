"""The clauses of a search over logged models, which MLflow reads by rules of their own.

Scopes are plural, texts may stand without quotes, and only single quotes are quotes.
"""

from __future__ import annotations

import re

from penstock.entities.errors import UsageError
from penstock.rules.filters.clauses import LIST_OPS, NUMBER_OPS, TEXT_OPS, Clause
from penstock.rules.filters.tree import Comparison, Field, Scope
from penstock.rules.suggest import did_you_mean

_SCOPES = {"attributes": Scope.ATTRIBUTE, "metrics": Scope.METRIC, "params": Scope.PARAM, "tags": Scope.TAG}
_ATTRIBUTES = (
    "name",
    "model_id",
    "model_type",
    "status",
    "status_message",
    "source_run_id",
    "experiment_id",
    "artifact_location",
    "lifecycle_stage",
)
_TIMES = {
    "creation_time": "creation_timestamp",
    "creation_timestamp": "creation_timestamp",
    "creation_timestamp_ms": "creation_timestamp",
    "last_updated_timestamp": "last_updated_timestamp",
    "last_updated_timestamp_ms": "last_updated_timestamp",
}
_NAME = re.compile(r"([a-z]+)\.(.+)", re.DOTALL)


def logged_model_clause(clause: Clause) -> Comparison:
    """Return what a clause says, or raise UsageError.

    Times are ``creation_timestamp`` and ``last_updated_timestamp``.
    """
    field = _field(clause)
    is_numeric = field.scope is Scope.METRIC or field.key in _TIMES.values()
    allowed = NUMBER_OPS if is_numeric and field.scope in (Scope.METRIC, Scope.ATTRIBUTE) else TEXT_OPS | LIST_OPS
    if clause.op is None or clause.op not in allowed:
        raise UsageError(
            f"Invalid comparison operator for {clause.name.text[:60]}: {clause.operator.text[:20]!r} at column "
            f"{clause.operator.column}. Expected one of {[op.value for op in sorted(allowed)]}."
        )
    assert clause.value is not None
    if (clause.op in LIST_OPS) is not (clause.items is not None):
        raise UsageError(f"Invalid comparison at column {clause.operator.column}: only IN takes a list.")
    if clause.items is not None:
        return Comparison(field, clause.op, clause.items)
    text = clause.value.text
    if allowed is NUMBER_OPS:
        return Comparison(field, clause.op, _number(text, clause))
    return Comparison(field, clause.op, text.strip("'"))


def _field(clause: Clause) -> Field:
    text = clause.name.text
    found = _NAME.fullmatch(text)
    if found is None:
        key = _TIMES.get(text, text).strip("`")
        return _attribute(key, clause, key in _TIMES)
    scope = _SCOPES.get(found[1])
    if scope is None:
        raise UsageError(
            f"Invalid entity type: {found[1][:60]!r} at column {clause.name.column}. Expected one of {list(_SCOPES)}.",
            hint=did_you_mean(found[1], _SCOPES),
        )
    key = found[2].strip("`")
    return _attribute(key, clause, key.endswith("_ms")) if scope is Scope.ATTRIBUTE else Field(scope, key)


def _attribute(key: str, clause: Clause, is_time: bool) -> Field:
    if is_time and key in _TIMES:
        return Field(Scope.ATTRIBUTE, _TIMES[key])
    if key not in _ATTRIBUTES:
        known = [*_ATTRIBUTES, "creation_timestamp", "last_updated_timestamp"]
        raise UsageError(
            f"Invalid logged model attribute {key[:60]!r} at column {clause.name.column}. Expected one of {known}.",
            hint=did_you_mean(key, known),
        )
    return Field(Scope.ATTRIBUTE, key)


def _number(text: str, clause: Clause) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(
            f"Expected a number for {clause.name.text[:60]} at column {clause.operator.column}, not {text[:60]!r}."
        ) from error
