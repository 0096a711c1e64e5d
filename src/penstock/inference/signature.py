"""What an ``MLmodel`` file says of a model: flavours, signature, input example; read without MLflow.

A signature is JSON within YAML: columns (``{"type": "double", "name": "age"}``) or tensors (``{"type": "tensor",
"tensor-spec": {"dtype": "float32", "shape": [-1, 64]}}``), as MLflow writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.entities.errors import UsageError
from penstock.plugins import load_module

MLMODEL_FILE = "MLmodel"
MAX_MLMODEL_BYTES = 4 * 2**20
MAX_EXAMPLE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Column:
    """One input or output of a signature: a column of a table, or a tensor with a shape (-1 for a free length)."""

    name: str
    dtype: str
    shape: tuple[int, ...] | None = None
    is_required: bool = True

    def describe(self) -> dict[str, Any]:
        """Return JSON types."""
        answer: dict[str, Any] = {"name": self.name, "dtype": self.dtype}
        if self.shape is not None:
            answer["shape"] = list(self.shape)
        if not self.is_required:
            answer["required"] = False
        return answer


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in and comes out, and the model's parameters."""

    inputs: tuple[Column, ...] = ()
    outputs: tuple[Column, ...] = ()
    params: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class MlModel:
    """An ``MLmodel`` file; ``example`` is the input example's file, ``""`` where there is none."""

    flavors: tuple[str, ...]
    signature: Signature | None
    example: str
    fields: Mapping[str, Any]


def read_mlmodel(folder: Path) -> MlModel | None:
    """Return what a folder's ``MLmodel`` says, None where there is none.

    Raises
    ------
    UsageError
        If it is damaged.
    """
    file = folder / MLMODEL_FILE
    if not file.is_file():
        return None
    if file.stat().st_size > MAX_MLMODEL_BYTES:
        raise UsageError(f"{MLMODEL_FILE} has more than {MAX_MLMODEL_BYTES} bytes")
    yaml = load_module("yaml")
    try:
        data = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{MLMODEL_FILE} is no YAML: {str(error)[:200]}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{MLMODEL_FILE} is no YAML mapping")
    flavors = data.get("flavors")
    example = data.get("saved_input_example_info")
    path = example.get("artifact_path") if isinstance(example, dict) else None
    return MlModel(
        tuple(str(name) for name in flavors) if isinstance(flavors, dict) else (),
        _signature(data.get("signature")),
        path if isinstance(path, str) else "",
        {key: value for key, value in data.items() if key not in {"flavors", "signature", "saved_input_example_info"}},
    )


def read_example(folder: Path, model: MlModel) -> Any:
    """Return a model's input example as JSON types, None where there is none that can be read."""
    file = folder / model.example
    if not model.example or ".." in Path(model.example).parts or not file.is_file():
        return None
    if file.stat().st_size > MAX_EXAMPLE_BYTES:
        return None
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None


def read_column_names(folder: Path) -> tuple[str, ...]:
    """Return a table's column names from the ``MLmodel`` beside a model; empty where they have none."""
    try:
        model = read_mlmodel(folder)
    except UsageError:
        return ()
    if model is None or model.signature is None:
        return ()
    inputs = model.signature.inputs
    return tuple(column.name for column in inputs if column.name and column.shape is None)


def _signature(data: Any) -> Signature | None:
    if not isinstance(data, dict):
        return None
    params = _listed(data.get("params"))
    return Signature(_columns(data.get("inputs")), _columns(data.get("outputs")), tuple(params))


def _columns(text: Any) -> tuple[Column, ...]:
    return tuple(_column(item) for item in _listed(text))


def _column(item: dict[str, Any]) -> Column:
    name, kind = str(item.get("name") or ""), item.get("type")
    spec = item.get("tensor-spec")
    if isinstance(spec, dict):
        shape = spec.get("shape")
        lengths = tuple(int(n) for n in shape if isinstance(n, int)) if isinstance(shape, list) else None
        return Column(name, str(spec.get("dtype", "")), lengths)
    return Column(name, kind if isinstance(kind, str) else json.dumps(kind), None, item.get("required") is not False)


def _listed(text: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, which MLflow writes as JSON in a text."""
    if isinstance(text, str):
        try:
            text = json.loads(text)
        except (ValueError, RecursionError):
            return []
    return [item for item in text if isinstance(item, dict)] if isinstance(text, list) else []
