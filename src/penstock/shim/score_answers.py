"""Answer requests with a loaded script, as the public scoring server does: routes, codes, headers and bodies.

Standard library only, Python >= 3.9. One :class:`Scorer` is called from as many threads as its host has; the time limit
holds on the main thread, whose interval timer it uses.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Callable, Optional
from urllib.parse import parse_qs

from .score_cors import Cors
from .score_identifiers import identify
from .score_inputs import Arguments, InputError, Request, schema_arguments, text_arguments
from .score_script import RAW, SCHEMA, Script, Stopped, describe_error, user_traceback
from .score_settings import Settings
from .score_swagger import Descriptions

SERVER_VERSION = "penstock/1"
JSON, HTML = "application/json", "text/html; charset=utf-8"
SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
ANSWER_FAILED = "An unexpected internal error occurred. Check the logs for more info."
_FAILED = "x-ms-run-function-failed"
_HEALTH_METHODS = ("GET", "HEAD", "OPTIONS")


class Reply:
    """An answer; ``headers`` are without the content type and length."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(self, status: int, content_type: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.body = body


class TimeIsUp(TimeoutError):
    """``run`` took longer than ``SCORING_TIMEOUT_MS``."""


class Scorer:
    """A script and everything that answers for it.

    Parameters
    ----------
    script : Script
        Loaded, its ``init`` called.
    settings : Settings
        How it is hosted.
    is_alone : bool
        Whether nothing stands before it that gives answers their ids.
    """

    def __init__(self, script: Script, settings: Settings, is_alone: bool = False) -> None:
        self.script = script
        self.descriptions = Descriptions(script, settings)
        self._run = script.run
        self._code = script.code
        self._arguments = arguments_of(script)
        self._is_alone = is_alone
        self._timeout_ms = settings.timeout_ms
        self._cors = Cors(settings.cors_origins) if settings.cors_origins else None
        self._version = [("x-ms-server-version", SERVER_VERSION)] if settings.has_version else []
        self._routes: dict[str, tuple[tuple[str, ...], Callable[[Request], Reply]]] = {
            "/score": (("GET", "POST", "OPTIONS", "HEAD"), self._score),
            "/": (_HEALTH_METHODS, self._health),
            "/swagger.json": (_HEALTH_METHODS, self._describe),
        }

    def __call__(self, request: Request) -> Reply:
        """Answer one request; never raises but when the process is to end."""
        route = self._routes.get(request.path)
        if route is None:
            return _problem(404, "There is nothing at %s." % request.path[:200])
        if request.method not in route[0]:
            return _unsuited(request)
        identity: list[tuple[str, str]] = []
        problem = ""
        if self._is_alone:
            identity, problem = identify(request.headers)
        reply = _problem(431, problem) if problem else route[1](request)
        reply.headers += self._version
        reply.headers += identity
        if self._cors is not None:
            reply.headers += self._cors.headers(request)
        return reply

    def describe(self) -> dict[str, Any]:
        """Return what the script says of its inputs and outputs, with a sample request, as JSON types."""
        if self.script.kind != SCHEMA:
            return {}
        given, answered = self.descriptions.input, self.descriptions.output
        return {"inputs": given, "outputs": answered, "sample_request": given.get("example")}

    def _score(self, request: Request) -> Reply:
        method = request.method
        if self.script.kind != RAW and method not in ("GET", "POST"):
            return Reply(200, HTML, [(_FAILED, "False")], b"") if method == "OPTIONS" else _unsuited(request)
        try:
            arguments = self._arguments(request)
        except InputError as error:
            return _problem(error.status, str(error))
        if self.script.has_headers:
            arguments["request_headers"] = dict(request.headers)
        clock = time.perf_counter
        started = clock()
        try:
            result = self._limited(arguments)
            elapsed_ms = (clock() - started) * 1000.0
        except TimeIsUp:
            sys.stderr.write("run() was stopped after %d ms (SCORING_TIMEOUT_MS)\n" % self._timeout_ms)
            return _problem(500, "Scoring timeout after %d ms" % self._timeout_ms, is_failed=True)
        except Stopped:
            raise
        except (Exception, SystemExit) as error:
            sys.stderr.write(user_traceback(error, self._code))
            return _problem(500, SCRIPT_FAILED, is_failed=True)
        try:
            reply = encode_result(result)
        except Exception as error:
            sys.stderr.write("what run() returned is no answer: %s\n" % describe_error(error, self._code))
            return _problem(500, ANSWER_FAILED)
        reply.headers.append(("x-ms-run-fn-exec-ms", "%.3f" % elapsed_ms))
        return reply

    def _limited(self, arguments: dict[str, Any]) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return self._run(**arguments)
        before = signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, self._timeout_ms / 1000.0)
        try:
            return self._run(**arguments)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)

    def _health(self, request: Request) -> Reply:
        if request.method == "OPTIONS":
            return _methods()
        return Reply(200, HTML, [], b"Healthy")

    def _describe(self, request: Request) -> Reply:
        if request.method == "OPTIONS":
            return _methods()
        version = parse_qs(request.query, keep_blank_values=True).get("version", ["2"])[0]
        document, problem = self.descriptions.find(version)
        if document is None:
            return _problem(404, problem)
        return Reply(200, JSON, [(_FAILED, "False")], json.dumps(document).encode("utf-8"))


def arguments_of(script: Script) -> Arguments:
    """Return what turns a request into the arguments of the script's ``run``."""
    name = script.parameters[0].name
    if script.kind == SCHEMA:
        return schema_arguments(script.parameters)
    if script.kind != RAW:
        return text_arguments(name)
    from .score_raw import make_request

    return lambda request: {name: make_request(request)}


def encode_result(result: Any) -> Reply:
    """Return the answer for what ``run`` returned.

    A response object (of flask, or an ``AMLResponse``) goes as it is; anything else as JSON, a str too, and None as an
    empty object.
    """
    if not (hasattr(result, "get_data") and hasattr(result, "status_code")):
        body = b"{}" if result is None else json.dumps(result).encode("utf-8")
        return Reply(200, JSON, [(_FAILED, "False")], body)
    if getattr(result, "direct_passthrough", False):  # flask's send_file, whose data cannot be read otherwise
        result.direct_passthrough = False
    content = result.get_data()
    status, content_type, headers = int(result.status_code), "", []
    for name, value in list(result.headers.items()):
        lowered = name.lower()
        if lowered == "content-type":
            content_type = str(value)
        elif lowered != "content-length" and not (lowered == _FAILED and status >= 500):
            headers.append((name, str(value)))
    if status >= 500:
        headers.append((_FAILED, "True"))
    return Reply(status, content_type, headers, content if isinstance(content, bytes) else content.encode("utf-8"))


def _ring(_number: int, _frame: Optional[FrameType]) -> None:
    raise TimeIsUp


def _problem(status: int, message: str, is_failed: bool = False) -> Reply:
    return Reply(status, JSON, [(_FAILED, str(is_failed))], json.dumps({"message": message}).encode("utf-8"))


def _unsuited(request: Request) -> Reply:
    return _problem(405, "%s is not for %s." % (request.method[:20], request.path))


def _methods() -> Reply:
    return Reply(200, HTML, [("Allow", ", ".join(_HEALTH_METHODS))], b"")
