"""What a deployment's YAML says of answers, through gateway and replica."""

from __future__ import annotations

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
