"""Load a user's ``score.py`` and find out how its ``run`` wants to be called. Standard library only, Python >= 3.9.

Also words what goes wrong in it: tracebacks that begin at the user's own code.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import traceback
from types import FrameType, ModuleType, TracebackType
from typing import Any, Callable, Optional

from . import aml_modules

TEXT, SCHEMA, RAW = "text", "schema", "raw"
_OURS = (os.path.dirname(os.path.abspath(__file__)), "<frozen importlib")


class Stopped(SystemExit):
    """SIGTERM came; unlike a script's own ``sys.exit`` it is no failure of the script."""


class ScriptError(Exception):
    """The script is not what a scoring script has to be."""


class Script:
    """A loaded script.

    Parameters
    ----------
    init, run : callable
        The script's own.
    kind : str
        ``TEXT``: run gets the body as text; ``SCHEMA``: arguments by name, as ``inference-schema`` describes them;
        ``RAW``: the request itself.
    parameters : list of inspect.Parameter
        Those of ``run`` but for ``request_headers``.
    has_headers : bool
        Whether ``run`` takes ``request_headers``.
    code : str
        The folder of the user's code.
    """

    def __init__(
        self,
        init: Callable[[], Any],
        run: Callable[..., Any],
        kind: str,
        parameters: list[inspect.Parameter],
        has_headers: bool,
        code: str,
    ) -> None:
        self.init = init
        self.run = run
        self.kind = kind
        self.parameters = parameters
        self.has_headers = has_headers
        self.code = code


def stop(_number: int, _frame: Optional[FrameType]) -> None:
    """Handle SIGTERM."""
    raise Stopped(0)


def extend_path(app_root: str) -> None:
    """Let imports find what lies in ``AML_APP_ROOT`` and in ``AZUREML_SOURCE_DIRECTORY`` below it."""
    source = os.environ.get("AZUREML_SOURCE_DIRECTORY", "")
    for folder in (app_root, os.path.join(app_root, source)):
        if folder not in sys.path:
            sys.path.append(folder)


def model_contents() -> str:
    """Return a line on what ``AZUREML_MODEL_DIR`` holds, for scripts whose ``init`` did not find its model there."""
    folder = os.environ.get("AZUREML_MODEL_DIR")
    if not folder:
        return "AZUREML_MODEL_DIR is not set\n"
    found = []
    for at, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(at, name), folder) for name in names]
    shown = ", ".join(sorted(found)[:20]) or "nothing"
    return "AZUREML_MODEL_DIR holds: %s%s\n" % (shown, ", …" if len(found) > 20 else "")


def load_script(script: str, code: str) -> Script:
    """Import the script and look at its ``run``; ``init`` is not called yet.

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
    aml_modules.install()
    module = _import(script)
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise ScriptError("%s does not define %s()" % (os.path.basename(script), name))
    # Tools of Azure ML generate an entry script around the real one; its run() passes arguments on by position only.
    inner = getattr(module, "driver_module", None)
    run = inner.run if isinstance(inner, ModuleType) and callable(getattr(inner, "run", None)) else module.run
    return analyze(module.init, run, code)


def analyze(init: Callable[[], Any], run: Callable[..., Any], code: str) -> Script:
    """Return how ``run`` is to be called.

    Raises
    ------
    ScriptError
        If there is no parameter for data, one that nothing gives, or one that cannot be given by name.
    """
    every = list(inspect.signature(run).parameters.values())
    for parameter in every:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ScriptError("run() cannot take positional-only parameters, *args or **kwargs")
    parameters = [parameter for parameter in every if parameter.name != "request_headers"]
    if not parameters:
        raise ScriptError("run() must take a parameter for the data")
    schema = sys.modules.get("inference_schema.schema_util")
    is_described = schema is not None and bool(schema.is_schema_decorated(run))
    is_raw = aml_modules.is_raw_requested()
    if is_raw and is_described:
        raise ScriptError("run() cannot have both @rawhttp and @input_schema")
    kind = RAW if is_raw else SCHEMA if is_described else TEXT
    further = [each.name for each in parameters[1:] if each.default is each.empty]
    if further and kind != SCHEMA:
        raise ScriptError("run() takes %s besides the data, which nothing gives" % ", ".join(further))
    return Script(init, run, kind, parameters, len(parameters) < len(every), code)


def _import(script: str) -> ModuleType:
    name = os.path.splitext(os.path.basename(script))[0]
    spec = importlib.util.spec_from_file_location(name, script)
    if spec is None or spec.loader is None:
        raise ScriptError("%s is no Python file" % os.path.basename(script))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def user_traceback(error: BaseException, code: str) -> str:
    """Return the traceback from the first line of the user's own code on, or of what it called where that is not in it.

    What is wrong with the script as a whole (its syntax, a missing ``run``) needs no traceback of ours.
    """
    if isinstance(error, ScriptError):
        return "%s\n" % error
    frame = _skip(error.__traceback__, lambda file: not file.startswith(code))
    if frame is None and isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(type(error), error))
    if frame is None:
        frame = _skip(error.__traceback__, lambda file: file.startswith(_OURS))
    return "".join(traceback.format_exception(type(error), error, frame or error.__traceback__))


def _skip(frame: Optional[TracebackType], is_foreign: Callable[[str], bool]) -> Optional[TracebackType]:
    while frame is not None and is_foreign(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return frame


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
