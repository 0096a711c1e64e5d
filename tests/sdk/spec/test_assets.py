from __future__ import annotations

import pytest

from penstock.entities.asset import EnvironmentSpec
from penstock.entities.errors import SpecError
from penstock.sdk.spec.assets import (
    close_environment,
    close_path,
    load_data,
    load_environment,
    load_model,
)


def test_a_model_s_folder_is_uploaded(write, uploader):
    write("m/model.onnx")
    write("m/labels.txt")
    spec = load_model(write("model.yml", "name: digits\npath: m\nversion: 1\n"), uploader=uploader).spec
    assert uploader.names(spec.path) == ["labels.txt", "model.onnx"]
    assert spec.version == "1"


@pytest.mark.parametrize("path", ["azureml://jobs/j/outputs/artifacts/paths/outputs", "runs:/j/outputs", "azureml:m:1"])
def test_a_model_of_a_job_is_left_to_the_server(write, uploader, path):
    spec = load_model(write("model.yml", f"name: digits\npath: {path}\n"), uploader=uploader).spec
    assert spec.path == path
    assert uploader.trees == {}


def test_data_can_be_changed_from_the_command_line(write, uploader):
    write("a.csv")
    path = write("data.yml", "name: d\npath: https://example.org/a.csv\ntype: uri_file\n")
    assert load_data(path, uploader=uploader).spec.path == "https://example.org/a.csv"
    spec = load_data(path, ["path=a.csv", "version=7"], uploader=uploader).spec
    assert uploader.names(spec.path) == ["a.csv"]
    assert spec.version == "7"


def test_a_folder_is_no_file(write, uploader):
    write("d/a.csv")
    with pytest.raises(SpecError, match="is a folder, not a file"):
        load_data(write("data.yml", "name: d\npath: d\ntype: uri_file\n"), uploader=uploader)


def test_an_environment_s_conda_file_is_read_in(folder, write):
    write("conda.yml", "dependencies: [numpy]\n")
    path = write("env.yml", "name: e\nimage: python\nconda_file: ./conda.yml\n")
    loaded = load_environment(path)
    assert loaded.spec.conda_file == {"dependencies": ["numpy"]}
    assert loaded.document.place_of("/conda_file/dependencies").file == str(folder / "conda.yml")
    spec = EnvironmentSpec(name="e", conda_file="conda.yml")
    assert close_environment(spec, folder=folder).conda_file == {"dependencies": ["numpy"]}


def test_a_path_from_a_command_line(folder, write, uploader):
    single = write("model.onnx")
    assert uploader.trees[close_path(single, uploader=uploader)].is_file
    assert uploader.names(close_path("model.onnx", uploader=uploader, folder=folder)) == ["model.onnx"]
    assert close_path("runs:/j/outputs", uploader=uploader) == "runs:/j/outputs"
    with pytest.raises(SpecError, match=r"there is no file or folder .*/model\.onx"):
        close_path(folder / "model.onx", uploader=uploader)
