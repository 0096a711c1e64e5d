from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from penstock.entities.errors import NotFoundError, UsageError
from penstock.inference.inspection.page import render
from penstock.inference.inspection.report import inspect_folder
from penstock.inference.runtimes.onnx import OnnxRuntime

SIGNATURE = """
flavors:
  python_function: {loader_module: mlflow.sklearn}
  sklearn: {pickled_model: model.pkl}
model_id: m-1
saved_input_example_info: {artifact_path: input_example.json, type: dataframe}
signature:
  inputs: '[{"type": "double", "name": "age", "required": true}, {"type": "string", "name": "city", "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: '[{"name": "t", "type": "double", "default": 0.5, "shape": null}]'
"""


class Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows = 0
        self.foreign: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.rows += tag == "tr"
        self.foreign += [value for name, value in attrs if name in {"src", "href"} and value and value[0] != "#"]


def test_the_report_agrees_with_the_runtime(digits_folder):
    report, described = inspect_folder(digits_folder), OnnxRuntime(digits_folder).describe()
    assert report["sample_request"] == described["sample_request"]
    assert [tensor["name"] for tensor in report["inputs"]] == ["X"]
    assert report["preprocessing"] == {"mode": "L", "width": 8, "height": 8, "scale": 15.0, "layout": "flat"}
    assert report["kind"] == "onnx"
    assert json.loads(json.dumps(report)) == report


def test_a_mistake_beside_the_model_is_named_and_the_rest_shown(digits_folder):
    (digits_folder / "preprocessing.yml").write_text("mod: L")
    report = inspect_folder(digits_folder)
    assert "mod" in report["problem"]
    assert report["inputs"]


def test_an_mlmodel_shows_signature_and_example(tmp_path):
    (tmp_path / "MLmodel").write_text(SIGNATURE)
    report = inspect_folder(tmp_path)
    assert report["kind"] == "mlflow"
    assert report["flavors"] == ["python_function", "sklearn"]
    assert report["inputs"] == [
        {"name": "age", "dtype": "double"},
        {"name": "city", "dtype": "string", "required": False},
    ]
    assert report["outputs"] == [{"name": "", "dtype": "int64", "shape": [-1]}]
    assert report["params"][0]["name"] == "t"
    assert report["sample_request"] == {"dataframe_split": {"columns": ["age", "city"], "data": [[0.0, ""]]}}
    (tmp_path / "input_example.json").write_text('{"columns": ["age"], "data": [[3.0]]}')
    assert inspect_folder(tmp_path)["input_example"] == {"columns": ["age"], "data": [[3.0]]}


@pytest.mark.parametrize("text", ["[", "- a", "text"])
def test_a_damaged_mlmodel_is_refused(tmp_path, text):
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(UsageError, match="MLmodel"):
        inspect_folder(tmp_path)


@pytest.mark.parametrize("text", ["signature: {inputs: '{'}", "flavors: 3\nsaved_input_example_info: x"])
def test_an_mlmodel_without_sense_is_shown_without_it(tmp_path, text):
    (tmp_path / "MLmodel").write_text(text)
    assert inspect_folder(tmp_path)["flavors"] == []


def test_an_empty_folder_says_what_it_lacks(tmp_path):
    with pytest.raises(NotFoundError, match="no ONNX file"):
        inspect_folder(tmp_path)


def test_the_page_is_whole_and_asks_nobody(digits_folder, make_model):
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"], name=f"<b>{i}") for i in range(1000)]
    kinds = {"t0": (TensorProto.FLOAT, ["n", 2])}, {"t1000": (TensorProto.FLOAT, ["n", 2])}
    report = inspect_folder(make_model(nodes, *kinds))
    page = render(report, "a <model>")
    checker = Checker()
    checker.feed(page)
    assert checker.rows > 1000
    assert checker.foreign == []
    assert "<b>0" not in page
    assert "&lt;b&gt;0" in page
    assert "a &lt;model&gt;" in page
