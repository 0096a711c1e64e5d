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
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from penstock.entities.errors import PenstockError
from penstock.inference.declared import parse_postprocessing, parse_preprocessing
from penstock.inference.protocols.answering import answer as answer_request
from penstock.inference.protocols.base import Model
from penstock.inference.protocols.paths import problem_fields
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse
from penstock.inference.runtimes.converted import CONVERSION_FILE, ConvertedRuntime
from penstock.inference.runtimes.onnx import ModelError, OnnxRuntime, load_onnxruntime
from penstock.plugins import load_module
from penstock.serving.parcels import Reply, is_many, pack_many, unpack_many
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
        runtime = load_runtime(assignment)
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
    host.update(state="ready", workers=workers, measured=measured(runtime), describe=runtime.describe())
    host.work(answer)
    return 0


def load_runtime(assignment: Mapping[str, Any]) -> OnnxRuntime:
    """Load a model as an assignment says, warm it up and measure it.

    Raises
    ------
    PenstockError
        If the model, its labels or what is declared of them is wrong.
    """
    before, after = assignment.get("preprocessing"), assignment.get("postprocessing")
    folder = Path(assignment["model"])
    kind = ConvertedRuntime if (folder / CONVERSION_FILE).is_file() else OnnxRuntime
    runtime = kind(
        folder,
        None if before is None else parse_preprocessing(before),
        None if after is None else parse_postprocessing(after),
        assignment.get("resources"),
    )
    runtime.warm_up()
    runtime.measure_batching(is_asked_for=assignment.get("batching") is True)
    return runtime


def measured(runtime: OnnxRuntime) -> dict[str, Any]:
    """Return what warming up has shown, as JSON types."""
    run_ms = None if runtime.run_ms is None else round(runtime.run_ms, 4)
    return {"run_ms": run_ms, "batching": runtime.batching.describe(), "providers": list(runtime.providers)}


def _log_to(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _fail(host: replica_host.ReplicaHost, message: str) -> int:
    host.update(state="failed", message=message)
    host.wait_told(TOLD_TIMEOUT_S)
    return EXIT_CANNOT_LOAD


def answerer(runtime: Model, complain: Callable[[str], None] = logger.error) -> replica_host.Answer:
    """Return what turns a request's frame into its response's; a frame may hold several requests.

    It is in no reference cycle: the gateway frees a model without a look through its memory.

    Parameters
    ----------
    complain : callable
        Gets a line where the model failed.
    """
    return partial(_answer, runtime, complain)


def _answer(runtime: Model, complain: Callable[[str], None], meta: bytes, body: bytes) -> tuple[bytes, bytes]:
    if is_many(meta):
        alone = partial(_answer, runtime, complain)
        return pack_many(answer_many(runtime, alone, unpack_many(meta, body)))
    sent = _decode_meta(meta) if meta else _PLAIN
    try:
        response = answer_request(runtime, _request(sent, body)) if meta else runtime.score(ScoreRequest(body))
    except ModelError as error:
        complain(str(error))
        return _encode(_Reply(status=500)), _encode(problem_fields(sent.path, error.message))
    return _reply(response)


def _request(sent: _Meta, body: bytes) -> ScoreRequest:
    names = (sent.endpoint, sent.deployment, sent.version)
    return ScoreRequest(body, sent.content_type, sent.method, sent.path, sent.query, sent.headers, *names)


def answer_many(runtime: Model, answer: replica_host.Answer, parts: Sequence[tuple[bytes, bytes]]) -> list[Reply]:
    """Return a reply a request; plain ones go through the model together where it takes that, others one by one."""
    plain = [number for number, (meta, _) in enumerate(parts) if not meta]
    replies: list[Reply | None] = [None] * len(parts)
    if isinstance(runtime, OnnxRuntime) and len(plain) > 1:
        requests = [ScoreRequest(parts[number][1]) for number in plain]
        for number, response in zip(plain, runtime.score_many(requests), strict=True):
            replies[number] = None if response is None else _reply(response)
    return [_answer_alone(answer, *parts[number]) if reply is None else reply for number, reply in enumerate(replies)]


def _answer_alone(answer: replica_host.Answer, meta: bytes, body: bytes) -> Reply:
    try:
        return answer(meta, body)
    except Exception:
        traceback.print_exc()
        return _encode(_Reply(status=500)), b'{"message": "the model failed; see its log"}'


def _reply(response: ScoreResponse) -> Reply:
    if response.status == 200 and response.content_type == "application/json" and not response.headers:
        return b"", response.body
    return _encode(_Reply(response.status, response.content_type, dict(response.headers))), response.body


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
