"""The description at ``/openapi.json``: built when asked for, from the entities themselves.

Routes return ready answers, so the framework neither validates nor copies them; :func:`describe` says in a route
what it takes and gives. That also keeps one type adapter a route out of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from penstock.rules.permissions import Action, least_role

Schema = dict[str, Any]

REF = "#/components/schemas/"
ACTION = "x-penstock-action"
"""Names the action of a door in its description; the door is judged by it."""
ROLE = "x-penstock-role"
PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457 problem details; `pointer` is a JSON Pointer into what was sent.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "pointer": {"type": "string"},
        "ref": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {key: {"type": "string"} for key in ("pointer", "message", "hint")},
            },
        },
    },
}
TAGS = [
    {"name": "jobs", "description": "Submit, watch and cancel jobs."},
    {"name": "runs", "description": "What runs logged: artifacts, metrics, experiments."},
    {"name": "content", "description": "Blobs, resumable uploads and folder trees."},
    {"name": "models", "description": "Registered models."},
    {"name": "data", "description": "Registered data."},
    {"name": "environments", "description": "Registered environments."},
    {"name": "online-endpoints", "description": "Online endpoints and their deployments."},
    {"name": "workspace", "description": "The server itself, computes and the audit log."},
    {"name": "internal", "description": "Doors of Penstock's own processes; they may change at any time."},
]


def text(description: str = "") -> Schema:
    """Return the schema of a string."""
    return {"type": "string", "description": description} if description else {"type": "string"}


def record(**properties: Schema) -> Schema:
    """Return the schema of an object whose members are all required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def array(items: Schema | type[BaseModel]) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": _schema(items)}


def page_of(items: Schema | type[BaseModel]) -> Schema:
    """Return the schema of one page of a list."""
    following = text("where the next page begins; absent on the last one")
    return {"type": "object", "properties": {"items": array(items), "next": following}, "required": ["items"]}


def describe(
    summary: str,
    gives: Schema | type[BaseModel] | None = None,
    *,
    takes: Schema | type[BaseModel] | None = None,
    status: int = 200,
    media: str = "application/json",
    takes_media: str = "application/json",
    fails: tuple[int, ...] = (),
    is_open: bool = False,
    action: Action | None = None,
) -> dict[str, Any]:
    """Return the arguments of a route decorator that describe it.

    Parameters
    ----------
    gives, takes : entity class or schema, optional
        The bodies of the answer and the request.
    fails : tuple of int
        Statuses of problems that callers should expect, besides 401 and 403.
    is_open : bool
        Whether it answers without a token.
    action : Action, optional
        What the caller's role must allow; without it the door is judged by its method.
    """
    answer: Schema = {"description": "Success"}
    if gives is not None:
        answer["content"] = {media: {"schema": _schema(gives)}}
    problem = {"content": {"application/problem+json": {"schema": {"$ref": REF + "Problem"}}}}
    responses: dict[str, Any] = {str(status): answer}
    responses |= {
        str(code): {"description": _FAILURES[code], **problem} for code in (*fails, *(() if is_open else (401, 403)))
    }
    extra: Schema = {"responses": responses, "security": []} if is_open else {"responses": responses}
    if action is not None:
        extra[ACTION] = action.value
        extra |= {ROLE: role.value} if (role := least_role(action)) else {}
    if takes is not None:
        extra["requestBody"] = {"required": True, "content": {takes_media: {"schema": _schema(takes)}}}
    return {"summary": summary, "status_code": status, "response_class": Response, "openapi_extra": extra}


_FAILURES = {
    400: "The request cannot be meant like this",
    401: "No token, or a wrong one",
    403: "The token does not allow this",
    404: "No such thing",
    409: "Exists already, or its state does not allow this",
    412: "`If-Match` names another revision",
    416: "The range lies outside the file",
    422: "The spec has problems; each has a pointer",
    429: "As much of this runs as may at once; `Retry-After` says when to try again",
    503: "This cannot be answered now",
    507: "The disk is full",
}


class _Entity(dict[str, Any]):
    """A reference that remembers its class until the description is built."""

    def __init__(self, model: type[BaseModel]) -> None:
        super().__init__({"$ref": REF + model.__name__})
        _models[model.__name__] = model


_models: dict[str, type[BaseModel]] = {}


def _schema(shape: Schema | type[BaseModel]) -> Schema:
    return _Entity(shape) if isinstance(shape, type) else shape


def install(app: FastAPI) -> None:
    """Make the app describe itself; the document is built at each call and not kept."""
    app.openapi = lambda: _build(app)  # type: ignore[method-assign] # FastAPI's documented way


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=TAGS
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in _models.values()], ref_template=REF + "{model}"
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(definitions.get("$defs", {}))
    schemas["Problem"] = PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    _walk(document, _show_times)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"] = {
                code: answer for code, answer in operation["responses"].items() if not _is_frameworks(answer)
            }
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    return document


def _is_frameworks(answer: Schema) -> bool:
    """Take the framework's own 422 out of an answer; return whether nothing of ours is left."""
    content = answer.get("content", {})
    if "HTTPValidationError" in str(content.get("application/json")):
        del content["application/json"]
        return not content
    return False


def _walk(node: Any, visit: Callable[[Schema], None]) -> None:
    if isinstance(node, dict):
        visit(node)
        for child in node.values():
            _walk(child, visit)
    elif isinstance(node, list):
        for child in node:
            _walk(child, visit)


def _show_times(node: Schema) -> None:
    """Turn the milliseconds of ``at`` and ``…_at`` into what REST shows: RFC 3339 text."""
    properties = node.get("properties")
    if not isinstance(properties, dict):
        return
    for name, schema in properties.items():
        if (name == "at" or name.endswith("_at")) and "milliseconds" in str(schema):
            properties[name] = {"type": "string", "format": "date-time", "title": schema.get("title", name)}
