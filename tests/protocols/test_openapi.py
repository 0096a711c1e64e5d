"""An endpoint's descriptions: valid, complete, and true of what the model takes."""

from __future__ import annotations

import pytest
from fastapi.openapi.models import OpenAPI
from onnx import TensorProto
from tests.protocols.models import ask, brightness, echo, house, scores, write

from penstock.inference.protocols.paths import Door, methods_of, parse_path

MODELS = {
    "scores": scores(),
    "house": house(),
    "pixels": brightness(),
    "text": echo(TensorProto.STRING, ["n", 2]),
    "long": echo(TensorProto.FLOAT, ["n", 5000]),
    "free": echo(TensorProto.FLOAT, None),
}


@pytest.fixture(scope="module", params=MODELS)
def runtime(request, tmp_path_factory):
    return write(tmp_path_factory.mktemp("described") / request.param, MODELS[request.param])


def test_both_descriptions_are_valid_openapi(runtime):
    for path in ("/openapi.json", "/swagger.json?version=3.1", "/swagger.json?version=3"):
        place, _, query = path.partition("?")
        status, said = ask(runtime, place, query=query, endpoint="animals", version="3")
        assert status == 200
        document = OpenAPI.model_validate(said)
        assert document.info.version == "3"
        assert _references(said) <= _definitions(said)


def test_swagger_two_refers_to_what_it_defines(runtime):
    said = ask(runtime, "/swagger.json")[1]
    assert said["swagger"] == "2.0"
    assert {reference.rpartition("/")[2] for reference in _references(said)} <= said["definitions"].keys()


def test_every_path_is_described_with_a_method_it_takes(runtime):
    said = ask(runtime, "/openapi.json", endpoint="animals")[1]
    described = set()
    for path, operations in said["paths"].items():
        asked = parse_path(path)
        assert asked is not None
        described.add(asked.door)
        assert {method.upper() for method in operations} <= set(methods_of(asked.door))
    assert described == set(Door)


def _references(value):
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(_references(item) for item in value.values()))
    return set().union(*(_references(item) for item in value)) if isinstance(value, list) else set()


def _definitions(document):
    return {f"#/components/{kind}/{name}" for kind, found in document["components"].items() for name in found}
