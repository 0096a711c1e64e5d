"""Rows with named columns to a model's inputs: one input a column, or one input whose columns a signature names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.inference.contract import MAX_SHOWN, ModelContract, suggest


def from_split(columns: Any, rows: Any, contract: ModelContract) -> Mapping[str, Any]:
    """Return tensors by name from ``{"columns": [...], "data": [[...], ...]}``.

    Raises
    ------
    BadInputError
        If a column is unknown (the hint names the nearest), missing or twice there, or a row has another length.
    """
    wanted = _wanted(contract)
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise contract.fail("columns is no list of names", f"The model's columns are: {', '.join(wanted)}.")
    _check_names(columns, wanted, contract)
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise contract.fail("data is no list of rows", "Send one list a row.")
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise contract.fail(f"data[{number}] has {len(row)} values for {len(columns)} columns")
    values = dict(zip(columns, zip(*rows, strict=True) if rows else [()] * len(columns), strict=True))
    return _tensors(values, len(rows), contract)


def from_records(records: Any, contract: ModelContract) -> Mapping[str, Any]:
    """Return tensors by name from a list of mappings of columns to values.

    Raises
    ------
    BadInputError
        If a column is unknown (the hint names the nearest) or missing.
    """
    wanted = _wanted(contract)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise contract.fail("records is no list of objects", f"Each has the keys: {', '.join(wanted)}.")
    for number, record in enumerate(records):
        _check_names(list(record), wanted, contract, f"records[{number}]: ")
    return _tensors({name: [record[name] for record in records] for name in wanted}, len(records), contract)


def _wanted(contract: ModelContract) -> Sequence[str]:
    if contract.columns:
        return contract.columns
    names = ", ".join(tensor.name for tensor in contract.inputs)
    raise contract.fail("the model's columns have no names", f"Send data or inputs; its inputs are: {names}.")


def _check_names(names: Sequence[str], wanted: Sequence[str], contract: ModelContract, where: str = "") -> None:
    if len(names) == len(wanted) and set(names) == set(wanted):
        return
    known = set(wanted)
    for name in names:
        if name not in known:
            shown = name[:MAX_SHOWN]
            raise contract.fail(f"{where}the model has no column {shown!r}", suggest(shown, wanted))
    missing = _shown(name for name in wanted if name not in set(names))
    if missing:
        raise contract.fail(f"{where}missing: {missing}", f"The model's columns are: {_shown(wanted)}.")
    raise contract.fail(f"{where}a column is there twice", f"The model's columns are: {_shown(wanted)}.")


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:20]) + (", …" if len(listed) > 20 else "")


def _tensors(values: Mapping[str, Sequence[Any]], rows: int, contract: ModelContract) -> Mapping[str, Any]:
    if len(contract.inputs) == 1:
        ordered = [values[name] for name in contract.columns]
        return {contract.inputs[0].name: [list(row) for row in zip(*ordered, strict=True)] if rows else []}
    return {name: [[value] for value in column] for name, column in values.items()}
