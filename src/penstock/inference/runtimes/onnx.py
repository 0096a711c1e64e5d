"""Run ONNX models with onnxruntime: one session of one intra-op thread, called from as many threads as wanted.

Measured on two cores: one process with a thread a core and ``intra_op_num_threads`` 1 equals two processes and beats
``intra_op_num_threads`` 2 by 1.3, with one copy of the model in memory.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from penstock.entities.errors import PenstockError, SpecError, UsageError
from penstock.entities.image import ImagePreprocessing, Postprocessing
from penstock.inference import codecs
from penstock.inference.classifier import Prediction, predictions_of
from penstock.inference.contract import Array, BadInputError, ModelContract, TensorContract
from penstock.inference.declared import check_against, default_preprocessing, parse_settings, read_preprocessing
from penstock.inference.files import find_model_file
from penstock.inference.images import Preprocessor
from penstock.inference.labels import find_labels, read_labels
from penstock.inference.outputs import find_classifier
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse
from penstock.inference.runtimes.batching import (
    MOST_ASKED_MS,
    MOST_MS,
    BatchGain,
    Prepared,
    measure_gain,
    score_together,
    takes_batches,
)
from penstock.inference.runtimes.providers import choose_providers
from penstock.inference.samples import columns_of
from penstock.inference.signature import read_column_names
from penstock.plugins import load_module

logger = logging.getLogger(__name__)

TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
MEASURED_RUNS = 9
MEASURED_S = 0.01
_TENSOR_TYPE = re.compile(r"tensor\((\w+)\)")
_DTYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "string": "str",
    "bool": "bool",
    **{name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}


class ModelError(PenstockError):
    """The model failed on an input that fits its contract."""

    code = "model_failed"


class OnnxRuntime:
    """An ONNX model of a folder.

    Parameters
    ----------
    folder : Path
        Holds ``model.onnx`` or one ``*.onnx`` file; optionally ``labels.txt`` and ``preprocessing.yml``. May also be
        the file itself.
    preprocessing : ImagePreprocessing, optional
        Wins over the folder's ``preprocessing.yml``.
    postprocessing : Postprocessing, optional
        What is said of a classifier's scores where a request says nothing.
    resources : mapping, optional
        The deployment's; they may ask for a GPU, or for none.

    Raises
    ------
    NotFoundError
        If there is no ONNX file.
    UsageError
        If there are several, or onnxruntime cannot load it.
    SpecError
        If labels or preprocessing do not fit the model.
    """

    def __init__(
        self,
        folder: Path,
        preprocessing: ImagePreprocessing | None = None,
        postprocessing: Postprocessing | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        self.file = find_model_file(folder)
        folder = self.file.parent
        self._session = open_session(self.file, resources)
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self.postprocessing = postprocessing or Postprocessing()
        label_file = find_labels(folder, self.postprocessing.labels)
        self.labels = read_labels(folder, self.postprocessing.labels)
        inputs = tuple(_contract_of(node) for node in self._session.get_inputs())
        outputs = tuple(_contract_of(node) for node in self._session.get_outputs())
        self._output_names = [tensor.name for tensor in outputs]
        chosen = preprocessing or read_preprocessing(folder)
        self._image_input = _image_input(inputs, chosen)
        if chosen is not None:
            check_against(chosen, *inputs)
        elif self._image_input is not None:
            chosen = default_preprocessing(self._image_input)
        self.preprocessing = chosen
        self._preprocessor = (
            None if chosen is None or self._image_input is None else Preprocessor(chosen, self._image_input.dtype)
        )
        takes_images = chosen is not None and self._image_input is not None
        named = read_column_names(folder)
        self.contract = ModelContract(inputs, outputs, takes_images, columns_of(inputs, named))
        self._decoder = codecs.RequestDecoder(self.contract)
        self._classifier = find_classifier(outputs, self.labels, label_file.name if label_file else "")
        self._scores = self._classifier or find_classifier(outputs, self.labels, is_wanted=True)
        self.run_ms: float | None = None
        self.batching = BatchGain(is_right=False)

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Return all outputs by name: arrays, or lists of mappings where the model has such.

        Raises
        ------
        BadInputError
            If the tensors do not fit the model.
        """
        return self._run(self.contract.fit(tensors))

    def run_images(self, images: Sequence[Any]) -> dict[str, Any]:
        """Return all outputs for pictures; see :func:`penstock.inference.images.to_batch`.

        Raises
        ------
        BadInputError
            If the model takes no pictures, or these are none.
        """
        ((name, batch),) = self._image_feeds(images).items()
        assert self._image_input is not None
        length = self._image_input.shape[0] if self._image_input.shape else None
        if length is not None and length != len(images):
            if length != 1:
                raise self.contract.fail(f"the model takes {length} pictures at once, not {len(images)}")
            return join_rows([self._run({name: batch[i : i + 1]}) for i in range(len(images))])
        return self._run({name: batch})

    def _image_feeds(self, images: Sequence[Any]) -> dict[str, Array]:
        if self._preprocessor is None or self._image_input is None:
            raise self.contract.fail(
                "this model does not say how a picture becomes its input",
                "Send data or inputs; or put a preprocessing.yml beside the model.",
            )
        try:
            return {self._image_input.name: self._preprocessor.batch(images)}
        except BadInputError as error:
            error.sample = error.sample or self.contract.sample_request()
            raise

    def predictions(self, outputs: Mapping[str, Any], wanted: Postprocessing | None = None) -> list[Prediction] | None:
        """Return predictions, None where the model is no classifier; ``wanted`` wins over the deployment's own."""
        wanted = wanted or self.postprocessing
        found = self._scores if wanted.chooses else self._classifier
        return None if found is None else predictions_of(found, outputs, self.labels, wanted)

    def wanted(self, options: Mapping[str, Any]) -> Postprocessing:
        """Return the deployment's postprocessing with a request's own over it.

        Raises
        ------
        BadInputError
            If an option cannot be meant.
        """
        try:
            wanted = parse_settings(Postprocessing, {**self.postprocessing.model_dump(), **options})
        except SpecError as error:
            raise self.contract.fail("; ".join(f"{p.key}: {p.message}" for p in error.problems)) from error
        if wanted.chooses and (self._scores is None or self._scores.scores is None):
            names = ", ".join(output.name for output in self.contract.outputs)
            raise self.contract.fail("the model gives no scores to choose from", f"Its outputs are: {names}.")
        return wanted

    def warm_up(self) -> None:
        """Run the model on zeros and keep the shortest of some more runs in ``run_ms``.

        Inputs whose free lengths must agree in a way that is not declared may refuse zeros of length one; such a model
        is taken as it is, its first request tells.
        """
        blank = {tensor.name: tensor.blank() for tensor in self.contract.inputs}
        try:
            self._run(blank)
        except (BadInputError, ModelError) as error:
            if any(n is None for tensor in self.contract.inputs for n in (tensor.shape or (None,))):
                logger.warning("warm-up on zeros was refused: %s", error.message)
                return
            raise
        ends_at = time.perf_counter() + MEASURED_S
        times: list[float] = []
        while len(times) < MEASURED_RUNS and (not times or time.perf_counter() < ends_at):
            started = time.perf_counter()
            self._run(blank)
            times.append((time.perf_counter() - started) * 1000.0)
        self.run_ms = min(times)

    def measure_batching(self, *, is_asked_for: bool = False) -> None:
        """Find out what a batch gives and keep it in ``batching``.

        A long-running model on a CPU gains nothing, so it is tried only where that ``is_asked_for``.
        """
        most_ms = MOST_ASKED_MS if is_asked_for else MOST_MS
        if (
            self.run_ms is not None
            and self.run_ms <= most_ms
            and takes_batches(self.contract.inputs, self.contract.outputs)
        ):
            self.batching = measure_gain(self._run, self.contract.inputs)

    def score(self, request: ScoreRequest) -> ScoreResponse:
        """Answer one request; a request that does not fit gets 400 with a sample of one that does."""
        try:
            decoded = self._decoder.decode(request.body, request.content_type, request.query)
            wanted = self.wanted(decoded.options) if decoded.options else self.postprocessing
            if decoded.kind == "fitted":
                outputs = self._run(decoded.value)
            elif decoded.kind == "images":
                outputs = self.run_images(decoded.value)
            else:
                outputs = self.run(decoded.value)
        except BadInputError as error:
            return _refuse(error)
        return self._answer(outputs, wanted)

    def score_many(self, requests: Sequence[ScoreRequest]) -> list[ScoreResponse | None]:
        """Answer several requests in as few runs as they fit; None for one that fails, which is told why alone."""
        if not self.batching.is_right:
            return [None] * len(requests)
        return score_together(
            requests,
            prepare=self._prepare,
            run=self._run,
            answer=self._answer,
            refuse=_refuse,
            alone=self.score,
        )

    def _prepare(self, request: ScoreRequest) -> Prepared:
        decoded = self._decoder.decode(request.body, request.content_type, request.query)
        wanted = self.wanted(decoded.options) if decoded.options else self.postprocessing
        if decoded.kind == "images":
            return Prepared(self._image_feeds(decoded.value), wanted)
        return Prepared(decoded.value if decoded.kind == "fitted" else self.contract.fit(decoded.value), wanted)

    def _answer(self, outputs: Mapping[str, Any], wanted: Postprocessing) -> ScoreResponse:
        answer = codecs.encode_answer(self.predictions(outputs, wanted), outputs if wanted.outputs else None)
        return ScoreResponse(answer)

    def describe(self) -> dict[str, Any]:
        """Return inputs, outputs, a sample request, labels and preprocessing, as JSON types."""
        answer = self.contract.describe()
        if self.labels:
            answer["labels"] = list(self.labels)
        if self.preprocessing is not None:
            answer["preprocessing"] = self.preprocessing.model_dump(mode="json", exclude_none=True)
        if self.postprocessing != Postprocessing():
            answer["postprocessing"] = self.postprocessing.model_dump(mode="json", exclude_none=True)
        return answer

    def _run(self, feeds: dict[str, Array]) -> dict[str, Any]:
        try:
            values = self._session.run(self._output_names, feeds)
        except Exception as error:  # onnxruntime's errors share no base class of their own
            if type(error).__name__ == "InvalidArgument":
                raise self.contract.fail(f"the model refuses this input: {_first_line(error)}") from error
            raise ModelError(f"the model failed: {_first_line(error)}") from error
        return dict(zip(self._output_names, values, strict=True))


def load_onnxruntime() -> Any:
    """Import onnxruntime with its telemetry off, which must be said before the import.

    Official Linux builds since 1.29 otherwise report models and runs to their maker and keep a database in the user's
    cache folder. A value that the user has set in the environment stays.
    """
    os.environ.setdefault(TELEMETRY_OFF, "1")
    return load_module("onnxruntime")


def open_session(file: Path, resources: Mapping[str, Any] | None = None) -> Any:
    """Return an onnxruntime session with one intra-op thread; on a GPU where there is one and nobody objects.

    Raises
    ------
    UsageError
        If onnxruntime refuses the file.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = choose_providers(onnxruntime.get_available_providers(), resources)
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise UsageError(f"onnxruntime cannot load {file.name}: {_first_line(error)}") from error


def _contract_of(node: Any) -> TensorContract:
    match = _TENSOR_TYPE.fullmatch(node.type)
    if match is None:
        return TensorContract(node.name, "sequence", None)
    dtype = _DTYPES.get(match.group(1), match.group(1))
    shape = tuple(n if isinstance(n, int) and n >= 0 else None for n in node.shape)
    return TensorContract(node.name, dtype, shape)


def _image_input(inputs: tuple[TensorContract, ...], chosen: ImagePreprocessing | None) -> TensorContract | None:
    if chosen is not None and chosen.input is not None:
        return next((tensor for tensor in inputs if tensor.name == chosen.input), None)
    if len(inputs) != 1:
        return None
    return inputs[0] if chosen is not None or default_preprocessing(inputs[0]) is not None else None


def join_rows(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the outputs of several runs as those of one."""
    joined: dict[str, Any] = {}
    for name, first in parts[0].items():
        values = [part[name] for part in parts]
        joined[name] = [row for value in values for row in value] if isinstance(first, list) else np.concatenate(values)
    return joined


def _refuse(error: BadInputError) -> ScoreResponse:
    return ScoreResponse(codecs.encode_error(error), status=400)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:300]
