"""``serve.py`` of an exported ONNX deployment: the same code that answers behind the gateway, alone on a port.

There is no key, no queue and no traffic split here; paths, bodies and statuses are the endpoint's.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.entities.errors import PenstockError
from penstock.inference.protocols.health import answer_health
from penstock.inference.protocols.paths import HEALTH_DOORS, SCORING_DOORS, Asked, methods_of, parse_path
from penstock.serving import codes
from penstock.serving.identifiers import make_id
from penstock.serving.replica import answerer, load_runtime
from penstock.shim.replica_host import Answer
from penstock.shim.score_answers import Reply
from penstock.shim.score_http import HttpServer, read_max_body_bytes
from penstock.shim.score_inputs import Request

DEFAULT_PORT = 5001
_MODEL_HEADERS = ("Inference-Header-Content-Length", "Content-Encoding")
_ID_HEADER = "X-Request-Id"


class _Told(msgspec.Struct):
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = {}


class Standalone:
    """Answers requests for one model.

    Parameters
    ----------
    answer : callable
        Turns a request's frame into its response's.
    given : dict
        ``endpoint``, ``deployment`` and ``version`` of the model.
    """

    def __init__(self, answer: Answer, given: dict[str, Any]) -> None:
        self._answer = answer
        self._given = {name: given[name] for name in ("endpoint", "deployment", "version")}

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        path = request.path.rstrip("/") or "/"
        try:
            reply = self._reply(request, path)
        except codes.ScoringError as error:
            headers = [(name.decode(), value.decode("latin-1")) for name, value in error.headers()]
            reply = Reply(error.status, "application/problem+json", headers, error.body(path))
        sent = request.headers.get(_ID_HEADER)
        reply.headers.append(("x-request-id", sent or make_id().decode()))
        return reply

    def _reply(self, request: Request, path: str) -> Reply:
        asked = parse_path(path)
        if asked is None or (asked.model and asked.model not in self._given.values()):
            raise codes.UnknownError(f"there is nothing at {path[:200]}")
        allowed = methods_of(asked.door)
        if request.method not in allowed:
            raise codes.MethodError(f"{request.method[:20]} is not for {path[:200]}", allow=", ".join(allowed))
        if asked.door in HEALTH_DOORS:
            said = answer_health(asked, is_ready=True)
            return Reply(said.status, said.content_type, [], said.body)
        return self._score(request, path, asked)

    def _score(self, request: Request, path: str, asked: Asked) -> Reply:
        sent = {
            "content_type": request.headers.get("Content-Type", "application/json"),
            "method": request.method,
            "path": path,
            "query": request.query,
            "headers": {n.lower(): request.headers[n] for n in _MODEL_HEADERS if n in request.headers},
            **self._given,
        }
        meta, body = self._answer(msgspec.json.encode(sent), request.body)
        told = msgspec.json.decode(meta, type=_Told) if meta else _Told()
        headers = list(told.headers.items())
        if asked.door not in SCORING_DOORS:
            return Reply(told.status, told.content_type, headers, body)
        status = codes.client_status(told.status, is_script=False)
        headers += [(name.decode(), value.decode("latin-1")) for name, value in status.headers]
        return Reply(status.status, told.content_type, headers, body)


def main(folder: Path, arguments: Sequence[str]) -> int:
    """Serve the deployment exported to a folder until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="serve.py", description="Serve this model over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port to listen on")
    options = parser.parse_args(arguments)
    given = json.loads((folder / "deployment.json").read_text("utf-8"))
    try:
        runtime = load_runtime({**given, "model": str(folder / given["model"])})
    except PenstockError as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    try:
        listener = socket.create_server((options.host, options.port), backlog=512)
    except OSError as error:
        sys.stderr.write(f"error: cannot listen on {options.host}:{options.port}: {error.strerror}\n")
        return 1
    server = HttpServer([listener], Standalone(answerer(runtime), given), max_body_bytes=read_max_body_bytes())
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    host, port = listener.getsockname()[:2]
    sys.stderr.write(f"Serving {given['endpoint']}/{given['deployment']} at http://{host}:{port}/score\n")
    sys.stderr.flush()
    server.serve(wake)
    return 0
