"""The promise of every way of running a model.

A runtime is loaded once from a model folder, warmed up, and then called from one or more threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """One request as a runtime sees it; ``body`` is what the client sent.

    ``path`` is relative to the endpoint, names of ``headers`` are in lower case. ``endpoint``, ``deployment`` and
    ``version`` (the registered model's) say under which names it is served, where a host gives them.
    """

    body: bytes
    content_type: str = "application/json"
    method: str = "POST"
    path: str = "/score"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = ""
    deployment: str = ""
    version: str = "1"


@dataclass(frozen=True, slots=True)
class ScoreResponse:
    """One answer; ``status`` is what the model chose, the gateway maps it for the client."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Runtime(Protocol):
    """A loaded model."""

    def warm_up(self) -> None:
        """Run the model once on a sample it can make up; raises what a request would raise."""
        ...

    def score(self, request: ScoreRequest) -> ScoreResponse:
        """Answer one request; thread-safe. A client's mistake is a 4xx response, not an exception."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return inputs, outputs (names, dtypes, shapes) and a sample request, as JSON types."""
        ...
