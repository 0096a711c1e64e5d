"""The description of a model of MLflow, from signatures as MLflow writes them."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI

from penstock.shim.mlflow_description import answer

COLUMNS = [
    {"type": "double", "name": "area", "required": True},
    {"type": "long", "name": "rooms", "required": False},
    {"type": "array", "items": {"type": "string"}, "name": "tags", "required": True},
    {"type": "object", "properties": {"a": {"type": "boolean", "required": True}}, "name": "more", "required": True},
    {"type": "map", "values": {"type": "float"}, "name": "weights", "required": True},
]
TENSOR = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 64]}}]
DESCRIBED: dict[str, dict[str, Any]] = {
    "columns": {
        "inputs": COLUMNS,
        "outputs": [{"type": "double", "required": True}],
        "params": [{"name": "k", "type": "long", "default": 3, "shape": None}],
        "sample_request": {"dataframe_split": {"columns": ["area"], "data": [[1.5]]}},
    },
    "tensor": {"inputs": TENSOR, "outputs": TENSOR},
    "nothing": {"inputs": None, "outputs": None},
}


@pytest.mark.parametrize("described", DESCRIBED.values(), ids=DESCRIBED)
def test_it_is_valid_openapi(described):
    for query, version in (("", "3.1.0"), ("version=3", "3.0.3"), ("version=3.1", "3.1.0")):
        path = "/swagger.json" if query else "/openapi.json"
        status, said = answer(described, path, query, "house", "4")
        document = OpenAPI.model_validate(said)
        assert (status, document.openapi, document.info.version) == (200, version, "4")
    status, said = answer(described, "/swagger.json", "", "house", "4")
    assert (status, said["swagger"], said["basePath"]) == (200, "2.0", "/endpoints/house")
    assert answer(described, "/swagger.json", "version=8", "house", "4")[0] == 404


def test_columns_params_and_the_example_are_shown():
    said = answer(DESCRIBED["columns"], "/openapi.json", "", "house", "4")[1]
    content = said["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    assert content["examples"]["input_example"]["value"] == DESCRIBED["columns"]["sample_request"]
    record = content["schema"]["properties"]["dataframe_records"]["items"]
    assert record["required"] == ["area", "tags", "more", "weights"]
    assert record["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}
    assert record["properties"]["weights"]["additionalProperties"] == {"type": "number"}
    assert content["schema"]["properties"]["params"]["properties"]["k"] == {"type": "integer", "default": 3}
    said = answer(DESCRIBED["tensor"], "/openapi.json", "", "house", "4")[1]
    tensor = said["components"]["schemas"]["Outputs"]
    assert tensor["items"] == {"type": "array", "items": {"type": "number"}, "minItems": 64, "maxItems": 64}
