"""From what a caller selects to a query of runs: experiments found, filter read, names checked.

Shared by the search, which answers a page, and the export, which answers all of them. What is wrong is a problem at
the member it is in; a name that no run has finds nothing and is remarked on, with the nearest that one has: a query
that somebody repeats every night does not break where its runs are collected, or not there yet.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection

from penstock.access.actors import Actor
from penstock.entities.errors import NotFoundError, Problem, SpecError, UsageError
from penstock.entities.run_attributes import ATTRIBUTES
from penstock.entities.run_query import RunSelection
from penstock.rules.filters.extended import parse_filter, parse_order
from penstock.rules.filters.orders import check_keys
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Not, Op, Or, OrderKey, Scope
from penstock.rules.suggest import did_you_mean
from penstock.stores.metadata import experiments
from penstock.stores.metadata.engine.patterns import check_pattern
from penstock.stores.metadata.search import run_columns
from penstock.stores.metadata.search.run_columns import Columns
from penstock.stores.metadata.search.run_search import FoundRuns, RunQuery, find_runs

T = TypeVar("T")

VIEWS = {"active": "ACTIVE_ONLY", "deleted": "DELETED_ONLY", "all": "ALL"}
MAX_EXPERIMENTS_NAMED = 1000
MAX_NAMES_COMPARED = 1000
_KINDS = {Scope.METRIC: "metrics", Scope.PARAM: "params", Scope.TAG: "tags"}
_WORDS = {Scope.METRIC: "metric", Scope.PARAM: "parameter", Scope.TAG: "tag"}


@dataclass(frozen=True, slots=True)
class Selected:
    """What was selected, ready to be asked.

    Parameters
    ----------
    warnings : tuple of str
        What is to be said of each name that no run has.
    """

    query: RunQuery
    columns: Columns
    warnings: tuple[str, ...] = ()


def read_selection(connection: Connection, selection: RunSelection, actor: Actor) -> Selected:
    """Return the query a selection means to this caller.

    Raises
    ------
    SpecError
        With a pointer to ``/filter``, ``/order_by/0``, ``/experiments/0`` or ``/columns/…``.
    ForbiddenError
        If the caller may not see one of the experiments.
    """
    ids = _find_experiments(connection, selection.experiments, actor)
    where = _at("/filter", lambda: _read_filter(selection.filter))
    _at("/order_by", partial(check_keys, selection.order_by))
    order = tuple(
        _at(f"/order_by/{index}", partial(parse_order, [text]))[0] for index, text in enumerate(selection.order_by)
    )
    _refuse_twice(order)
    warnings: list[str] = []
    for field in dict.fromkeys(_fields(where)):
        warnings += _remark(connection, field, ids)
    for key in order:
        warnings += _remark(connection, key.field, ids)
    chosen = selection.columns
    for index, name in enumerate(chosen.attributes if chosen.attributes != "*" else ()):
        if name not in ATTRIBUTES:
            hint = did_you_mean(name, ATTRIBUTES) or f"They have {', '.join(ATTRIBUTES)}."
            raise SpecError([Problem(f'runs have no attribute "{name}"', f"/columns/attributes/{index}", hint=hint)])
    columns = Columns(*(_names(part) for part in (chosen.attributes, chosen.metrics, chosen.params, chosen.tags)))
    query = RunQuery(experiments=ids, where=where, order=order, view=VIEWS[selection.view])
    return Selected(query, columns, tuple(dict.fromkeys(warnings)))


def find_page(connection: Connection, selected: Selected, *, limit: int, following: str | None) -> FoundRuns:
    """Return a page of rows; ``following`` is what :func:`show_next` made of the page before."""
    after = _read_next(following, _print_of(selected.query)) if following else None
    return find_runs(connection, replace(selected.query, limit=limit, after=after))


def walk_pages(
    read: Callable[[], Any], selected: Selected, show: Callable[[Connection, list[int]], T], *, size: int
) -> Iterator[T]:
    """Yield what ``show`` makes of each page of rows, in its snapshot; none is held while what was made is used."""
    query = replace(selected.query, limit=size)
    while True:
        with read() as connection:
            found = find_runs(connection, query)
            shown = show(connection, found.rows)
        yield shown
        if found.next is None:
            return
        query = replace(query, after=found.next)


def show_next(selected: Selected, found: FoundRuns) -> str | None:
    """Return the opaque ``next`` of a page, None on the last one."""
    if found.next is None:
        return None
    text = msgspec.json.encode([_print_of(selected.query), *found.next])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def names_of(connection: Connection, selected: Selected) -> Columns:
    """Return the columns with every ``all`` replaced by the names that the selected experiments have, sorted."""
    ids = selected.query.experiments
    columns = selected.columns

    def named(kind: str, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
        return tuple(run_columns.list_names(connection, kind, ids)) if wanted is None else wanted

    return Columns(
        attributes=ATTRIBUTES if columns.attributes is None else columns.attributes,
        metrics=named("metrics", columns.metrics),
        params=named("params", columns.params),
        tags=named("tags", columns.tags),
    )


def _find_experiments(connection: Connection, wanted: Sequence[str] | None, actor: Actor) -> tuple[str, ...] | None:
    if wanted is None:
        return None if actor.sees_all else (actor.experiment_id or "",)
    found = []
    for index, name in enumerate(wanted):
        experiment_id = _find_experiment(connection, name)
        if experiment_id is None:
            seen = experiments.list_experiments(connection, limit=MAX_EXPERIMENTS_NAMED) if actor.sees_all else []
            known = [one.name for one in seen]
            hint = did_you_mean(name, known) or "List them with: penstock experiment list"
            raise SpecError([Problem(f'no experiment has the name or id "{name}"', f"/experiments/{index}", hint=hint)])
        actor.check_experiment(experiment_id)
        found.append(experiment_id)
    return tuple(found)


def _find_experiment(connection: Connection, name: str) -> str | None:
    named = experiments.find_experiment_by_name(connection, name)
    if named is not None:
        return named.experiment_id
    try:
        return experiments.get_experiment(connection, name).experiment_id
    except NotFoundError:
        return None


def _remark(connection: Connection, field: Field, ids: tuple[str, ...] | None) -> list[str]:
    """Return what to say of a name that no run has, with the name that was perhaps meant."""
    kind = _KINDS.get(field.scope)
    if kind is None or field.key.startswith("mlflow."):  # its clients set those, nobody misspells them
        return []
    if kind == "metrics":
        is_there = run_columns.has_metric(connection, field.key, ids)
    else:
        is_there = run_columns.has_pair(connection, kind, field.key, ids)
    if is_there:
        return []
    message = f'no run here has a {_WORDS[field.scope]} "{field.key}"'
    hint = did_you_mean(field.key, run_columns.list_names(connection, kind, ids, limit=MAX_NAMES_COMPARED))
    return [f"{message}. {hint}" if hint else message]


def _read_filter(text: str) -> Condition | None:
    where = parse_filter(text)
    for item in _comparisons(where):
        if item.op is Op.MATCHES:
            check_pattern(str(item.value))
    return where


def _fields(where: Condition | None) -> Iterator[Field]:
    return (item.field for item in _comparisons(where))


def _comparisons(where: Condition | None) -> Iterator[Comparison]:
    match where:
        case Comparison():
            yield where
        case Not(item):
            yield from _comparisons(item)
        case And(items) | Or(items):
            for item in items:
                yield from _comparisons(item)


def _at(pointer: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except SpecError:
        raise
    except UsageError as error:
        raise SpecError([Problem(error.message, pointer, hint=error.hint)]) from error


def _refuse_twice(order: Sequence[OrderKey]) -> None:
    seen: set[Field] = set()
    for index, key in enumerate(order):
        if key.field in seen:
            raise SpecError([Problem(f'"{key.field.key}" is ordered by twice', f"/order_by/{index}")])
        seen.add(key.field)


def _names(wanted: tuple[str, ...] | str) -> tuple[str, ...] | None:
    return None if isinstance(wanted, str) else tuple(dict.fromkeys(wanted))


def _print_of(query: RunQuery) -> str:
    """Return what tells one search from another, so that a place in the one is not taken for one in the other."""
    text = repr((query.experiments, query.where, query.order, query.view))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _read_next(text: str, expected: str) -> tuple[Any, ...]:
    try:
        found, *after = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=list[Any])
    except (ValueError, RecursionError) as error:
        raise UsageError("`next` is not one that a page carried", hint="Leave it out for the first page.") from error
    if found != expected:
        raise UsageError("`next` belongs to another search", hint="Repeat it with the same filter, order and view.")
    return tuple(after)
