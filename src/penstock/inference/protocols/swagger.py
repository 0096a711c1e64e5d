"""``/swagger.json`` of a model without code: ``/score`` in Swagger 2 or OpenAPI 3, with Azure's names."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec

from penstock.inference.protocols import schemas
from penstock.inference.protocols.base import Model
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse

Json = dict[str, Any]
VERSIONS = {"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}


def answer(model: Model, request: ScoreRequest) -> ScoreResponse:
    """Answer ``/swagger.json``, whose query names a version: 2 (default), 3 or 3.1."""
    wanted = parse_qs(request.query).get("version", ["2"])[-1]
    version = VERSIONS.get(wanted)
    if version is None:
        said = f"Swagger version [{wanted[:20]}] is not valid. Supported versions: [2, 3, 3.1]."
        return ScoreResponse(msgspec.json.encode({"message": said}), status=404)
    return ScoreResponse(msgspec.json.encode(describe(model, request, version)))


def describe(model: Model, request: ScoreRequest, version: str) -> Json:
    """Return Swagger 2 or OpenAPI 3 of ``/score`` with the names that Azure ML's clients look for."""
    name = request.endpoint or "model"
    forms, examples = schemas.score_bodies(model.contract)
    given = {**(forms[0] if version == "2" else {"oneOf": forms}), "example": next(iter(examples.values()), {})}
    answered = schemas.answer_schema(model)
    info = {"title": name, "version": request.version, "description": f"API of the endpoint {name}."}
    definitions = {"ServiceInput": given, "ServiceOutput": answered, "ErrorResponse": schemas.problem_schema()}
    prefix = "#/definitions/" if version == "2" else "#/components/schemas/"
    takes, gives, fails = ({"$ref": prefix + key} for key in definitions)
    score: Json = {"operationId": "RunMLService", "description": "Run the model.", "security": [{"Bearer": []}]}
    healthy: Json = {"operationId": "ServiceHealthCheck", "description": "Says that the service is there."}
    if version == "2":
        score["parameters"] = [{"name": "serviceInputPayload", "in": "body", "required": True, "schema": takes}]
        score["responses"] = _swagger_answers(gives, fails)
        healthy["responses"] = _swagger_answers({"type": "string"}, fails)
        return {
            "swagger": "2.0",
            "info": info,
            "basePath": f"/endpoints/{name}",
            "schemes": ["https", "http"],
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
            "paths": {"/": {"get": healthy}, "/score": {"post": score}},
            "definitions": definitions,
        }
    score["requestBody"] = {"required": True, "content": {"application/json": {"schema": takes}}}
    score["responses"] = _answers(gives, fails)
    healthy["responses"] = _answers({"type": "string"}, fails)
    return {
        "openapi": "3.1.0" if version == "3.1" else "3.0.3",
        "info": info,
        "servers": [{"url": f"/endpoints/{name}"}],
        "paths": {"/": {"get": healthy}, "/score": {"post": score}},
        "components": {"schemas": definitions, "securitySchemes": {"Bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _swagger_answers(good: Json, bad: Json) -> Json:
    return {
        "200": {"description": "The answer.", "schema": good},
        "default": {"description": "What is wrong.", "schema": bad},
    }


def _answers(good: Json, bad: Json) -> Json:
    return {
        "200": {"description": "The answer.", "content": {"application/json": {"schema": good}}},
        "default": {"description": "What is wrong.", "content": {"application/json": {"schema": bad}}},
    }
