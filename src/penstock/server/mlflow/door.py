"""The MLflow door: which handler answers which path, as one plain ASGI app.

A table looked up by (method, path) costs a hot path nothing; the framework's router and validation are not in it.
"""

from __future__ import annotations

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from penstock.access.actors import Actor
from penstock.entities.errors import PenstockError
from penstock.server.mlflow.actions import action_of
from penstock.server.mlflow.errors import (
    NotHereYetError,
    UnknownPathError,
    WrongMethodError,
    defect_response,
    error_response,
)
from penstock.server.mlflow.lane import Lane, LaneCall
from penstock.server.mlflow.routes import ARTIFACTS, FILE_HANDLERS, allowed_methods, find_handler, is_missing
from penstock.server.services import Services

PROTOCOL_VERSION = "3.18.0"
PREFIXES = ("/api/2.0/mlflow", "/api/3.0/mlflow", "/v1/traces", "/ajax-api/2.0/mlflow", "/ajax-api/3.0/mlflow")
PAGES = "/ajax-api/"
"""How MLflow's own pages spell the beginning of every path."""
VERSION_PATH = "/version"

_JSON = (b"content-type", b"application/json")
_SERVER_INFO = {
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "artifacts_presigned_only": False,
    "multipart_uploads_enabled": False,
    "multipart_downloads_enabled": False,
    "presigned_upload_run_id_supported": False,
    "presigned_upload_model_id_supported": False,
    "features_enabled": {"gateway": False},
}


def is_mlflow(path: str) -> bool:
    """Return whether a path belongs to this door."""
    return path.startswith(PREFIXES) or path == VERSION_PATH


def takes_file(method: str, path: str) -> bool:
    """Return whether the body of such a request is a file, without a limit of size."""
    return method == "PUT" and path.startswith(ARTIFACTS)


class MlflowDoor:
    """Answers the MLflow protocol; the token was checked before."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lane = Lane(services.store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        response: Response | bytes
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except PenstockError as error:
            response = error_response(error)
        except Exception as error:
            response = defect_response(error, scope["path"])
        if isinstance(response, bytes):
            # What the framework's response does, less its parts for other kinds: a tenth of a logged metric's time.
            headers = [(b"content-length", b"%d" % len(response)), _JSON]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": response})
        else:
            await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response | bytes:
        method, path = request.method, request.scope["path"]
        if path.startswith(PAGES):
            path = "/api/" + path.removeprefix(PAGES)
        actor: Actor = request.scope["state"]["actor"]
        call = LaneCall(self._services, actor, request, self._lane)
        handler = find_handler(method, path)
        if handler is not None:
            actor.check(action_of(method, path))
            found = await handler(call)
            return found if isinstance(found, Response) else msgspec.json.encode(found)
        if path.startswith(f"{ARTIFACTS}/") and method in FILE_HANDLERS:
            actor.check(action_of(method, path))
            return await FILE_HANDLERS[method](call, path.removeprefix(f"{ARTIFACTS}/"))
        if path == VERSION_PATH:
            return PlainTextResponse(PROTOCOL_VERSION)
        if path == "/api/3.0/mlflow/server-info":
            return msgspec.json.encode(_SERVER_INFO)
        return _answer_without_handler(method, path)


def _answer_without_handler(method: str, path: str) -> Response:
    if is_missing(path):
        raise NotHereYetError(f"{method} {path} is a part of MLflow that this server does not have yet.")
    allowed = allowed_methods(path)
    if not allowed:
        raise UnknownPathError(f"Nothing of MLflow's protocol is at {path}.")
    if method == "OPTIONS":
        return Response(None, 204, {"allow": ", ".join(allowed)})
    raise WrongMethodError(method, path, allowed)
