"""``python -m penstock.serving.replica FD``: the process that serves one ONNX model.

It imports what every ONNX model needs at once and then waits for its assignment, so one such process can be kept ready
before anybody knows which model comes.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import msgspec

from penstock.entities.errors import PenstockError
from penstock.inference.declared import parse_postprocessing, parse_preprocessing
from penstock.inference.protocols.answering import answer as answer_request
from penstock.inference.protocols.base import Model
from penstock.inference.protocols.paths import problem_fields
from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.onnx import ModelError, OnnxRuntime, load_onnxruntime
from penstock.plugins import load_module
from penstock.shim import replica_host

logger = logging.getLogger(__name__)

EXIT_CANNOT_LOAD = 3
TOLD_TIMEOUT_S = 10.0
_PRELOADED = ("PIL.Image", "PIL.PngImagePlugin", "PIL.JpegImagePlugin", "yaml")


class _Meta(msgspec.Struct, omit_defaults=True):
    method: str = "POST"
    query: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    path: str = "/score"
    endpoint: str = ""
    deployment: str = ""
    version: str = "1"


class _Reply(msgspec.Struct, omit_defaults=True):
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = {}


_decode_meta = msgspec.json.Decoder(_Meta).decode
_encode = msgspec.json.Encoder().encode
_PLAIN = _Meta()


def main(arguments: list[str]) -> int:
    """Wait for an assignment, load the model, answer until the supervisor's pipe closes or SIGTERM comes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    replica_host.end_with_parent(replica_host.parent_descriptor())
    host = replica_host.ReplicaHost(socket.socket(fileno=int(arguments[0])), {})
    host.start()
    load_onnxruntime()
    for name in _PRELOADED:
        load_module(name)
    gc.freeze()
    assignment = host.wait_load()
    _log_to(Path(assignment["log"]))
    host.update(state="loading", identity=assignment["identity"])
    try:
        runtime = _load(assignment)
    except PenstockError as error:
        logger.error("%s", error)
        return _fail(host, str(error))
    except Exception as error:
        traceback.print_exc()
        return _fail(host, f"{type(error).__name__}: {error}")
    workers = max(1, int(assignment["workers"]))
    answer = answerer(runtime)
    for number in range(1, workers):
        threading.Thread(target=host.work, args=(answer,), name=f"worker-{number}", daemon=True).start()
    logger.info("ready: %s, one run takes %s ms", runtime.file.name, runtime.run_ms and round(runtime.run_ms, 3))
    host.update(state="ready", workers=workers, run_ms=runtime.run_ms, describe=runtime.describe())
    host.work(answer)
    return 0


def _load(assignment: dict[str, Any]) -> OnnxRuntime:
    before, after = assignment.get("preprocessing"), assignment.get("postprocessing")
    runtime = OnnxRuntime(
        Path(assignment["model"]),
        None if before is None else parse_preprocessing(before),
        None if after is None else parse_postprocessing(after),
    )
    runtime.warm_up()
    return runtime


def _log_to(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _fail(host: replica_host.ReplicaHost, message: str) -> int:
    host.update(state="failed", message=message)
    host.wait_told(TOLD_TIMEOUT_S)
    return EXIT_CANNOT_LOAD


def answerer(runtime: Model) -> replica_host.Answer:
    """Return what turns a request's frame into its response's."""

    def answer(meta: bytes, body: bytes) -> tuple[bytes, bytes]:
        sent = _decode_meta(meta) if meta else _PLAIN
        try:
            response = answer_request(runtime, _request(sent, body))
        except ModelError as error:
            logger.error("%s", error)
            return _encode(_Reply(status=500)), _encode(problem_fields(sent.path, error.message))
        if response.status == 200 and response.content_type == "application/json" and not response.headers:
            return b"", response.body
        reply = _Reply(response.status, response.content_type, dict(response.headers))
        return _encode(reply), response.body

    return answer


def _request(sent: _Meta, body: bytes) -> ScoreRequest:
    names = (sent.endpoint, sent.deployment, sent.version)
    return ScoreRequest(body, sent.content_type, sent.method, sent.path, sent.query, sent.headers, *names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
