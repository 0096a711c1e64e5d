"""What a case is, and the bench it works on: the same code asks any server that speaks MLflow's protocol.

A case is a function that makes calls with the real client, or sends raw requests, and returns what came of them. The
functions run in the interpreter that has the client (``tests/mlflow/worker.py``); the test process imports these
modules too, for the names of the cases, so nothing here imports mlflow before a bench is made.
"""

from __future__ import annotations

import functools
import http.client
import json
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mlflow.cases.plain import Normaliser, plain

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
_SHARED: dict[tuple[str, Callable[..., Any]], Any] = {}
CASES: dict[str, Callable[[Bench], Any]] = {}


def case(function: Callable[[Bench], Any]) -> Callable[[Bench], Any]:
    """Register a case under its module's and its own name."""
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    assert name not in CASES, name
    CASES[name] = function
    return function


def cases(variants: Mapping[str, Any] | Iterable[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register one case for each variant, which the function gets as its second argument."""
    named = dict(variants) if isinstance(variants, Mapping) else {_label(variant): variant for variant in variants}

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, variant in named.items():
            full = f"{function.__module__.rpartition('.')[2]}.{function.__name__}[{name}]"
            assert full not in CASES, full
            CASES[full] = functools.partial(_call_with, function, variant)
        return function

    return register


def _label(variant: Any) -> str:
    text = str(variant)
    return text if len(text) <= 120 else f"{len(text)} of {text[0]}"


def _call_with(function: Callable[..., Any], variant: Any, bench: Bench) -> Any:
    return function(bench, variant)


@dataclass(frozen=True)
class Reply:
    """One raw HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as JSON, or its first bytes as text where it is none."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return self.body[:100].decode(errors="replace")

    @property
    def outcome(self) -> Any:
        """Return the status, and the code of an error or else the body."""
        content = self.json
        if self.status >= 400:
            return [self.status, content.get("error_code") if isinstance(content, dict) else None]
        return [self.status, content]


class Bench:
    """What a case works with: a client, a place of its own on the server, and one way to note an outcome."""

    def __init__(self, url: str, token: str, folder: Path) -> None:
        import mlflow

        self.mlflow: Any = mlflow
        self.client: Any = mlflow.MlflowClient()
        self.folder = folder
        self._url = urllib.parse.urlsplit(url)
        self._token = token
        # Digits alone: letters might match a pattern that a case searches for.
        self._prefix = f"{uuid.uuid4().int % 10**10:010d}-"
        self._normaliser = Normaliser(self._prefix)
        self._made = 0

    def name(self, stem: str) -> str:
        """Return a name nobody else has; an outcome shows it as ``~stem``."""
        return self._prefix + stem

    def experiment(self, stem: str = "", **options: Any) -> str:
        """Create an experiment and return its id."""
        self._made += 1
        return str(self.client.create_experiment(self.name(stem or f"e{self._made}"), **options))

    def run(self, experiment: str | None = None, name: str = "r", **options: Any) -> str:
        """Create a run, in an experiment of its own if none is given, and return its id."""
        return str(self.client.create_run(experiment or self.experiment(), run_name=name, **options).info.run_id)

    def model(self, stem: str = "model") -> str:
        """Create a registered model and return its name."""
        return str(self.client.create_registered_model(self.name(stem)).name)

    def ask(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Return what a call of the client returns, or code and status of its refusal."""
        try:
            return plain(call(*arguments, **options))
        except self.mlflow.exceptions.MlflowException as error:
            return [error.error_code, error.get_http_status_code()]

    def send(
        self, method: str, path: str, content: Any = None, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one request as it is, with nothing of the path or the body put right."""
        sent = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if content is not None:
            body = json.dumps(content).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=60)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, path: str, content: Any = None, **options: Any) -> Any:
        """Post to a path of the API and return the outcome."""
        return self.send("POST", f"{API}/{path}", content, **options).outcome

    def get(self, path: str, /, **query: Any) -> Any:
        """Ask a path of the API and return the outcome."""
        return self.send("GET", f"{API}/{path}?{urllib.parse.urlencode(query, doseq=True)}").outcome

    def once(self, make: Callable[[Bench], Any]) -> Any:
        """Return what a function made on this server, which cases that only read share."""
        key = (self._url.netloc, make)
        if key not in _SHARED:
            _SHARED[key] = make(self)
        return _SHARED[key]

    def tick(self) -> None:
        """Wait until the clock shows another millisecond, so that what follows is later."""
        start = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 == start:
            pass

    def normal(self, outcome: Any) -> Any:
        """Return an outcome without what differs from one time to the next: ids, times, random names."""
        return self._normaliser.normal(plain(outcome))
