"""What a model of MLflow takes and gives, in OpenAPI 3 and Swagger 2, from its signature and input example.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

from typing import Any, Optional
from urllib.parse import parse_qs

PATHS = ("/openapi.json", "/swagger.json")
VERSIONS = {"2": "", "2.0": "", "3": "3.0.3", "3.0": "3.0.3", "3.1": "3.1.0"}
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
Json = dict[str, Any]
_TYPES: dict[str, Json] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "long": {"type": "integer"},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "string": {"type": "string"},
    "binary": {"type": "string", "description": "base64"},
    "datetime": {"type": "string", "format": "date-time"},
}
_GETS = {
    "/": ("healthy", "Healthy, where the model can answer."),
    "/ping": ("ping", "Whether the model can answer."),
    "/health": ("health", "Whether the model can answer."),
    "/version": ("version", "The server's version."),
    "/openapi.json": ("openapi", "This description."),
    "/swagger.json": ("swagger", "The description of /score, for Azure's clients."),
}
_FAILURE: Json = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
}


def answer(described: Json, path: str, query: str, name: str, version: str) -> tuple[int, Json]:
    """Return status and document of one of ``PATHS``.

    Parameters
    ----------
    described : dict
        What ``PyfuncScorer.describe`` returns.
    path, query : str
        Of the request.
    name, version : str
        The endpoint under which the model is served, and the registered model's version.
    """
    about = {"title": name, "version": version, "description": "Scores with the model behind %s." % name}
    if path == "/openapi.json":
        return 200, describe(described, about, "3.1.0", _all_paths(described))
    wanted = parse_qs(query).get("version", ["2"])[-1]
    if wanted not in VERSIONS:
        return 404, {"message": "Swagger version [%s] is not valid. Supported versions: [2, 3, 3.1]." % wanted[:20]}
    if not VERSIONS[wanted]:
        return 200, _swagger(described, about)
    score = _post("RunMLService", "Azure ML's protocol.", _azure_form(described), azure_example(described), "Outputs")
    return 200, describe(described, about, VERSIONS[wanted], {"/score": {"post": score}})


def describe(described: Json, about: Json, version: str, paths: Json) -> Json:
    """Return an OpenAPI document with these paths."""
    return {
        "openapi": version,
        "info": about,
        "servers": [{"url": "/endpoints/%s" % about["title"]}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Outputs": _schema_of(described.get("outputs")),
                "Predictions": {
                    "type": "object",
                    "properties": {"predictions": {"$ref": "#/components/schemas/Outputs"}},
                },
                "Problem": _FAILURE,
            },
        },
    }


def azure_example(described: Json) -> Optional[Json]:
    """Return the input example as a request of Azure ML's form."""
    example = described.get("sample_request") or {}
    data = next((example[form] for form in _FORMS if form in example), None)
    if data is None:
        return None
    return {"input_data": data, "params": example["params"]} if "params" in example else {"input_data": data}


def _all_paths(described: Json) -> Json:
    form, example = _mlflow_form(described), described.get("sample_request")
    invocations = _post("invocations", "MLflow's protocol.", form, example, "Predictions")
    invocations["requestBody"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    score = _post("score", "Azure ML's protocol.", _azure_form(described), azure_example(described), "Outputs")
    paths: Json = {"/invocations": {"post": invocations}, "/score": {"post": score}}
    for path, (name, summary) in _GETS.items():
        said = {"200": {"description": summary, "content": {"application/json": {"schema": {}}}}}
        paths[path] = {"get": {"operationId": name, "summary": summary, "responses": said}}
    return paths


def _post(name: str, summary: str, form: Json, example: Optional[Json], answered: str) -> Json:
    content: Json = {"schema": form}
    if example is not None:
        content["examples"] = {"input_example": {"value": example}}
    outputs = {"application/json": {"schema": {"$ref": "#/components/schemas/%s" % answered}}}
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {"description": "The predictions.", "content": outputs},
            "400": {
                "description": "The request does not fit the signature; schema says what does.",
                "content": problem,
            },
            "401": {"description": "No key, or a wrong one."},
            "424": {"description": "The model failed.", "content": problem},
        },
    }


def _mlflow_form(described: Json) -> Json:
    given = _schema_of(described.get("inputs"))
    names = [spec["name"] for spec in described.get("inputs") or [] if spec.get("name")]
    columns: Json = {"type": "array", "items": {"enum": names} if names else {"type": "string"}}
    rows = {"type": "array", "items": {"type": "array"}}
    split = {"type": "object", "required": ["data"], "properties": {"columns": columns, "data": rows}}
    forms: Json = {
        "dataframe_split": split,
        "dataframe_records": {"type": "array", "items": given},
        "instances": {"type": "array"},
        "inputs": {},
    }
    params = {"type": "object", "properties": {p["name"]: _schema_of_one(p) for p in described.get("params") or []}}
    return {
        "type": "object",
        "properties": {**forms, "params": params},
        "oneOf": [{"required": [form]} for form in _FORMS],
    }


def _azure_form(described: Json) -> Json:
    form = _mlflow_form(described)
    table = form["properties"]["dataframe_split"]
    properties = {"input_data": {"anyOf": [table, {"type": "array"}, {"type": "object"}]}}
    return {"type": "object", "properties": {**properties, "params": form["properties"]["params"]}}


def _swagger(described: Json, about: Json) -> Json:
    problem = {"description": "What is wrong.", "schema": {"$ref": "#/definitions/ErrorResponse"}}
    good = {"description": "The predictions.", "schema": {"$ref": "#/definitions/ServiceOutput"}}
    payload = {"name": "serviceInputPayload", "in": "body", "schema": {"$ref": "#/definitions/ServiceInput"}}
    given: Json = {"type": "object", "properties": {"input_data": {}, "params": {"type": "object"}}}
    example = azure_example(described)
    if example is not None:
        given["example"] = example
    score = {
        "operationId": "RunMLService",
        "security": [{"Bearer": []}],
        "parameters": [payload],
        "responses": {"200": good, "default": problem},
    }
    return {
        "swagger": "2.0",
        "info": about,
        "basePath": "/endpoints/%s" % about["title"],
        "schemes": ["https", "http"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        "paths": {"/score": {"post": score}},
        "definitions": {
            "ServiceInput": given,
            "ServiceOutput": _schema_of(described.get("outputs")),
            "ErrorResponse": _FAILURE,
        },
    }


def _schema_of(specs: Any) -> Json:
    """Return the JSON Schema of a signature's inputs or outputs: an object of the named, else what the only one is."""
    if not specs:
        return {}
    if len(specs) == 1 and not specs[0].get("name"):
        return (
            {"type": "array", "items": _schema_of_one(specs[0])} if "tensor-spec" not in specs[0] else _tensor(specs[0])
        )
    named = [spec for spec in specs if spec.get("name")]
    return {
        "type": "object",
        "required": [spec["name"] for spec in named if spec.get("required", True)],
        "properties": {spec["name"]: _schema_of_one(spec) for spec in named},
    }


def _schema_of_one(spec: Any) -> Json:
    if not isinstance(spec, dict):
        return dict(_TYPES.get(spec, {}))
    kind = spec.get("type")
    if kind == "tensor":
        return _tensor(spec)
    if kind == "array":
        return {"type": "array", "items": _schema_of_one(spec.get("items"))}
    if kind == "object":
        properties = spec.get("properties") or {}
        return {"type": "object", "properties": {name: _schema_of_one(value) for name, value in properties.items()}}
    if kind == "map":
        return {"type": "object", "additionalProperties": _schema_of_one(spec.get("values"))}
    found = dict(_TYPES.get(kind, {})) if isinstance(kind, str) else {}
    if "default" in spec:
        found["default"] = spec["default"]
    return found


def _tensor(spec: Json) -> Json:
    tensor = spec.get("tensor-spec") or {}
    dtype = str(tensor.get("dtype", ""))
    kind = "boolean" if dtype == "bool" else "integer" if "int" in dtype else "number" if "float" in dtype else "string"
    schema: Json = {"type": kind}
    for length in reversed(tensor.get("shape") or []):
        schema = {"type": "array", "items": schema}
        if length >= 0:
            schema.update(minItems=length, maxItems=length)
    return {**schema, "description": "%s, shape %s" % (dtype, tensor.get("shape"))}
