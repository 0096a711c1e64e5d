from __future__ import annotations

import pytest

from penstock.entities.asset import InlineModelSpec
from penstock.entities.endpoint import OnlineDeploymentSpec
from penstock.entities.errors import SpecError
from penstock.sdk.spec.endpoints import close_deployment, load_deployment, load_endpoint


def test_an_endpoint_with_its_traffic(write):
    path = write("endpoint.yml", "name: digits\nauth_mode: key\ntraffic: {blue: 90, green: 10}\n")
    assert load_endpoint(path).spec.traffic == {"blue": 90, "green": 10}
    assert load_endpoint(path, ["traffic={blue: 100}"]).spec.traffic == {"blue": 100}


def test_traffic_that_does_not_sum_up_is_refused_with_its_line(write):
    path = write("endpoint.yml", "name: digits\ntraffic:\n  blue: 90\n")
    with pytest.raises(SpecError, match=r"endpoint\.yml:3:3: traffic: the percentages sum to 90"):
        load_endpoint(path)


def test_a_deployment_of_a_registered_model_needs_no_upload(write, uploader):
    path = write("blue.yml", "name: blue\nmodel: azureml:digits@latest\ninstance_count: 1\n")
    spec = load_deployment(path, ["endpoint_name=digits"], uploader=uploader).spec
    assert (spec.endpoint_name, spec.model) == ("digits", "azureml:digits@latest")
    assert uploader.trees == {}


def test_model_code_and_environment_are_closed(write, uploader):
    write("m/model.onnx")
    write("scoring/score.py")
    write("scoring/__pycache__/score.pyc")
    write("conda.yml", "dependencies: [numpy]\n")
    path = write(
        "blue.yml",
        "name: blue\nendpoint_name: digits\nmodel: {path: m}\nenvironment: {conda_file: conda.yml}\n"
        "code_configuration: {code: scoring, scoring_script: score.py}\n",
    )
    spec = load_deployment(path, uploader=uploader).spec
    assert isinstance(spec.model, InlineModelSpec)
    assert uploader.names(spec.model.path) == ["model.onnx"]
    assert spec.code_configuration is not None
    assert uploader.names(spec.code_configuration.code) == ["score.py"]
    assert close_deployment(spec, uploader=uploader) == spec


def test_a_model_in_a_file_of_its_own(write, uploader):
    write("models/m/model.onnx")
    write("models/model.yml", "name: digits\nversion: 3\npath: m\n")
    path = write("blue.yml", "name: blue\nendpoint_name: digits\nmodel: file:models/model.yml\n")
    spec = load_deployment(path, uploader=uploader).spec
    assert isinstance(spec.model, InlineModelSpec)
    assert (spec.model.name, spec.model.version) == ("digits", "3")
    assert uploader.names(spec.model.path) == ["model.onnx"]


def test_a_missing_scoring_script_is_found_before_the_upload(write, uploader):
    write("scoring/score.py")
    path = write(
        "blue.yml",
        "name: blue\nendpoint_name: digits\ncode_configuration:\n  code: scoring\n  scoring_script: scor.py\n",
    )
    with pytest.raises(SpecError) as caught:
        load_deployment(path, uploader=uploader)
    assert str(caught.value) == (
        f'{path}:5:19: code_configuration.scoring_script: there is no file "scor.py" in "scoring"\n'
        f'  Did you mean "score.py"? Looked in {path.parent / "scoring"}.'
    )
    assert uploader.trees == {}


def test_a_deployment_built_in_python(folder, write, uploader):
    write("m/model.onnx")
    spec = OnlineDeploymentSpec(name="blue", endpoint_name="digits", model=InlineModelSpec(path="m"))
    closed = close_deployment(spec, uploader=uploader, folder=folder)
    assert isinstance(closed.model, InlineModelSpec)
    assert uploader.names(closed.model.path) == ["model.onnx"]
