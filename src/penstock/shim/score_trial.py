"""Call a script's ``init`` and ``run`` once, in the open: timings, the answer, tracebacks from the user's first line.

Standard library only, Python >= 3.9. Nothing is redirected and no thread is started, so ``breakpoint()`` and debuggers
work. The answer goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import os
import sys
import time
from typing import Any, Optional

from . import score_debugger
from .score_answers import Scorer
from .score_inputs import Request
from .score_script import RAW, SCHEMA, extend_path, load_script, model_contents, user_traceback
from .score_settings import read_settings

FINE, FAILED = 0, 1


def main(argument: str) -> int:
    """Try a script as a JSON text says, see :func:`run`."""
    return run(json.loads(argument))


def run(given: dict[str, Any]) -> int:
    """Try a script and return the exit status.

    Parameters
    ----------
    given : dict
        ``script`` (absolute), ``code`` and ``app_root`` (folders), ``data`` or ``image`` (a file, or neither),
        ``field`` (the name a picture gets in the JSON) and ``debug_port`` (0 for none).
    """
    script, code = given["script"], given["code"]
    try:
        if given["debug_port"]:
            score_debugger.listen(given["debug_port"])
        settings = read_settings(os.environ, given["app_root"], script)
        extend_path(given["app_root"])
        started = time.perf_counter()
        loaded = load_script(script, code)
        _say("%s was imported in %.1f ms" % (os.path.basename(script), _ms_since(started)))
        started = time.perf_counter()
        loaded.init()
        _say("init() took %.1f ms" % _ms_since(started))
        scorer = Scorer(loaded, settings)
    except (Exception, SystemExit) as error:
        sys.stderr.write(user_traceback(error, code))
        if isinstance(error, OSError):
            sys.stderr.write(model_contents())
        return FAILED
    request = make_request(scorer, given)
    return FINE if request is None else _score(scorer, request)


def make_request(scorer: Scorer, given: dict[str, Any]) -> Optional[Request]:
    """Return the request that is tried; None where nothing is given and the script says no sample."""
    kind = "application/json"
    if given["image"]:
        content = _read(given["image"])
        if scorer.script.kind == RAW:
            kind = mimetypes.guess_type(given["image"])[0] or "application/octet-stream"
        else:
            content = json.dumps({given["field"]: base64.b64encode(content).decode("ascii")}).encode("ascii")
    elif given["data"]:
        content = _read(given["data"])
    elif scorer.script.kind == SCHEMA:
        _say("run() gets the sample of its @input_schema")
        content = json.dumps(scorer.describe()["sample_request"]).encode("utf-8")
    else:
        _say("run() was not called: give it --data or --image")
        return None
    return Request("POST", "/score", "", {"Content-Type": kind, "Content-Length": str(len(content))}, content)


def _score(scorer: Scorer, request: Request) -> int:
    reply = scorer(request)
    took = dict(reply.headers).get("x-ms-run-fn-exec-ms")
    if took is not None:
        _say("run() took %.1f ms" % float(took))
    sys.stderr.flush()
    if "json" in reply.content_type or reply.content_type.startswith("text/"):
        sys.stdout.write(reply.body.decode("utf-8", "replace") + "\n")
        sys.stdout.flush()
    else:
        _say("the answer is %d bytes of %s" % (len(reply.body), reply.content_type or "an unknown type"))
    if reply.status != 200:
        _say("status %d" % reply.status)
    _say_labels(reply.body)
    return FINE if reply.status < 400 else FAILED


def _say_labels(body: bytes) -> None:
    """Say the labels of an answer that holds predictions."""
    try:
        answer = json.loads(body)
        labels = [str(each["label"]) for each in answer["predictions"]]
    except (ValueError, KeyError, TypeError):
        return
    _say("predicted: %s" % ", ".join(labels))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SystemExit("error: %s: %s" % (path, error.strerror)) from None


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000.0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
