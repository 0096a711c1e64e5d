"""What a model of MLflow answers, described from its signature: OpenAPI 3.1, and Swagger 2 for Azure's clients.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

from typing import Any, Optional

_TYPES = {"boolean": "boolean", "integer": "integer", "long": "integer", "float": "number", "double": "number"}
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def openapi(name: str, inputs: Any, example: Optional[dict[str, Any]]) -> dict[str, Any]:
    """Return OpenAPI 3.1 of ``/invocations`` and ``/score``.

    Parameters
    ----------
    inputs : list of dict, optional
        The signature's inputs, as MLflow writes them.
    example : dict, optional
        The input example as a request.
    """
    azure = None if example is None else azure_example(example)
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": "1"},
        "servers": [{"url": "/endpoints/%s" % name}],
        "security": [{"key": []}],
        "paths": {
            "/invocations": {"post": _operation("invocations", "MLflow's protocol.", _invocation(inputs), example)},
            "/score": {"post": _operation("score", "Azure ML's protocol.", _azure(inputs), azure)},
        },
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def swagger(name: str, inputs: Any, example: Optional[dict[str, Any]]) -> dict[str, Any]:
    """Return Swagger 2 of ``/score``."""
    body: dict[str, Any] = dict(_azure(inputs))
    if example is not None:
        body["example"] = azure_example(example)
    parameter = {"name": "serviceInputPayload", "in": "body", "schema": {"$ref": "#/definitions/ServiceInput"}}
    responses = {"200": {"description": "The predictions."}, "400": {"description": "It does not fit the signature."}}
    post = {"operationId": "RunMLService", "parameters": [parameter], "responses": responses}
    return {
        "swagger": "2.0",
        "info": {"title": name, "version": "1"},
        "basePath": "/endpoints/%s" % name,
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "security": [{"Bearer": []}],
        "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        "paths": {"/score": {"post": post}},
        "definitions": {"ServiceInput": body},
    }


def azure_example(example: dict[str, Any]) -> dict[str, Any]:
    """Return a request of MLflow's form in Azure ML's."""
    data = next((example[form] for form in _FORMS if form in example), None)
    asked = {"input_data": data}
    return {**asked, "params": example["params"]} if "params" in example else asked


def _operation(name: str, summary: str, schema: dict[str, Any], example: Optional[dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {"description": "The predictions."},
            "400": {"description": "It does not fit the signature; schema says what does."},
            "424": {"description": "The model failed."},
        },
    }


def _invocation(inputs: Any) -> dict[str, Any]:
    forms: dict[str, Any] = {"dataframe_split": _split(inputs), "dataframe_records": _records(inputs)}
    properties = {**forms, "instances": {"type": "array"}, "inputs": {}, "params": {"type": "object"}}
    return {"type": "object", "properties": properties, "oneOf": [{"required": [form]} for form in _FORMS]}


def _azure(inputs: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["input_data"],
        "properties": {"input_data": _split(inputs), "params": {"type": "object"}},
    }


def _split(inputs: Any) -> dict[str, Any]:
    columns: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
    names = [column["name"] for column in _columns(inputs)]
    if names:
        columns["example"] = names
    rows = {"type": "array", "items": {"type": "array", "items": {}}}
    return {"type": "object", "properties": {"columns": columns, "index": {"type": "array", "items": {}}, "data": rows}}


def _records(inputs: Any) -> dict[str, Any]:
    columns = _columns(inputs)
    properties = {column["name"]: _value(column["type"]) for column in columns}
    required = [column["name"] for column in columns if column.get("required", True)]
    record: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        record["required"] = required
    return {"type": "array", "items": record}


def _columns(inputs: Any) -> list[dict[str, Any]]:
    return [one for one in inputs or () if one.get("name") and one.get("type") != "tensor"]


def _value(kind: Any) -> dict[str, Any]:
    return {"type": _TYPES.get(kind, "string")} if isinstance(kind, str) else {}
