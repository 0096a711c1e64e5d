from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from penstock.entities.asset import Tree, TreeEntry
from penstock.entities.endpoint import OnlineDeploymentSpec
from penstock.entities.errors import SpecError
from penstock.serving.model_check import ModelCheck
from penstock.stores.blobs.local import LocalBlobStore


def classifier(classes: int = 3, output: str = "logits") -> bytes:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["pixels"], [output], axes=[2, 3], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", classes, 8, 8])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", classes])],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    )


class Shelf:
    """Models in a real blob store, and a check of deployments of them."""

    def __init__(self, root: Path) -> None:
        self.blobs = LocalBlobStore(root / "blobs")
        self.check = ModelCheck(self.blobs)

    def problems(self, files: dict[str, bytes], **fields) -> list[tuple[str, str, str]]:
        entries = []
        for path, content in sorted(files.items()):
            digest, size = self.blobs.put(content)
            entries.append(TreeEntry(path=path, digest=digest, size=size))
        spec = OnlineDeploymentSpec(**{"name": "blue", "endpoint_name": "digits", **fields})
        try:
            self.check.check(spec, Tree(entries=tuple(entries)))
        except SpecError as error:
            return [(problem.pointer, problem.message, problem.hint) for problem in error.problems]
        return []


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


FITS = {"width": 8, "height": 8}


def test_a_deployment_that_fits_is_taken(shelf):
    files = {"model.onnx": classifier(), "labels.txt": b"a\nb\nc\n"}
    assert shelf.problems(files) == []
    assert shelf.problems(files, preprocessing=FITS, postprocessing={"top_k": 3, "labels": "labels.txt"}) == []


@pytest.mark.parametrize(
    ("preprocessing", "pointer", "message", "hint"),
    [
        ({"width": 8, "height": 9}, "/height", "makes [any, 3, 9, 8]", "width: 8, height: 8"),
        ({**FITS, "layout": "NHWC"}, "/layout", "[any, 8, 8, 3]", "layout: NCHW"),
        ({**FITS, "mode": "L"}, "/mode", "[any, 1, 8, 8]", "mode: RGB"),
        ({**FITS, "input": "pixel"}, "/input", 'no input "pixel"', 'Did you mean "pixels"?'),
        ({**FITS, "dtype": "uint8"}, "/dtype", "takes float32", "model's own"),
        ({**FITS, "mean": [0.1, 0.2]}, "/mean", "2 values for 3 channels", "1 or 3"),
        ({"resize": {"size": 6, "fit": "shortest"}, "crop": {"width": 8, "height": 8}}, "/crop/width", "8 is more", ""),
        ({"resize": {"size": 16}, "crop": {"width": 4, "height": 8}}, "/crop", "[any, 3, 8, 4]", "width: 8"),
    ],
)
def test_preprocessing_that_does_not_fit_is_refused_at_its_place(shelf, preprocessing, pointer, message, hint):
    found = shelf.problems({"model.onnx": classifier()}, preprocessing=preprocessing)
    assert found[0][0] == f"/preprocessing{pointer}"
    assert message in found[0][1]
    assert hint in found[0][2]


@pytest.mark.parametrize(
    ("files", "postprocessing", "pointer", "words"),
    [
        ({"labels.txt": b"a\nb\n"}, {"labels": "label.txt"}, "/postprocessing/labels", 'Did you mean "labels.txt"?'),
        ({"labels.txt": b"a\nb\n"}, {"labels": "labels.txt"}, "/postprocessing/labels", "has 2 lines"),
        ({"labels.txt": b"a\nb\n"}, {}, "/model", "has 2 lines"),
        ({"names.json": b"{"}, {"labels": "names.json"}, "/postprocessing/labels", "no file of labels"),
        ({}, {"top_k": 4}, "/postprocessing/top_k", "3 classes"),
    ],
)
def test_labels_and_choices_that_do_not_fit_are_refused(shelf, files, postprocessing, pointer, words):
    (found,) = shelf.problems({"model.onnx": classifier(), **files}, postprocessing=postprocessing)
    assert found[0] == pointer
    assert words in found[1] + found[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"width: 8\nheight: 9\n", "preprocessing.yml: height: makes [any, 3, 9, 8]"),
        (b"mod: L\n", 'Did you mean "mode"?'),
        (b"[", "not a YAML file"),
    ],
)
def test_the_models_own_preprocessing_is_checked_unless_the_deployment_declares_one(shelf, text, words):
    files = {"model.onnx": classifier(), "preprocessing.yml": text}
    (found,) = shelf.problems(files)
    assert found[0] == "/model"
    assert words in found[1] + found[2]
    assert shelf.problems(files, preprocessing=FITS) == []


def test_a_model_without_scores_has_nothing_to_choose_from(shelf):
    summing = helper.make_graph(
        [helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0)],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [])],
    )
    model = helper.make_model(summing, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    files = {"model.onnx": model.SerializeToString()}
    (found,) = shelf.problems(files, postprocessing={"threshold": 0.5})
    assert found[0] == "/postprocessing/threshold"
    assert "no scores" in found[1]


def test_the_only_matrix_a_model_gives_are_its_scores_where_some_are_asked_for(shelf):
    files = {"model.onnx": classifier(output="y")}
    assert shelf.problems(files, postprocessing={"top_k": 3, "threshold": 0.5}) == []
    (found,) = shelf.problems(files, postprocessing={"top_k": 4})
    assert found[0] == "/postprocessing/top_k"


def test_a_damaged_model_is_refused(shelf):
    (found,) = shelf.problems({"model.onnx": classifier()[:-20]})
    assert found[0] == "/model"
    assert "damaged" in found[1]


def test_the_model_may_lie_in_a_folder_of_its_own(shelf):
    files = {"out/net.onnx": classifier(), "out/labels.txt": b"a\nb\n", "labels.txt": b"a\nb\nc\n"}
    (found,) = shelf.problems(files)
    assert found[0] == "/model"


def test_a_model_is_read_once(shelf, monkeypatch):
    files = {"model.onnx": classifier()}
    assert shelf.problems(files, preprocessing=FITS) == []
    monkeypatch.setattr("sys.executable", "/nowhere/python")  # whoever starts a process again is found out
    assert shelf.problems(files, preprocessing={"width": 9, "height": 8}) != []
