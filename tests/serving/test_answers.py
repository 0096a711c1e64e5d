"""What a deployment's YAML says of answers, through gateway and replica."""

from __future__ import annotations

import io

import numpy as np
from onnx import TensorProto, helper
from PIL import Image
from tests.serving.conftest import adding_model


def test_labels_top_k_and_outputs_are_the_deployments_and_a_requests_own_win(bench):
    bench.start_gateway()
    files = bench.files(model_onnx=adding_model(0.0), names_txt="cat\ndog\n")
    after = {"labels": "names.txt", "top_k": 2, "outputs": False}
    report = bench.deploy("sums", {"name": "blue", "revision": 1, "model_tree": files, "postprocessing": after})
    assert report["state"] == "ready", report
    answer = bench.ask(body={"data": [[0.25, 0.75]]}).data
    assert answer == {
        "predictions": [
            {
                "label": "dog",
                "index": 1,
                "probability": 0.75,
                "top": [
                    {"label": "dog", "index": 1, "probability": 0.75},
                    {"label": "cat", "index": 0, "probability": 0.25},
                ],
            }
        ]
    }
    answer = bench.ask(body={"data": [[0.25, 0.75]], "threshold": 0.9, "top_k": 1, "outputs": True}).data
    assert answer["predictions"] == [{"label": None, "index": 1, "probability": 0.75, "top": []}]
    assert answer["outputs"] == {"y": [[0.25, 0.75]]}


def test_a_label_file_that_is_not_there_is_told_before_the_first_request(bench):
    bench.start_gateway()
    report = bench.deploy("sums", bench.adding(0.0, postprocessing={"labels": "names.txt"}))
    assert report["state"] == "failed"
    assert 'there is no file "names.txt" in the model folder' in report["message"]


def test_a_pictures_own_bytes_take_their_options_in_the_query(bench):
    bench.start_gateway()
    assert bench.deploy("sums", {"name": "blue", "revision": 1, "model_tree": bench.files(model_onnx=means())})
    picture = io.BytesIO()
    Image.fromarray(np.full((2, 2, 3), [0, 0, 255], np.uint8)).save(picture, "PNG")
    answer = bench.ask("/endpoints/sums/score?top_k=1&outputs=false", picture.getvalue(), Content_Type="image/png").data
    assert list(answer) == ["predictions"]
    assert [one["index"] for one in answer["predictions"][0]["top"]] == [2]


def means() -> bytes:
    """Return a model of pictures [n, 3, 2, 2]: the means of its channels as scores of three classes."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["pixels"], ["logits"], axes=[2, 3], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 2, 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
