from __future__ import annotations

import pytest

from penstock.inference.protocols.paths import Asked, Door, parse_path, protocols_of, speaks
from penstock.serving.routing import Routes, version_of


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/score", Asked(Door.SCORE)),
        ("/", Asked(Door.HEALTHY)),
        ("/health", Asked(Door.PING)),
        ("/v2", Asked(Door.SERVER)),
        ("/v2/models/m", Asked(Door.MODEL, "m")),
        ("/v2/models/m/ready", Asked(Door.MODEL_READY, "m")),
        ("/v2/models/m/infer", Asked(Door.INFER, "m")),
        ("/v2/models/m/versions/3", Asked(Door.MODEL, "m", "3")),
        ("/v2/models/m/versions/3/infer", Asked(Door.INFER, "m", "3")),
        ("/v2/models/versions/versions/3/ready", Asked(Door.MODEL_READY, "versions", "3")),
        ("/v2/models/ready", Asked(Door.MODEL, "ready")),
    ],
)
def test_a_path_is_one_door(path, asked):
    assert parse_path(path) == asked


@pytest.mark.parametrize(
    "path",
    [
        *("", "/Score", "/score/x", "/v2/", "/v2/models", "/v2/models/", "/v2/models/m/versions", "/v2/health"),
        *("/v2/models/m/versions//infer", "/v2/models/m/infer/x", "/v2/models/m/config", "/v1/models/m", "v2/models/m"),
    ],
)
def test_other_paths_are_none(path):
    assert parse_path(path) is None


def test_what_a_runtime_does_not_speak():
    assert all(speaks("onnx", door) for door in Door)
    assert [speaks("script", door) for door in (Door.SCORE, Door.INVOCATIONS, Door.INFER)] == [True, False, False]
    assert [speaks("mlflow", door) for door in (Door.SCORE, Door.INVOCATIONS, Door.INFER)] == [True, True, False]
    assert "Open Inference" in protocols_of()
    assert not any("Open Inference" in protocols_of(runtime) for runtime in ("script", "mlflow"))


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("azureml:digits:3", "3"),
        ("azureml:a:b-1.2", "b-1.2"),
        (None, "1"),
        ("azureml://jobs/j/outputs/o", "1"),
        ("x", "1"),
    ],
)
def test_the_version_of_a_registered_model(reference, version):
    assert version_of(reference) == version


def test_no_path_outside_an_endpoint_belongs_to_one():
    routes = Routes()
    for path in ("", "/", "/endpoints", "/endpoints/", "/endpoints//score", "/endpoints/a/v2", "/other/a/v2"):
        assert routes.find_below(path) is None
