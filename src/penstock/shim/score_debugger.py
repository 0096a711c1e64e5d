"""Let a debugger in, where ``debugpy`` is installed beside the script. Standard library only, Python >= 3.9."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .score_script import ScriptError

HOST = "127.0.0.1"


def listen(port: int) -> None:
    """Wait for a debugger to attach.

    Raises
    ------
    ScriptError
        If debugpy is not installed.
    """
    debugpy = _load()
    debugpy.listen((HOST, port))
    sys.stderr.write("Waiting for a debugger at %s:%d\n" % (HOST, port))
    sys.stderr.flush()
    debugpy.wait_for_client()


def connect(port: int) -> None:
    """Connect to a debugger that waits at a port (``AZUREML_DEBUG_PORT``); nothing for 0.

    Raises
    ------
    ScriptError
        If debugpy is not installed.
    """
    if port:
        debugpy = _load()
        debugpy.connect((HOST, port))
        debugpy.wait_for_client()


def _load() -> Any:
    try:
        return importlib.import_module("debugpy")  # the user's, where there is one
    except ModuleNotFoundError:
        raise ScriptError("debugpy is not installed; do: %s -m pip install debugpy" % sys.executable) from None
