"""A script's API in Swagger 2 and OpenAPI 3, made from ``inference-schema``'s decorators or the user's own files.

Standard library only, Python >= 3.9; ``inference_schema`` is asked only where the script has imported it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable, Optional

from .score_script import SCHEMA, Script
from .score_settings import Settings

ALIASES = {"2": ("2", "2.0"), "3": ("3", "3.0"), "3.1": ("3.1",)}
_EMPTY: dict[str, Any] = {"type": "object", "example": {}}
_FAILURE = "What went wrong."
_BEARER = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "Bearer and a key."}


class Descriptions:
    """The descriptions of one script, by the versions clients ask for.

    Parameters
    ----------
    script : Script
        Whose.
    settings : Settings
        Names, and where the user's own files may be.
    """

    def __init__(self, script: Script, settings: Settings) -> None:
        self.input, self.output, supported = _schemas(script)
        self._documents: dict[str, Any] = {}
        self._versions: list[str] = []
        for version, aliases in ALIASES.items():
            document = _own_file(settings.app_root, version)
            if document is None and supported.intersection(aliases):
                document = _describe(version, settings, self.input, self.output)
            if document is not None:
                self._versions.append(version)
                self._documents.update(dict.fromkeys(aliases, document))

    def find(self, version: str) -> tuple[Optional[Any], str]:
        """Return the description and "", or None and why there is none."""
        document = self._documents.get(version)
        if document is not None:
            return document, ""
        there = ", ".join(self._versions)
        if any(version in aliases for aliases in ALIASES.values()):
            said = "is not supported for the scoring script. Supported swagger versions: [%s]." % there
        else:
            said = "is not valid. Supported versions: [%s]." % there
        return None, "Swagger version [%s] %s" % (version, said)


def _schemas(script: Script) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    if script.kind != SCHEMA:
        return _EMPTY, _EMPTY, {"2.0", "3.0", "3.1"}
    schema = sys.modules["inference_schema.schema_util"]
    versions = set(schema.get_supported_versions(script.run))
    return schema.get_input_schema(script.run), schema.get_output_schema(script.run), versions


def _own_file(app_root: str, version: str) -> Optional[Any]:
    names = ["swagger%s.json" % version]
    if version == "2":
        names.insert(0, "swagger.json")
    for name in names:
        path = os.path.join(app_root, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                return json.load(file)
    return None


def _describe(version: str, settings: Settings, given: dict[str, Any], answered: dict[str, Any]) -> dict[str, Any]:
    info = {
        "title": settings.service_name,
        "description": "Scores with the model of %s." % settings.service_name,
        "version": settings.service_version,
    }
    schemas = {
        "ServiceInput": given,
        "ServiceOutput": answered,
        "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
    }
    if version == "2":
        return {
            "swagger": "2.0",
            "info": info,
            "schemes": ["https"],
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "securityDefinitions": {"Bearer": _BEARER},
            "paths": _paths(settings.path_prefix, _answers_2, _input_2, {"type": "integer", "enum": [2, 3]}),
            "definitions": schemas,
        }
    return {
        "openapi": "3.1.0" if version == "3.1" else "3.0.3",
        "info": info,
        "security": [{"Bearer": []}],
        "paths": _paths(settings.path_prefix, _answers_3, _input_3, {"schema": {"type": "integer", "enum": [2, 3]}}),
        "components": {"schemas": schemas, "securitySchemes": {"Bearer": _BEARER}},
    }


def _paths(
    prefix: str, answers: Callable[[str, str, str], dict[str, Any]], takes: dict[str, Any], number: dict[str, Any]
) -> dict[str, Any]:
    health = {
        "operationId": "ServiceHealthCheck",
        "description": "Says that the service is there.",
        "responses": answers("It is.", "text", "Healthy"),
    }
    score = {
        "operationId": "RunMLService",
        "description": "Runs the model on the input.",
        "security": [{"Bearer": []}],
        **takes,
        "responses": answers("The model's answer.", "ServiceOutput", ""),
    }
    itself = {
        "operationId": "GetSwaggerSpec",
        "description": "Describes this API.",
        "parameters": [{"name": "version", "in": "query", "required": False, **number}],
        "responses": answers("The description.", "text", ""),
    }
    return {
        prefix + "/": {"get": health},
        prefix + "/score": {"post": score},
        prefix + "/swagger.json": {"get": itself},
    }


_INPUT_SENTENCE = "What the model gets."
_input_2: dict[str, Any] = {
    "parameters": [
        {
            "name": "serviceInputPayload",
            "in": "body",
            "description": _INPUT_SENTENCE,
            "schema": {"$ref": "#/definitions/ServiceInput"},
        }
    ]
}
_input_3: dict[str, Any] = {
    "requestBody": {
        "description": _INPUT_SENTENCE,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ServiceInput"}}},
    }
}


def _answers_2(sentence: str, kind: str, example: str) -> dict[str, Any]:
    schema = {"type": "string"} if kind == "text" else {"$ref": "#/definitions/" + kind}
    good: dict[str, Any] = {"description": sentence, "schema": schema}
    if example:
        good["examples"] = {"application/json": example}
    return {"200": good, "default": {"description": _FAILURE, "schema": {"$ref": "#/definitions/ErrorResponse"}}}


def _answers_3(sentence: str, kind: str, example: str) -> dict[str, Any]:
    if kind == "text":
        content = {"text/plain": {"schema": {"type": "string", **({"example": example} if example else {})}}}
    else:
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/" + kind}}}
    failure = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
    return {
        "200": {"description": sentence, "content": content},
        "default": {"description": _FAILURE, "content": failure},
    }
