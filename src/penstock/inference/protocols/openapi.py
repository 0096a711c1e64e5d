"""An endpoint's description from its model's contract: OpenAPI 3.1 of all paths; ``swagger`` has Azure's."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.inference.contract import ModelContract
from penstock.inference.protocols import schemas, swagger
from penstock.inference.protocols.base import Model
from penstock.inference.protocols.paths import Asked, Door
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse

Json = dict[str, Any]
_TEXT: Json = {"schema": {"type": "string"}}


def answer(model: Model, request: ScoreRequest, asked: Asked) -> ScoreResponse:
    """Answer ``/openapi.json`` and ``/swagger.json``."""
    if asked.door is Door.OPENAPI:
        return ScoreResponse(msgspec.json.encode(describe(model, request)))
    return swagger.answer(model, request)


def describe(model: Model, request: ScoreRequest) -> Json:
    """Return OpenAPI 3.1 of everything an endpoint answers."""
    name = request.endpoint or "model"
    contract = model.contract
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": request.version, "description": f"Scores with the model behind {name}."},
        "servers": [{"url": f"/endpoints/{name}"}],
        "security": [{"key": []}],
        "paths": {
            "/score": {"post": _score(contract)},
            "/invocations": {"post": _invocations(contract)},
            f"/v2/models/{name}/infer": {"post": _infer(contract)},
            f"/v2/models/{name}": {"get": _get("model_metadata", "The model's inputs and outputs.")},
            f"/v2/models/{name}/ready": {"get": _get("model_ready", "Whether the model can answer.")},
            "/v2": {"get": _get("server_metadata", "What answers, and its extensions.")},
            "/v2/health/live": {"get": _get("server_live", "Whether the gateway answers.")},
            "/v2/health/ready": {"get": _get("server_ready", "Whether the model can answer.")},
            "/": {"get": _get("healthy", "Healthy, where the model can answer.", "text/html")},
            "/ping": {"get": _get("ping", "Whether the model can answer.")},
            "/health": {"get": _get("health", "Whether the model can answer.")},
            "/version": {"get": _get("version", "The server's version.")},
            "/openapi.json": {"get": _get("openapi", "This description.")},
            "/swagger.json": {"get": _get("swagger", "The description of /score, for Azure's clients.")},
        },
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "One of the endpoint's two keys."}
            },
            "responses": _failures(),
            "schemas": _components(model),
        },
    }


def _score(contract: ModelContract) -> Json:
    forms, examples = schemas.score_bodies(contract)
    content: Json = {"application/json": {"schema": {"oneOf": forms}, **_shown(examples)}}
    if contract.takes_images:
        picture = {"schema": {"description": "A picture's own bytes."}}
        content.update({"image/jpeg": picture, "image/png": picture, "application/octet-stream": picture})
    return _post("score", "Azure ML's protocol.", content, "Answer", takes_options=contract.takes_images)


def _invocations(contract: ModelContract) -> Json:
    examples = schemas.invocation_examples(contract)
    content: Json = {"application/json": {"schema": {"$ref": "#/components/schemas/Invocation"}, **_shown(examples)}}
    if not contract.takes_images:
        content["text/csv"] = _TEXT
    return _post("invocations", "MLflow's protocol.", content, "Predictions")


def _infer(contract: ModelContract) -> Json:
    example = schemas.inference_example(contract)
    shown = {} if example is None else _shown({"values": example})
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/InferenceRequest"}, **shown}}
    content["application/octet-stream"] = {
        "schema": {"description": "JSON and raw tensors; Inference-Header-Content-Length is the length of the JSON."}
    }
    return _post("infer", "The Open Inference Protocol v2.", content, "InferenceAnswer")


def _shown(examples: Json) -> Json:
    return {"examples": {name: {"value": value} for name, value in examples.items()}} if examples else {}


def _post(name: str, summary: str, content: Json, answer: str, *, takes_options: bool = False) -> Json:
    operation: Json = {
        "operationId": name,
        "summary": summary,
        "parameters": [
            {
                "name": "azureml-model-deployment",
                "in": "header",
                "description": "Asks for one deployment, whatever the traffic split.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "The model's answer.",
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}},
            },
            **{code: {"$ref": f"#/components/responses/{code}"} for code in _failures()},
        },
    }
    if takes_options:
        operation["parameters"] += [
            {"name": option, "in": "query", "description": f"For a picture's own bytes: {text}", "schema": schema}
            for option, text, schema in (
                ("top_k", "how many of the best classes.", {"type": "integer", "minimum": 1}),
                ("threshold", "the least probability of a label.", {"type": "number"}),
            )
        ]
    return operation


def _get(name: str, summary: str, kind: str = "application/json") -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {kind: {"schema": {}}}},
            "401": {"$ref": "#/components/responses/401"},
        },
    }


def _failures() -> Json:
    said = {
        "400": "The request does not fit the model.",
        "401": "No key, or a wrong one.",
        "404": "No such endpoint, deployment, model or version.",
        "408": "The model did not answer in time.",
        "413": "The body is too large.",
        "415": "A content type that is not taken.",
        "424": "The model failed.",
        "429": "Too many requests at once; see Retry-After.",
        "503": "No replica is ready; see Retry-After.",
    }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": text, "content": content} for code, text in said.items()}


def _components(model: Model) -> Json:
    contract = model.contract
    names = [tensor.name for tensor in contract.inputs]
    tensor: Json = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"type": "string"},
            "parameters": {"type": "object"},
            "data": {"type": "array"},
        },
    }
    given = {**tensor, "properties": {**tensor["properties"], "name": {"enum": names}}}
    common = {"id": {"type": "string"}, "parameters": {"type": "object"}}
    asked = {"type": "array", "items": {"type": "object", "required": ["name"]}}
    forms: Json = {
        "dataframe_split": {"type": "object", "required": ["data"]},
        "dataframe_records": {"type": "array", "items": {"type": "object"}},
        "instances": {"type": "array"},
        "inputs": {},
    }
    return {
        "Answer": schemas.answer_schema(model),
        "Invocation": {
            "type": "object",
            "properties": {**forms, "params": {"type": "object"}},
            "oneOf": [{"required": [form]} for form in forms],
        },
        "Predictions": {"type": "object", "properties": {"predictions": {}}},
        "InferenceRequest": {
            "type": "object",
            "required": ["inputs"],
            "properties": {**common, "inputs": {"type": "array", "items": given}, "outputs": asked},
        },
        "InferenceAnswer": {
            "type": "object",
            "properties": {
                **common,
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "outputs": {"type": "array", "items": tensor},
            },
        },
        "Problem": schemas.problem_schema(),
    }
