"""MLflow's filters and orders, as its own server reads them.

Comparisons joined by AND; nothing is escaped inside quotes; numbers are never quoted, texts always are. What is
refused there is refused here, in like words that also name the column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.entities.errors import UsageError
from penstock.rules.filters.clauses import Clause, parse_clauses
from penstock.rules.filters.grammar import Grammar, compare
from penstock.rules.filters.logged_models import logged_model_clause
from penstock.rules.filters.orders import check_keys, parse_orders, read_order, refuse_twice
from penstock.rules.filters.tree import Comparison, Condition, Field, OrderKey, Scope

_RUN_SCOPES: Mapping[str, Scope] = {
    **dict.fromkeys(("metric", "metrics"), Scope.METRIC),
    **dict.fromkeys(("parameter", "parameters", "param", "params"), Scope.PARAM),
    **dict.fromkeys(("tag", "tags"), Scope.TAG),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), Scope.ATTRIBUTE),
    **dict.fromkeys(("dataset", "datasets"), Scope.DATASET),
}
_OTHER_SCOPES: Mapping[str, Scope] = {"attribute": Scope.ATTRIBUTE, "tag": Scope.TAG, "tags": Scope.TAG}


def _names(*names: str, **aliases: str) -> dict[str, str]:
    return {**{name: name for name in names}, **aliases}


_RUN_ATTRIBUTES = {
    **_names("run_id", "run_name", "user_id", "status", "start_time", "end_time", "artifact_uri"),
    **dict.fromkeys(("created", "Created"), "start_time"),
}
_RUN_NAMES = dict.fromkeys(("run name", "Run name", "Run Name"), "run_name")

RUNS = Grammar(
    scopes=_RUN_SCOPES,
    attributes={**_RUN_ATTRIBUTES, **_RUN_NAMES},
    numeric=frozenset({"start_time", "end_time"}),
    listed=frozenset({"run_id"}),
    nullable=frozenset({Scope.TAG, Scope.PARAM}),
    has_quoted_scopes=True,
)
_RUN_ORDER = Grammar(scopes=_RUN_SCOPES, attributes=_RUN_ATTRIBUTES, has_quoted_scopes=True)
_TIMES = frozenset({"creation_time", "last_update_time"})
EXPERIMENTS = Grammar(
    scopes=_OTHER_SCOPES,
    attributes=_names("name", "experiment_id", "creation_time", "last_update_time"),
    numeric=_TIMES,
    whole=_TIMES,
    listed=frozenset({"experiment_id"}),
    nullable=frozenset({Scope.TAG}),
    is_case_kept=True,
)
MODELS = Grammar(
    scopes=_OTHER_SCOPES, attributes=_names("name"), listed=frozenset({"name"}), has_quoted_attributes=False
)
VERSIONS = Grammar(
    scopes=_OTHER_SCOPES,
    attributes=_names("name", "version_number", "run_id", "source_path"),
    numeric=frozenset({"version_number"}),
    whole=frozenset({"version_number"}),
    listed=frozenset({"name", "run_id"}),
    has_quoted_attributes=False,
)
_VERSION_ORDER = Grammar(
    scopes=_OTHER_SCOPES,
    attributes=_names("name", "version_number", "creation_timestamp", "last_updated_timestamp"),
)
_MODEL_ORDER = {
    "name": "name",
    "timestamp": "last_updated_timestamp",
    "last_updated_timestamp": "last_updated_timestamp",
}


def parse_run_filter(text: str | None) -> Condition | None:
    """Return what a filter of runs says, None for an empty one, or raise UsageError."""
    return _parse(text, RUNS)


def parse_run_order(texts: Sequence[str]) -> tuple[OrderKey, ...]:
    """Return the order of runs, or raise UsageError."""
    return parse_orders(texts, _RUN_ORDER)


def parse_experiment_filter(text: str | None) -> Condition | None:
    """Return what a filter of experiments says, None for an empty one, or raise UsageError.

    Ids come as decimal texts.
    """
    return _parse(text, EXPERIMENTS)


def parse_experiment_order(texts: Sequence[str]) -> tuple[OrderKey, ...]:
    """Return the order of experiments, all attributes, or raise UsageError."""
    return _attributes_only(parse_orders(texts, EXPERIMENTS, refuses_twice=False))


def parse_model_filter(text: str | None) -> Condition | None:
    """Return what a filter of registered models says, None for an empty one, or raise UsageError."""
    return _parse(text, MODELS)


def parse_model_order(texts: Sequence[str]) -> tuple[OrderKey, ...]:
    """Return the order of registered models by ``name`` and ``last_updated_timestamp``, or raise UsageError."""
    check_keys(texts)
    found: list[OrderKey] = []
    for text in texts:
        name, is_descending = read_order(text)
        key = _MODEL_ORDER.get(name.text)
        if key is None:
            raise UsageError(f"Invalid order by key '{name.text[:60]}' specified. Valid keys are ['name', 'timestamp']")
        found.append(OrderKey(Field(Scope.ATTRIBUTE, key), is_descending))
    refuse_twice([key.field for key in found])
    return tuple(found)


def parse_version_filter(text: str | None) -> Condition | None:
    """Return what a filter of model versions says, None for an empty one, or raise UsageError."""
    return _parse(text, VERSIONS)


def parse_version_order(texts: Sequence[str]) -> tuple[OrderKey, ...]:
    """Return the order of model versions, all attributes, or raise UsageError."""
    return _attributes_only(parse_orders(texts, _VERSION_ORDER))


def parse_logged_model_filter(text: str | None) -> Condition | None:
    """Return what a filter of logged models says, None for an empty one, or raise UsageError."""
    return parse_clauses(text, logged_model_clause)


def _parse(text: str | None, grammar: Grammar) -> Condition | None:
    def build(clause: Clause) -> Comparison:
        return compare(clause, grammar)

    return parse_clauses(text, build)


def _attributes_only(keys: tuple[OrderKey, ...]) -> tuple[OrderKey, ...]:
    for key in keys:
        if key.field.scope is not Scope.ATTRIBUTE:
            raise UsageError(f"Invalid order_by entity: {key.field.scope}")
    return keys
