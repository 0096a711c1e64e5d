"""What a protocol asks of a model without code; each protocol is a pure function of it and a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from penstock.inference.contract import BadInputError, ModelContract
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse


class Model(Protocol):
    """A loaded model with a contract: ``runtimes.onnx.OnnxRuntime`` is one. Safe to call from several threads."""

    @property
    def contract(self) -> ModelContract:
        """Return its inputs and outputs."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Return the names of a classifier's classes, empty where it has none."""
        ...

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Return all outputs by name; raises BadInputError for tensors that do not fit."""
        ...

    def run_images(self, images: Sequence[Any]) -> dict[str, Any]:
        """Return all outputs for encoded pictures; raises BadInputError where it takes none."""
        ...

    def score(self, request: ScoreRequest) -> ScoreResponse:
        """Answer a request of Azure ML's protocol."""
        ...


@runtime_checkable
class AnswersInvocations(Protocol):
    """A model that answers MLflow's ``/invocations`` in a way of its own."""

    def invoke(self, request: ScoreRequest) -> ScoreResponse:
        """Answer a request; a client's mistake is a 4xx response."""
        ...


def say(error: BadInputError) -> str:
    """Return what is wrong and what to do, in one text: these protocols have one field for it."""
    return f"{error.message}. {error.hint}" if error.hint else error.message
