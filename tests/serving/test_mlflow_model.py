"""What a registered ``MLmodel`` folder says of its environment and of a conversion."""

from __future__ import annotations

import json

import pytest

from penstock.entities.asset import Tree, TreeEntry
from penstock.entities.errors import UsageError
from penstock.serving.mlflow_model import NO_ENVIRONMENT, read_model
from penstock.stores.blobs.local import LocalBlobStore

MLMODEL = """
flavors:
  python_function: {loader_module: mlflow.sklearn, predict_fn: predict, python_version: 3.10.4}
  sklearn: {pickled_model: model.pkl, serialization_format: pickle, sklearn_version: 1.9.1}
mlflow_version: 3.17.2
saved_input_example_info: {artifact_path: input_example.json, type: dataframe, pandas_orient: split}
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}, {"type": "string", "name": "b"}]'
"""
EXAMPLE = {"columns": ["b", "a"], "data": [["x", 1.5], ["y", None]]}


@pytest.fixture
def read(tmp_path):
    blobs = LocalBlobStore(tmp_path / "blobs")

    def model(**files):
        names = {name.replace("_dot_", "."): text for name, text in files.items()}
        put = [(name, *blobs.put(text.encode())) for name, text in names.items()]
        return read_model(blobs, Tree(entries=tuple(TreeEntry(path=n, digest=d, size=s) for n, d, s in put)))

    return model


def environment(found):
    return found.environment.conda_file["dependencies"]


def test_the_environment_is_that_of_conda_yaml_with_two_numbers_of_python(read):
    conda = "dependencies:\n- python=3.11.7\n- pip<=24\n- pip:\n  - mlflow==3.17.2\n  - scikit-learn==1.9.1\n"
    found = read(MLmodel=MLMODEL, conda_dot_yaml=conda, requirements_dot_txt="other==1\n")
    assert environment(found) == ["python=3.11", "pip<=24", {"pip": ["mlflow==3.17.2", "scikit-learn==1.9.1"]}]


def test_without_conda_yaml_it_is_that_of_python_env_and_requirements(read):
    requirements = "# made by mlflow\nmlflow-skinny==3.17.2\nscikit-learn==1.9.1  # pinned\n\n"
    found = read(MLmodel=MLMODEL, python_env_dot_yaml="python: 3.12.1\n", requirements_dot_txt=requirements)
    assert environment(found) == ["python=3.12", {"pip": ["mlflow-skinny==3.17.2", "scikit-learn==1.9.1"]}]
    found = read(MLmodel=MLMODEL, requirements_dot_txt=requirements)
    assert environment(found)[0] == "python=3.10"


def test_mlflow_comes_with_it_in_the_version_that_saved_the_model(read):
    assert environment(read(MLmodel=MLMODEL, conda_dot_yaml="dependencies:\n- python=3.11.7\n")) == [
        "python=3.11",
        {"pip": ["mlflow==3.17.2"]},
    ]


def test_a_model_that_says_nothing_of_its_environment_has_none(read):
    found = read(MLmodel=MLMODEL)
    assert (found.environment, found.problem) == (None, NO_ENVIRONMENT)


def test_the_example_is_in_the_order_of_the_signature(read):
    found = read(MLmodel=MLMODEL, input_example_dot_json=json.dumps(EXAMPLE)).sklearn
    assert found.example == ([1.5, "x"], [None, "y"])
    assert [column["type"] for column in found.columns] == ["double", "string"]
    assert (found.problem, found.predict_fn, found.version) == ("", "predict", "1.9.1")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("signature:", "other:", "no signature"),
        ("  inputs:", '  params: \'[{"name": "p"}]\'\n  inputs:', "params"),
        ('"name": "b"', '"more": 1', "columns without names"),
        ("saved_input_example_info", "other", "no input example"),
    ],
)
def test_what_speaks_against_a_conversion_is_said(read, old, new, reason):
    text = MLMODEL.replace(old, new, 1)
    assert text != MLMODEL
    assert reason in read(MLmodel=text, input_example_dot_json=json.dumps(EXAMPLE)).sklearn.problem


def test_an_example_that_does_not_fit_the_signature_is_none(read):
    example = json.dumps({"columns": ["a"], "data": [[1.0]]})
    assert "no input example" in read(MLmodel=MLMODEL, input_example_dot_json=example).sklearn.problem


def test_other_loaders_are_not_converted_and_onnx_is_known(read):
    assert read(MLmodel=MLMODEL.replace("mlflow.sklearn", "mlflow.pyfunc.model")).sklearn is None
    assert read(MLmodel="flavors: {onnx: {data: model.onnx}}\n").is_onnx
    assert read(other="x") is None


@pytest.mark.parametrize("text", ["flavors: [", "[1]", "a: 1", "flavors: {}"])
def test_a_damaged_file_is_refused(read, text):
    with pytest.raises(UsageError, match="MLmodel"):
        read(MLmodel=text)
