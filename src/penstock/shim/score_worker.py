"""Host a user's ``score.py`` in the deployment's own interpreter: ``init()`` once, ``run(data)`` for each request.

Standard library only, Python >= 3.9. Started with one JSON argument, see :func:`main`. With one worker, ``init`` and
``run`` are both called on the main thread, as Azure ML's server does, so scripts need not be thread-safe.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from types import FrameType, ModuleType
from typing import Any, Callable, Optional
from urllib.parse import parse_qsl

from . import replica_host

SERVER_VERSION = "penstock/1"
EXIT_CANNOT_LOAD = 3
TOLD_TIMEOUT_S = 10.0


class _Stopped(SystemExit):
    """SIGTERM came; unlike a script's own ``sys.exit`` it is no failure of the script."""


class ScriptError(Exception):
    """The script is not what a scoring script has to be."""


def main(argument: str) -> None:
    """Run until the supervisor's pipe closes or SIGTERM comes.

    Parameters
    ----------
    argument : str
        JSON: ``fd`` (listening socket), ``identity``, ``code`` (folder), ``script`` (relative to it), ``workers``.
    """
    assignment = json.loads(argument)
    replica_host.end_with_parent(replica_host.parent_descriptor())
    signal.signal(signal.SIGTERM, _stop)
    host = replica_host.ReplicaHost(socket.socket(fileno=assignment["fd"]), assignment["identity"])
    host.update(state="loading")
    host.start()
    code = os.path.abspath(assignment["code"])
    script = os.path.join(code, assignment["script"])
    try:
        answer = load_script(script, code)
    except _Stopped:
        raise
    except BaseException as error:
        text = user_traceback(error, code)
        sys.stderr.write(text)
        replica_host.flush_output()
        host.update(state="failed", message=describe_error(error, code), traceback=text)
        host.wait_told(TOLD_TIMEOUT_S)
        os._exit(EXIT_CANNOT_LOAD)
    replica_host.flush_output()
    workers = max(1, int(assignment["workers"]))
    for number in range(1, workers):
        threading.Thread(target=host.work, args=(answer,), name="worker-%d" % number, daemon=True).start()
    host.update(state="ready", workers=workers)
    host.work(answer)


def _stop(_number: int, _frame: Optional[FrameType]) -> None:
    raise _Stopped(0)


def load_script(script: str, code: str) -> replica_host.Answer:
    """Import the script, call its ``init`` and return what answers requests.

    Raises
    ------
    ScriptError
        If it has no ``init`` or ``run``, or ``run`` takes something that cannot be given.
    """
    for folder in (code, os.path.dirname(script)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    if not os.path.isfile(script):
        raise ScriptError("there is no file %s in the code" % os.path.relpath(script, code))
    module = _import(script)
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise ScriptError("%s does not define %s()" % (os.path.basename(script), name))
    parameter, has_headers = analyze_run(module.run)
    module.init()
    return _Answer(module.run, parameter, has_headers, code)


def _import(script: str) -> ModuleType:
    name = os.path.splitext(os.path.basename(script))[0]
    spec = importlib.util.spec_from_file_location(name, script)
    if spec is None or spec.loader is None:
        raise ScriptError("%s is no Python file" % os.path.basename(script))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def analyze_run(run: Callable[..., Any]) -> tuple[str, bool]:
    """Return the name of the parameter that gets the data, and whether ``request_headers`` is wanted.

    Raises
    ------
    ScriptError
        If there is no parameter for data, more than one without a default, or one that cannot be given by name.
    """
    parameters = list(inspect.signature(run).parameters.values())
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ScriptError("run() cannot take positional-only parameters, *args or **kwargs")
    data = [parameter for parameter in parameters if parameter.name != "request_headers"]
    if not data:
        raise ScriptError("run() must take a parameter for the data")
    further = [parameter.name for parameter in data[1:] if parameter.default is parameter.empty]
    if further:
        raise ScriptError("run() takes %s besides the data, which nothing gives" % ", ".join(further))
    return data[0].name, len(data) < len(parameters)


class _Answer:
    """Turn a request into a call of ``run`` and its result into a response."""

    def __init__(self, run: Callable[..., Any], parameter: str, has_headers: bool, code: str) -> None:
        self._run = run
        self._parameter = parameter
        self._has_headers = has_headers
        self._code = code

    def __call__(self, meta: bytes, body: bytes) -> tuple[bytes, bytes]:
        request = json.loads(meta) if meta else {}
        try:
            data = read_data(request, body)
        except UnicodeDecodeError as error:
            return _reply(400, _message("the body is not UTF-8 text: %s" % error), None)
        arguments: dict[str, Any] = {self._parameter: data}
        if self._has_headers:
            arguments["request_headers"] = request.get("headers", {})
        started = time.perf_counter()
        try:
            result = self._run(**arguments)
            elapsed_ms = (time.perf_counter() - started) * 1000.0
            status, headers, content = encode_result(result)
        except Exception as error:
            elapsed_ms = (time.perf_counter() - started) * 1000.0
            sys.stderr.write(user_traceback(error, self._code))
            status, headers, content = 500, {}, _message(describe_error(error, self._code))
            return _reply(status, content, elapsed_ms, headers, is_failed=True)
        finally:
            replica_host.flush_output()
        return _reply(status, content, elapsed_ms, headers)


def read_data(request: dict[str, Any], body: bytes) -> str:
    """Return what ``run`` gets: the body as text, or a GET's parameters as a JSON text.

    Each GET value is parsed as JSON where it is some, and a repeated name becomes a list.
    """
    if request.get("method", "POST") != "GET":
        return body.decode("utf-8")
    values: dict[str, list[Any]] = {}
    for name, value in parse_qsl(request.get("query", ""), keep_blank_values=True):
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        values.setdefault(name, []).append(parsed)
    return json.dumps({name: found if len(found) > 1 else found[0] for name, found in values.items()})


def encode_result(result: Any) -> tuple[int, dict[str, str], bytes]:
    """Return (status, headers, body) of what ``run`` returned.

    A response object (of Flask, or of ``aml_response``) goes as it is; anything else is encoded as JSON, a str too.
    """
    if hasattr(result, "get_data") and hasattr(result, "status_code"):
        headers = {str(name).lower(): str(value) for name, value in dict(result.headers).items()}
        headers.pop("content-length", None)
        content = result.get_data()
        return int(result.status_code), headers, content if isinstance(content, bytes) else content.encode("utf-8")
    return 200, {}, json.dumps(result).encode("utf-8")


def user_traceback(error: BaseException, code: str) -> str:
    """Return the traceback from the first line of the user's own code on; the whole one where none is.

    What is wrong with the script as a whole (its syntax, a missing ``run``) needs no traceback of ours.
    """
    frame = error.__traceback__
    while frame is not None and not frame.tb_frame.f_code.co_filename.startswith(code):
        frame = frame.tb_next
    if isinstance(error, ScriptError):
        return "%s\n" % error
    if frame is None and isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(type(error), error))
    return "".join(traceback.format_exception(type(error), error, frame or error.__traceback__))


def describe_error(error: BaseException, code: str) -> str:
    """Return one sentence: ``score.py:12: ValueError: …``."""
    place = ""
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith(code):
        place = "%s:%s: " % (os.path.relpath(error.filename, code), error.lineno)
    for entry in traceback.extract_tb(error.__traceback__):
        if entry.filename.startswith(code):
            place = "%s:%s: " % (os.path.relpath(entry.filename, code), entry.lineno)
    if isinstance(error, ScriptError):
        return str(error)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return "%s%s: %s" % (place, type(error).__name__, text[:500])


def _message(text: str) -> bytes:
    return json.dumps({"message": text}).encode("utf-8")


def _reply(
    status: int,
    content: bytes,
    elapsed_ms: Optional[float],
    headers: Optional[dict[str, str]] = None,
    is_failed: bool = False,
) -> tuple[bytes, bytes]:
    headers = dict(headers or {})
    headers["x-ms-server-version"] = SERVER_VERSION
    headers["x-ms-run-function-failed"] = "True" if is_failed or status >= 500 else "False"
    if elapsed_ms is not None:
        headers["x-ms-run-fn-exec-ms"] = "%.3f" % elapsed_ms
    content_type = headers.pop("content-type", "application/json")
    meta = {"status": status, "content_type": content_type, "headers": headers}
    return json.dumps(meta).encode("utf-8"), content
