"""``load_model(folder).predict(images)``: score a model folder in this process, exactly as an endpoint would.

A training job uses it to state the accuracy that the endpoint will have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from penstock.entities.errors import UsageError
from penstock.entities.image import ImagePreprocessing, Postprocessing
from penstock.inference.classifier import Label, Prediction
from penstock.inference.runtimes.onnx import OnnxRuntime, join_rows
from penstock.inference.tables import from_records, from_split


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said: its outputs by name and, of a classifier, one prediction a row.

    Iterating gives the predictions.
    """

    outputs: Mapping[str, Any]
    predictions: tuple[Prediction, ...]

    @property
    def labels(self) -> list[Label | None]:
        """Return each row's label, None below the threshold."""
        return [prediction.label for prediction in self.predictions]

    @property
    def indices(self) -> list[int]:
        """Return each row's class index."""
        return [prediction.index for prediction in self.predictions]

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)

    def __len__(self) -> int:
        return len(self.predictions)


class Model:
    """A loaded model; safe to call from several threads."""

    def __init__(self, runtime: OnnxRuntime) -> None:
        self._runtime = runtime

    def predict(
        self, data: Any, *, batch_size: int = 256, top_k: int | None = None, threshold: float | None = None
    ) -> Answer:
        """Score pictures, a tensor, or a table.

        Parameters
        ----------
        data : list of (bytes, path, PIL image or uint8 ndarray), or ndarray, or mapping
            A list holds pictures, which go through the model's preprocessing; an ndarray is the model's only input
            as it is; a mapping holds an ndarray or nested list for each input. A table is
            ``{"columns": [...], "data": [[...], ...]}`` or ``{"records": [{column: value}, ...]}``.
        batch_size : int
            How many pictures are run at once.
        top_k : int, optional
            How many of the best classes each prediction's ``top`` holds; the model's own setting wins otherwise.
        threshold : float, optional
            Below this probability a prediction has no label.

        Raises
        ------
        BadInputError
            If the data do not fit the model.
        """
        asked = {"top_k": top_k, "threshold": threshold}
        wanted = self._runtime.wanted({key: value for key, value in asked.items() if value is not None})
        if isinstance(data, Mapping):
            outputs = self._runtime.run(self._named(data))
        elif isinstance(data, np.ndarray):
            outputs = self._runtime.run(self._only_input(data))
        elif isinstance(data, Sequence) and not isinstance(data, str | bytes):
            return self._predict_images(data, batch_size, wanted)
        else:
            return self._predict_images([data], batch_size, wanted)
        return Answer(outputs, tuple(self._runtime.predictions(outputs, wanted) or ()))

    def describe(self) -> dict[str, Any]:
        """Return inputs, outputs and a sample request, as JSON types."""
        return self._runtime.describe()

    def _named(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        contract = self._runtime.contract
        if contract.columns and set(data) == {"columns", "data"}:
            return from_split(data["columns"], data["data"], contract)
        return from_records(data["records"], contract) if contract.columns and set(data) == {"records"} else data

    def _only_input(self, data: Any) -> dict[str, Any]:
        inputs = self._runtime.contract.inputs
        if len(inputs) != 1:
            names = ", ".join(tensor.name for tensor in inputs)
            raise UsageError(f"the model has {len(inputs)} inputs", hint=f"Give a mapping with: {names}.")
        return {inputs[0].name: data}

    def _predict_images(self, images: Sequence[Any], batch_size: int, wanted: Postprocessing) -> Answer:
        if not images:
            return Answer({}, ())
        parts = [
            self._runtime.run_images(images[start : start + batch_size]) for start in range(0, len(images), batch_size)
        ]
        predictions: list[Prediction] = []
        for part in parts:
            predictions.extend(self._runtime.predictions(part, wanted) or ())
        return Answer(join_rows(parts), tuple(predictions))


def load_model(
    path: str | PathLike[str],
    *,
    preprocessing: ImagePreprocessing | None = None,
    postprocessing: Postprocessing | None = None,
) -> Model:
    """Load an ONNX model.

    Parameters
    ----------
    path : path
        A folder with ``model.onnx`` (and ``labels.txt``, ``preprocessing.yml``), or an ONNX file.
    preprocessing : ImagePreprocessing, optional
        Wins over the folder's ``preprocessing.yml``.
    postprocessing : Postprocessing, optional
        As a deployment's: label file, ``top_k``, ``threshold``.
    """
    return Model(OnnxRuntime(Path(path), preprocessing, postprocessing))
