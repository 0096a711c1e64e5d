"""What a ``@rawhttp`` script gets as its request: flask's where the script uses flask, else ours.

Standard library only, Python >= 3.9; loaded for such scripts alone.
"""

from __future__ import annotations

import io
import sys
from typing import Any

from .aml_request import AMLRequest
from .score_inputs import Request


def make_request(request: Request) -> Any:
    """Return a request object."""
    flask = sys.modules.get("flask")
    return AMLRequest(request) if flask is None else flask.Request(_environment(request))


def _environment(request: Request) -> dict[str, Any]:
    """Return the request as WSGI has it."""
    found: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    # The gateway does not pass lengths on, and flask reads no body of unknown length.
    length = request.headers.get("Content-Length") or (str(len(request.body)) if request.body else "")
    if length:
        found["CONTENT_LENGTH"] = length
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            found[key] = value
        elif key != "CONTENT_LENGTH":
            found["HTTP_" + key] = value
    return found
