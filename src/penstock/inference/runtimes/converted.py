"""A scikit-learn model that was converted to ONNX, answering as ``mlflow.pyfunc`` answers for the model itself.

Beside ``model.onnx`` lie ``MLmodel`` and ``conversion.json``, which says how columns become inputs and which output,
in which dtype, is the answer. A request must fit the signature; what pyfunc would cast with loss or guess is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from penstock.entities.image import ImagePreprocessing, Postprocessing
from penstock.inference.contract import Array, BadInputError, suggest
from penstock.inference.protocols.invocations import Invocation, Table, UnsupportedTypeError, parse
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse
from penstock.inference.runtimes.onnx import OnnxRuntime

CONVERSION_FILE = "conversion.json"
INPUT_DATA = b'"input_data"'
_AZURE_KEYS = ("input_data", "params")
_SPLIT_KEYS = {"columns", "index", "data"}
_KEYS = tuple(f'"{key}"'.encode() for key in ("dataframe_split", "dataframe_records", "instances"))
_BLANK: Mapping[str, Any] = {"string": "", "boolean": False, "integer": 0, "long": 0}
_TRUTHS = {"true": True, "false": False}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SignatureColumn(msgspec.Struct, frozen=True):
    """One column of the signature: ``type`` is MLflow's word; one that is not ``required`` may hold missing values."""

    name: str
    type: str
    required: bool = True


class Layout(msgspec.Struct, frozen=True):
    """``conversion.json``'s part for the runtime.

    ``columns`` is None for a model of one tensor [-1, ``width``]. ``categories`` holds the only texts that a column may
    have, where the model takes no others.
    """

    width: int
    columns: tuple[SignatureColumn, ...] | None
    layout: Literal["matrix", "columns"]
    output: str
    dtype: str
    ndim: int
    takes_missing: bool = False
    categories: dict[str, tuple[str, ...]] = {}


class ConvertedRuntime(OnnxRuntime):
    """A converted model of a folder.

    Parameters
    ----------
    folder : Path
        Holds ``model.onnx`` and ``conversion.json``.
    preprocessing, postprocessing, resources
        As for any ONNX model.
    """

    def __init__(
        self,
        folder: Path,
        preprocessing: ImagePreprocessing | None = None,
        postprocessing: Postprocessing | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(folder, preprocessing, postprocessing, resources)
        self.layout = msgspec.json.decode((folder / CONVERSION_FILE).read_bytes(), type=_Kept).layout
        self._categories = {name: frozenset(values) for name, values in self.layout.categories.items()}
        self._is_checked = True

    def warm_up(self) -> None:
        """Run the model on zeros and empty texts, whatever it takes otherwise."""
        self._is_checked = False
        try:
            super().warm_up()
        finally:
            self._is_checked = True

    def measure_batching(self, *, is_asked_for: bool = False) -> None:
        """Leave requests alone: they come in forms of their own."""

    def score(self, request: ScoreRequest) -> ScoreResponse:
        """Answer Azure ML's ``input_data`` and MLflow's forms as pyfunc does; anything else as any ONNX model."""
        if request.path == "/invocations" or any(key in request.body for key in _KEYS):
            return self.invoke(request)
        if INPUT_DATA not in request.body:
            return super().score(request)
        try:
            return ScoreResponse(_encode(self.predict(self._from_azure(request.body))))
        except BadInputError as error:
            return self._refuse(error)

    def describe(self) -> dict[str, Any]:
        """Return what any ONNX model says of itself, with a sample that this one takes."""
        columns = self.layout.columns
        if columns is None:
            return super().describe() | {"sample_request": {"inputs": [[0.0] * self.layout.width]}}
        row = [next(iter(self.layout.categories.get(c.name, ())), _BLANK.get(c.type, 0.0)) for c in columns]
        split = {"columns": [column.name for column in columns], "data": [row]}
        return super().describe() | {"sample_request": {"dataframe_split": split}}

    def invoke(self, request: ScoreRequest) -> ScoreResponse:
        """Answer a request of MLflow's ``/invocations``."""
        try:
            asked = parse(request.body, request.content_type)
            return ScoreResponse(_encode({"predictions": self.predict(asked)}))
        except UnsupportedTypeError as error:
            return ScoreResponse(str(error).encode(), "text/plain", 415)
        except BadInputError as error:
            return self._refuse(error)

    def predict(self, asked: Invocation) -> Any:
        """Return what pyfunc's ``predict`` gives, as nested lists.

        Raises
        ------
        BadInputError
            If the input does not fit the signature.
        """
        answer = np.asarray(self.run(self.feeds(asked))[self.layout.output])
        if answer.ndim > self.layout.ndim:
            answer = answer.reshape(len(answer))
        return answer.astype(object if self.layout.dtype == "str" else self.layout.dtype).tolist()

    def feeds(self, asked: Invocation) -> dict[str, Array]:
        """Return the graph's inputs; raises BadInputError as :meth:`predict` does."""
        rows = self._rows(asked)
        if not rows:
            raise BadInputError("there are no rows")
        if self.layout.layout == "matrix":
            return {self.contract.inputs[0].name: np.array(rows, dtype=np.float64)}
        feeds: dict[str, Array] = {}
        assert self.layout.columns is not None
        for column, values in zip(self.layout.columns, zip(*rows, strict=True), strict=True):
            dtype = object if column.type == "string" else np.float64
            feeds[column.name] = np.array(values, dtype=dtype).reshape(-1, 1)
        return feeds

    def _rows(self, asked: Invocation) -> Sequence[Sequence[Any]]:
        columns = self.layout.columns
        if columns is None:
            rows = asked.table.rows if asked.kind == "table" else asked.tensors
            is_matrix = isinstance(rows, list | tuple) and all(isinstance(row, list) for row in rows)
            if not is_matrix or any(len(row) != self.layout.width for row in rows):
                raise BadInputError(f"the input has not the shape [-1, {self.layout.width}]")
            return [[self._value(v, "double", "values", asked.table.is_text) for v in row] for row in rows]
        table = asked.table if asked.kind == "table" else _to_table(asked.tensors)
        names = [column.name for column in columns]
        if table.columns is None:
            raise BadInputError("the columns have no names", hint=f"The signature's are: {', '.join(names[:20])}.")
        place = {name: number for number, name in enumerate(table.columns)}
        missing = [name for name in names if name not in place]
        if missing:
            extra = [name for name in place if name not in set(names)]
            hint = suggest(missing[0], extra) if extra else f"The signature's are: {', '.join(names[:20])}."
            raise BadInputError(f"the model is missing inputs: {', '.join(missing[:20])}", hint=hint)
        order = [(place[column.name], column) for column in columns]
        return [[self._value(row[at], c.type, c.name, table.is_text) for at, c in order] for row in table.rows]

    def _value(self, value: Any, kind: str, name: str, is_text: bool) -> Any:
        """Return a value of a signature's type."""
        if kind == "string":
            if not isinstance(value, str):
                raise BadInputError(f"column {name!r}: {_shown(value)} is no text")
            return value
        try:
            if kind == "boolean":
                return _TRUTHS[value.strip().lower()] if isinstance(value, str) else _truth(value)
            if kind in ("integer", "long"):
                return _whole(value)
            return float("nan") if value is None or (is_text and value == "") else float(value)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise BadInputError(f"column {name!r}: {_shown(value)} is no {kind}") from error

    def _from_azure(self, body: bytes) -> Invocation:
        try:
            sent = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadInputError(f"the body is no JSON: {str(error)[:200]}") from error
        if not isinstance(sent, dict) or "input_data" not in sent:
            raise BadInputError("there is no input_data")
        unknown = [key for key in sent if key not in _AZURE_KEYS]
        if unknown:
            raise BadInputError(f"unknown key {unknown[0][:80]!r} beside input_data; params is the other one")
        data, columns = sent["input_data"], self.layout.columns
        if isinstance(data, dict) and "data" in data and set(data) <= _SPLIT_KEYS:
            form: Mapping[str, Any] = {"dataframe_split": data}
        elif columns is not None and isinstance(data, list) and data and isinstance(data[0], dict):
            form = {"dataframe_records": data}
        elif columns is not None and isinstance(data, list):
            form = {"dataframe_split": {"columns": [column.name for column in columns], "data": data}}
        else:
            form = {"inputs": data}
        return parse(_encode(form), "application/json")

    def _run(self, feeds: dict[str, Array]) -> dict[str, Any]:
        """Run the graph on what the model itself would take: it answers missing and unknown values too."""
        if self._is_checked:
            for name, array in feeds.items():
                self._check(name, array)
        return super()._run(feeds)

    def _check(self, name: str, array: Array) -> None:
        if array.dtype.kind == "f":
            if not self.layout.takes_missing and np.isnan(array).any():
                columns = self.layout.columns
                if self.layout.layout == "matrix" and columns is not None:
                    name = columns[int(np.isnan(array).any(axis=0).argmax())].name
                raise BadInputError(f"column {name!r}: the model takes no missing values")
            return
        known = self._categories.get(name)
        unknown = [] if known is None else [value for value in array.flat if value not in known]
        if known is not None and unknown:
            shown = _shown(unknown[0])
            raise BadInputError(f"column {name!r}: the model knows no {shown}", hint=suggest(unknown[0], sorted(known)))

    def _refuse(self, error: BadInputError) -> ScoreResponse:
        message = f"{error.message}. {error.hint}" if error.hint else error.message
        return ScoreResponse(
            _encode({"error_code": "BAD_REQUEST", "message": message, "schema": self._schema()}), status=400
        )

    def _schema(self) -> Any:
        if self.layout.columns is not None:
            return [{"type": c.type, "name": c.name, "required": c.required} for c in self.layout.columns]
        return [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, self.layout.width]}}]


class _Kept(msgspec.Struct, frozen=True):
    layout: Layout


def _to_table(tensors: Any) -> Table:
    """Return columns by name as a table."""
    if not isinstance(tensors, dict):
        return Table(None, ())
    columns = {name: value if isinstance(value, list) else [value] for name, value in tensors.items()}
    if len({len(values) for values in columns.values()}) > 1:
        raise BadInputError("the columns have different lengths")
    cells = [[v[0] if isinstance(v, list) and len(v) == 1 else v for v in values] for values in columns.values()]
    return Table(list(columns), [list(row) for row in zip(*cells, strict=True)])


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError


def _whole(value: Any) -> int:
    number = int(value)
    if isinstance(value, float) and number != value:
        raise ValueError
    return number


def _shown(value: Any) -> str:
    return repr(value)[:80]
