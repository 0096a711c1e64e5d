"""Host a model of MLflow behind the gateway: ``mlflow.pyfunc`` in the model's own interpreter.

Standard library only, Python >= 3.9; MLflow is the interpreter's. Started with one JSON argument, see :func:`main`.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sys
import threading
import traceback
from typing import Any

from . import replica_host, score_log
from .mlflow_scoring import JSON, PyfuncScorer, Request, load_pyfunc
from .score_script import Stopped, stop

EXIT_CANNOT_LOAD = 3
TOLD_TIMEOUT_S = 10.0
_BLOCK = 1 << 20
_ASKED = ("path", "content_type", "method", "query", "endpoint", "version")


class ChangedModel(Exception):
    """A file of the model is not what was registered."""


def main(argument: str) -> None:
    """Run until the supervisor's pipe closes or SIGTERM comes.

    Parameters
    ----------
    argument : str
        JSON: ``fd`` (listening socket), ``identity``, ``model`` (the folder with ``MLmodel``), ``digests`` (descriptor
        of a JSON object: path in that folder → SHA-256), ``workers``.
    """
    assignment = json.loads(argument)
    replica_host.end_with_parent(replica_host.parent_descriptor())
    signal.signal(signal.SIGTERM, stop)
    host = replica_host.ReplicaHost(socket.socket(fileno=assignment["fd"]), assignment["identity"])
    host.update(state="loading")
    host.start()
    score_log.set_up()
    try:
        with os.fdopen(assignment["digests"], encoding="utf-8") as listed:
            check_digests(assignment["model"], json.load(listed))
        scorer = load_pyfunc(assignment["model"])
        scorer.warm_up()
    except Stopped:
        raise
    except BaseException as error:
        traceback.print_exc()
        replica_host.flush_output()
        host.update(state="failed", message=_describe(error))
        host.wait_told(TOLD_TIMEOUT_S)
        os._exit(EXIT_CANNOT_LOAD)
    replica_host.flush_output()
    workers = max(1, int(assignment["workers"]))
    answer = framed(scorer)
    for number in range(1, workers):
        threading.Thread(target=host.work, args=(answer,), name="worker-%d" % number, daemon=True).start()
    host.update(state="ready", workers=workers, describe=scorer.describe())
    host.work(answer)


def check_digests(folder: str, digests: dict[str, str]) -> None:
    """Read every file of a model once before any of it is loaded: a pickle runs what it holds.

    Raises
    ------
    ChangedModel
        If one is missing or has another content.
    """
    for path, wanted in digests.items():
        digest = hashlib.sha256()
        try:
            with open(os.path.join(folder, path), "rb") as file:
                for block in iter(lambda: file.read(_BLOCK), b""):
                    digest.update(block)
        except OSError as error:
            raise ChangedModel("%s of the model cannot be read: %s" % (path, error.strerror)) from error
        if digest.hexdigest() != wanted:
            raise ChangedModel("%s is not what was registered; the model is not loaded" % path)


def framed(scorer: PyfuncScorer) -> replica_host.Answer:
    """Return what turns a request's frame into its response's."""

    def answer(meta: bytes, body: bytes) -> tuple[bytes, bytes]:
        sent: dict[str, Any] = json.loads(meta) if meta else {}
        try:
            reply = scorer(Request(body, **{name: sent[name] for name in _ASKED if name in sent}))
        finally:
            replica_host.flush_output()
        if reply.status == 200 and reply.content_type == JSON:
            return b"", reply.body
        return json.dumps({"status": reply.status, "content_type": reply.content_type}).encode("utf-8"), reply.body

    return answer


def _describe(error: BaseException) -> str:
    text = str(error)[:500]
    if isinstance(error, ModuleNotFoundError):
        where = "the environment has no module %r, which the model needs" % error.name
        return "%s; name an environment that has it (%s)" % (where, sys.executable)
    return text if isinstance(error, ChangedModel) else "%s: %s" % (type(error).__name__, text)
