"""The server's ASGI app: checks first, then the door a path belongs to."""

from __future__ import annotations

import logging
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.entities.asset import AssetKind, DataSpec, EnvironmentSpec, ModelSpec
from penstock.entities.errors import InvalidPathError, PenstockError
from penstock.jobs.collection import Collector
from penstock.server import openapi, problems
from penstock.server.api import (
    audit,
    content,
    endpoints,
    experiments,
    export,
    gc,
    internal,
    jobs,
    run_records,
    run_search,
    runs,
    tokens,
    workspace,
)
from penstock.server.api.assets import build_router
from penstock.server.api.callers import check_action
from penstock.server.api.strictness import check_body
from penstock.server.beside import Beside
from penstock.server.idempotency import Once
from penstock.server.mlflow import errors as mlflow_errors
from penstock.server.mlflow.door import MlflowDoor, is_mlflow, takes_file
from penstock.server.security import BodyLimit, HostCheck, TokenCheck
from penstock.server.services import Services

logger = logging.getLogger(__name__)

API = "/api/v1"


def create_app(services: Services) -> ASGIApp:
    """Return the server's app: REST, MLflow protocol and the doors of agents and gateway."""
    doors = _Doors(create_api(services), MlflowDoor(services))
    settings = services.settings.server
    limited = BodyLimit(doors, max_bytes=settings.max_body_bytes, is_file=_takes_file, refuse=_refuse)
    known = TokenCheck(limited, access=services.access, refuse=_refuse)
    return HostCheck(known, bound_hosts=services.bound_hosts, allowed_hosts=settings.allowed_hosts, refuse=_refuse)


def create_api(services: Services) -> FastAPI:
    """Return the REST app alone; it trusts that the caller was checked before."""
    app = FastAPI(
        title="Penstock",
        version=services.version,
        description="Jobs, run history, assets and endpoints of one workspace.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_action), Depends(check_body)],
    )
    app.state.services = services
    app.state.once = Once(services)
    app.state.beside = Beside(services.store, most=services.settings.server.max_exports)
    app.state.collector = Collector(services.store, services.blobs, clock=services.now)
    api = APIRouter(prefix=API)
    for part in (
        jobs,
        run_search,
        export,
        run_records,
        runs,
        experiments,
        content,
        workspace,
        tokens,
        audit,
        gc,
        endpoints,
    ):
        api.include_router(part.router)
    api.include_router(build_router(AssetKind.MODEL, "models", ModelSpec))
    api.include_router(build_router(AssetKind.DATA, "data", DataSpec))
    api.include_router(build_router(AssetKind.ENVIRONMENT, "environments", EnvironmentSpec))
    app.include_router(workspace.root_router)
    app.include_router(api)
    app.include_router(internal.router)
    _add_handlers(app)
    openapi.install(app)
    return app


def _add_handlers(app: FastAPI) -> None:
    @app.exception_handler(Exception)
    async def show_defect(request: Request, error: Exception) -> Response:
        return problems.defect_response()

    @app.exception_handler(PenstockError)
    async def show_error(request: Request, error: PenstockError) -> Response:
        return problems.problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def show_query_error(request: Request, error: RequestValidationError) -> Response:
        return problems.problem_response(problems.query_error(error.errors()))

    @app.exception_handler(HTTPException)
    async def show_status(request: Request, error: HTTPException) -> Response:
        return problems.status_response(error.status_code, "" if error.status_code in {404, 405} else str(error.detail))


class _Doors:
    """Chooses the door; what nobody expected becomes an answer here, not a broken connection."""

    def __init__(self, api: FastAPI, mlflow: MlflowDoor) -> None:
        self._api = api
        self._mlflow = mlflow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_text(scope):
            error = InvalidPathError("the path or the query is no UTF-8", hint="Percent-encode names as UTF-8.")
            await _refuse(scope, error)(scope, receive, send)
            return
        if scope["type"] == "http" and is_mlflow(scope["path"]):
            await self._mlflow(scope, receive, send)
            return
        try:
            await self._api(scope, receive, send)
        except ClientDisconnect:  # whoever sent the body is gone; nobody waits for an answer
            return
        except Exception:  # answered already by the framework's outermost handler
            logger.exception("request to %s failed", scope.get("path"))


def _is_text(scope: Scope) -> bool:
    """Return whether a path and a query are UTF-8: what is not would be decoded to one name for many."""
    sent: bytes = (scope.get("raw_path") or b"") + b"?" + scope["query_string"]
    if b"%" not in sent and sent.isascii():
        return True
    try:
        unquote_to_bytes(sent).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refuse(scope: Scope, error: PenstockError) -> Response:
    if is_mlflow(scope["path"]):
        return mlflow_errors.error_response(error)
    return problems.problem_response(error)


def _takes_file(scope: Scope) -> bool:
    method, path = scope["method"], scope["path"]
    if path.startswith((f"{API}/blobs/", f"{API}/uploads/")):
        return method in {"PUT", "PATCH"}
    return takes_file(method, path) or (path.startswith("/internal/attempts/") and path.endswith("/finish"))
