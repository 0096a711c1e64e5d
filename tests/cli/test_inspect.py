from __future__ import annotations

import json
from pathlib import Path

import pytest
from onnx import TensorProto, helper

DEPLOYMENT = """name: blue
endpoint_name: means
model:
  path: ./model
preprocessing:
  resize:
    size: 8
  layout: NCHW
  crop:
    width: 8
    height: 9
postprocessing:
  labels: label.txt
"""


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["pixels"], ["logits"], axes=[2, 3], keepdims=0, name="mean")],
        "means",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "labels.txt").write_text("a\nb\nc\n")
    return folder


def test_a_model_here_is_shown_without_a_server(cli, model_folder: Path, tmp_path: Path) -> None:
    shown = cli("model", "inspect", model_folder)
    assert shown.status == 0, shown.err
    assert "pixels float32 [n, 3, 8, 8]" in shown.out
    assert "ReduceMean" in shown.out
    report = cli("model", "inspect", model_folder / "model.onnx", "-o", "json").data
    assert report["outputs"] == [{"name": "logits", "dtype": "float32", "shape": ["n", 3]}]
    done = cli("model", "inspect", model_folder, "--html", tmp_path / "page.html")
    assert done.status == 0
    assert "ReduceMean" in (tmp_path / "page.html").read_text()


def test_a_registered_model_is_shown_by_its_name(lab, model_folder: Path) -> None:
    assert lab("model", "create", "-n", "means", "-p", model_folder).status == 0
    for name in ("means", "means:1", "means@latest", "azureml:means:1"):
        done = lab("model", "inspect", name, "-o", "json")
        assert done.status == 0, done.err
        assert done.data["labels"] == ["a", "b", "c"]


def test_what_cannot_be_inspected_is_named(lab, tmp_path: Path) -> None:
    assert lab("model", "inspect", "./no/model.onnx").status == 3
    assert lab("model", "inspect", "nobody-has-this").status == 3
    (tmp_path / "model.onnx").write_bytes(b"no")
    done = lab("model", "inspect", tmp_path / "model.onnx")
    assert done.status == 2
    assert "damaged" in done.err


def test_a_deployment_that_does_not_fit_is_refused_at_its_lines(lab, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "blue.yml").write_text(DEPLOYMENT)
    assert lab("online-endpoint", "create", "-n", "means").status == 0
    done = lab("online-deployment", "create", "-f", tmp_path / "blue.yml")
    assert done.status == 2
    assert "blue.yml:11:" in done.err
    assert "9 is more than the 8 that resize and pad leave" in done.err
    assert "blue.yml:13:" in done.err
    assert 'Did you mean "labels.txt"?' in done.err
    assert json.loads(lab("online-deployment", "list", "-e", "means", "-o", "json").out) == []
    assert lab("online-endpoint", "delete", "-n", "means", "--yes").status == 0


def test_a_registered_model_is_named_as_with_every_other_verb(lab, model_folder: Path) -> None:
    assert lab("model", "create", "-n", "seen", "-p", model_folder).status == 0
    expected = lab("model", "inspect", "seen", "-o", "json").data
    for words in (["-n", "seen"], ["-n", "seen", "-v", "1"], ["-n", "seen", "-l", "latest"], ["seen:1"]):
        assert lab("model", "inspect", *words, "-o", "json").data == expected, words
    for words in ([], ["seen", "-n", "seen"], ["seen", "-v", "1"]):
        wrong = lab("model", "inspect", *words)
        assert (wrong.status, "-n digits -v 3" in wrong.err) == (2, True), words
