"""The bodies of MLflow's ``/invocations`` taken apart: four JSON forms and CSV; what a model makes of it is not here.

The rules, texts of content types and codes are those of ``mlflow.pyfunc.scoring_server``. Parquet, which needs a reader
that no model without code brings along, is refused.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from penstock.inference.contract import BadInputError, suggest

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
CSV, JSON = "text/csv", "application/json"
MOST_SPARSE, MAX_EMPTY_CELLS = 16, 1 << 16
"""A table of records may have so many times the cells that were sent, and so many more."""
_SPLIT_KEYS = ("columns", "index", "data")
_decode = msgspec.json.Decoder().decode


class UnsupportedTypeError(Exception):
    """A content type that is not taken: 415, whose text is the message."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with or without names of columns; ``is_text`` says that the cells are text as CSV has it."""

    columns: Sequence[str] | None
    rows: Sequence[Sequence[Any]]
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Invocation:
    """What was sent: a table, or tensors (a mapping by name, or the only one)."""

    kind: Literal["table", "tensors"]
    table: Table = field(default_factory=lambda: Table(None, ()))
    tensors: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)


def parse(body: bytes, content_type: str) -> Invocation:
    """Return what a request holds.

    Raises
    ------
    UnsupportedTypeError
        For another content type, or one with other parameters than ``charset=utf-8``.
    BadInputError
        If the body is none of the forms.
    """
    kind, *parameters = [part.strip() for part in content_type.split(";")]
    given = {key: value for key, _, value in (text.partition("=") for text in parameters)}
    if given.get("charset", "utf-8").lower() != "utf-8":
        raise UnsupportedTypeError("The scoring server only supports UTF-8")
    unknown = ", ".join(sorted(given.keys() - {"charset"}))
    if unknown:
        raise UnsupportedTypeError(f"Unrecognized content type parameters: {unknown[:200]}.")
    if kind == JSON:
        return _from_json(body)
    if kind == CSV:
        return _from_csv(body)
    raise UnsupportedTypeError(
        f"This predictor only supports the following content types: Types: ['{CSV}', '{JSON}']. "
        f"Got '{content_type[:200]}'."
    )


def _from_json(body: bytes) -> Invocation:
    data = _decoded(body)
    if not isinstance(data, dict):
        raise BadInputError("the body is no JSON object", hint=f"Send exactly one of {', '.join(FORMS)}.")
    forms = [key for key in FORMS if key in data]
    if len(forms) != 1:
        there = ", ".join(key[:40] for key in list(data)[:8]) or "none"
        near = next((suggest(key[:40], FORMS) for key in data if not forms and key[:40]), "")
        raise BadInputError(
            f"the body has the keys {there}; exactly one of {', '.join(FORMS)} is taken", hint=near if data else ""
        )
    params = data.get("params")
    if params is not None and not isinstance(params, dict):
        raise BadInputError("params is no JSON object")
    value = data[forms[0]]
    read = {
        "dataframe_split": _from_split,
        "dataframe_records": _from_records,
        "instances": _from_instances,
        "inputs": _from_inputs,
    }
    found = read[forms[0]](value)
    return Invocation(found.kind, found.table, found.tensors, params or {})


def _decoded(body: bytes) -> Any:
    """Return a body's JSON, also with the ``NaN`` that Python writes for a missing number."""
    try:
        try:
            return _decode(body)
        except msgspec.DecodeError:
            if b"NaN" not in body and b"Infinity" not in body:
                raise
            return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"the body is no JSON: {str(error)[:200]}") from error


def _from_split(value: Any) -> Invocation:
    if not isinstance(value, dict):
        raise BadInputError("dataframe_split is no JSON object", hint="It has data, and perhaps columns and index.")
    unknown = [key for key in value if key not in _SPLIT_KEYS]
    if unknown or "data" not in value:
        what = f"has the unknown key {unknown[0][:40]!r}" if unknown else "has no data"
        raise BadInputError(f"dataframe_split {what}", hint="It has data, and perhaps columns and index.")
    columns, rows = value.get("columns"), value["data"]
    if columns is not None and (not isinstance(columns, list) or not all(isinstance(c, str | int) for c in columns)):
        raise BadInputError("dataframe_split: columns is no list of names")
    if not isinstance(rows, list):
        raise BadInputError("dataframe_split: data is no list of rows")
    cells = [row if isinstance(row, list) else [row] for row in rows]  # pandas takes a single column so
    width = len(columns) if columns is not None else len(cells[0]) if cells else 0
    for number, row in enumerate(cells):
        if len(row) != width:
            raise BadInputError(f"dataframe_split: data[{number}] has {len(row)} values for {width} columns")
    index = value.get("index")
    if index is not None and (not isinstance(index, list) or len(index) != len(cells)):
        raise BadInputError(f"dataframe_split: index has no entry for each of {len(cells)} rows")
    return Invocation("table", Table(None if columns is None else [str(name) for name in columns], cells))


def _from_records(value: Any) -> Invocation:
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise BadInputError("dataframe_records is no list of JSON objects")
    columns = list(dict.fromkeys(name for record in value for name in record))
    given = sum(len(record) for record in value)
    if len(columns) * len(value) > MOST_SPARSE * given + MAX_EMPTY_CELLS:
        raise BadInputError(f"dataframe_records has {len(columns)} names, and few of them in each record")
    return Invocation("table", Table(columns, [[record.get(name) for name in columns] for record in value]))


def _from_instances(value: Any) -> Invocation:
    if not isinstance(value, list):
        raise BadInputError("instances is no list")
    if not value or not isinstance(value[0], dict):
        return Invocation("tensors", tensors=value)
    names = list(value[0])
    for number, item in enumerate(value):
        if not isinstance(item, dict) or item.keys() != value[0].keys():
            raise BadInputError(f"instances[{number}] has not the names of the first: {', '.join(names)[:200]}")
    return Invocation("tensors", tensors={name: [item[name] for item in value] for name in names})


def _from_inputs(value: Any) -> Invocation:
    return Invocation("tensors", tensors=value)


def _from_csv(body: bytes) -> Invocation:
    try:
        rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"the body is no CSV in UTF-8: {error}") from error
    rows = [row for row in rows if row]
    if not rows:
        raise BadInputError("the CSV has no line of names", hint="Write it as pandas does: to_csv(index=False).")
    columns = rows.pop(0)
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise BadInputError(f"line {number + 2} of the CSV has {len(row)} values for {len(columns)} columns")
    return Invocation("table", Table(columns, rows, is_text=True))
