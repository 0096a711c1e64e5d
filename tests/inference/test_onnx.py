from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image
from skl2onnx import to_onnx

import penstock
from penstock.entities.errors import NotFoundError, SpecError, UsageError
from penstock.entities.image import ImagePreprocessing
from penstock.inference.files import find_model_file
from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.onnx import ModelError, OnnxRuntime


def ask(runtime, body, content_type="application/json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = runtime.score(ScoreRequest(content, content_type))
    return response.status, json.loads(response.body)


def b64(content):
    return base64.b64encode(content).decode()


def test_every_form_of_request_gives_the_same_answer(digits_folder, digits):
    pictures, rows, _ = digits
    runtime = OnnxRuntime(digits_folder)
    runtime.warm_up()
    assert runtime.run_ms is not None
    row = (rows[0] / 1.0).tolist()
    forms = [
        ask(runtime, {"image": b64(pictures[0])}),
        ask(runtime, {"image": "data:image/png;base64," + b64(pictures[0])}),
        ask(runtime, {"images": [b64(pictures[0])]}),
        ask(runtime, pictures[0], "image/png"),
        ask(runtime, {"data": [row]}),
        ask(runtime, {"data": row}),
        ask(runtime, {"inputs": {"X": [row]}}),
        ask(runtime, {"inputs": [row]}),
    ]
    assert all(form == forms[0] for form in forms)
    status, answer = forms[0]
    assert status == 200
    assert answer["predictions"][0]["label"] == 0
    assert answer["outputs"]["label"] == [0]
    assert len(answer["outputs"]["probabilities"][0]) == 10


def test_a_batch_of_pictures_is_the_rows_one_by_one(digits_folder, digits):
    pictures, _, _ = digits
    runtime = OnnxRuntime(digits_folder)
    _, batch = ask(runtime, {"images": [b64(picture) for picture in pictures[:20]]})
    singles = [ask(runtime, {"image": b64(picture)})[1]["predictions"][0] for picture in pictures[:20]]
    assert [p["label"] for p in batch["predictions"]] == [p["label"] for p in singles]


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        (b"{", "no JSON", ""),
        (b"[1]", "no JSON object", "image, images, inputs, data"),
        (b"[" * 200_000, "nested too deeply", ""),
        (b'{"data": ' + b"[" * 200_000, "nested too deeply", ""),
        (b'{"data": ' + b"[" * 500 + b"]" * 500 + b"}", "too many levels", ""),
        (b'{"data": NaN}', "no JSON", ""),
        (b'{"data": [[Infinity]]}', "no JSON", ""),
        (b'{"data": [[1e999]]}', "no JSON", ""),
        (b'{"data": [[' + b"9" * 5000 + b"]]}", "no JSON", ""),
        ({"data": [[10**40] * 64]}, "larger one than float32 takes", ""),
        ({"data": [[1e39] * 64]}, "from 1e+39", "more than float32"),
        ({"data": [[[0.0] * 64]]}, "shape [1, 1, 64]", "[any, 64]"),
        ({"data": 1.0}, "shape []", "[any, 64]"),
        ({"k" * 500: 1}, "unknown key 'k", "Known"),
        ({}, "no JSON object", "image"),
        ({"imgae": "x"}, "unknown key 'imgae'", "'image'"),
        ({"image": "x", "data": []}, "exclude each other", ""),
        ({"image": 3}, "image is no base64", ""),
        ({"image": "%%%"}, "image is no base64", ""),
        ({"images": []}, "images is no list", ""),
        ({"images": ["aGVsbG8="]}, "not a picture", "PNG"),
        ({"inputs": {"Z": [[0.0]]}}, "no input 'Z'", "Known: X"),
        ({"data": [[1.0, 2.0]]}, "shape [1, 2]", "[any, 64]"),
        ({"data": [[1.0], [1.0, 2.0]]}, "different lengths", ""),
        ({"data": [["a"] * 64]}, "holds text", "float32"),
        ({"data": [[None] * 64]}, "not a number", ""),
        ({"data": {"Y": 1}}, "no input 'Y'", "X"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong_and_what_would_be_right(digits_folder, body, message, hint):
    status, answer = ask(OnnxRuntime(digits_folder), body)
    assert status == 400
    assert message in answer["message"]
    assert hint in answer.get("hint", "")
    assert answer["sample_request"]


def test_the_sample_of_a_refusal_is_answered(digits_folder):
    runtime = OnnxRuntime(digits_folder)
    _, refusal = ask(runtime, {"data": [[1.0]]})
    assert ask(runtime, refusal["sample_request"])[0] == 200


def test_integers_are_refused_where_they_do_not_fit(make_model):
    folder = make_model(
        [helper.make_node("Identity", ["n"], ["m"])],
        {"n": (TensorProto.UINT8, ["k"])},
        {"m": (TensorProto.UINT8, ["k"])},
    )
    runtime = OnnxRuntime(folder)
    assert ask(runtime, {"data": [1, 2.0, 255]}) == (200, {"outputs": {"m": [1, 2, 255]}})
    for values in ([256], [-1], [0.5], ["1"]):
        status, answer = ask(runtime, {"data": values})
        assert status == 400
        assert "uint8" in answer["hint"]


def test_several_inputs_are_named(make_model):
    folder = make_model(
        [helper.make_node("Add", ["first", "second"], ["sum"])],
        {"first": (TensorProto.FLOAT, ["n"]), "second": (TensorProto.FLOAT, ["n"])},
        {"sum": (TensorProto.FLOAT, ["n"])},
    )
    runtime = OnnxRuntime(folder)
    runtime.warm_up()
    status, answer = ask(runtime, {"inputs": {"first": [1.0], "second": [2.0]}})
    assert (status, answer) == (200, {"outputs": {"sum": [3.0]}})
    assert "'second' is missing" in ask(runtime, {"inputs": {"first": [1.0]}})[1]["message"]
    status, answer = ask(runtime, {"inputs": {"fist": [1.0]}})
    assert "'first'" in answer["hint"]
    assert answer["sample_request"] == {"inputs": {"first": [0.0], "second": [0.0]}}
    assert "first, second" in ask(runtime, {"data": [1.0]})[1]["hint"]


def test_text_goes_in_and_out(make_model):
    folder = make_model(
        [helper.make_node("Identity", ["words"], ["same"])],
        {"words": (TensorProto.STRING, ["n"])},
        {"same": (TensorProto.STRING, ["n"])},
    )
    runtime = OnnxRuntime(folder)
    assert ask(runtime, {"data": ["ä", "b"]}) == (200, {"outputs": {"same": ["ä", "b"]}})
    for wrong in ([1], [None], [["a"], "b"], [{"a": 1}], [["a"] * 3]):
        status, answer = ask(runtime, {"data": wrong})
        assert (status, answer["sample_request"]) == (400, {"data": [""]})


def test_an_infinite_value_of_a_caller_in_this_process_stays(digits_folder):
    outputs = OnnxRuntime(digits_folder).run({"X": np.full((1, 64), np.inf)})
    assert len(outputs["label"]) == 1


def test_nan_becomes_null(make_model):
    folder = make_model(
        [helper.make_node("Log", ["x"], ["y"])], {"x": (TensorProto.FLOAT, ["n"])}, {"y": (TensorProto.FLOAT, ["n"])}
    )
    assert ask(OnnxRuntime(folder), {"data": [-1.0, 1.0]}) == (200, {"outputs": {"y": [None, 0.0]}})


def test_zipmap_and_text_classes_of_scikit_learn(tmp_path, digits):
    from sklearn.linear_model import LogisticRegression

    _, rows, labels = digits
    names = np.array(["even", "odd"])[labels % 2]
    model = LogisticRegression(max_iter=50, tol=1.0).fit(rows, names)
    (tmp_path / "model.onnx").write_bytes(to_onnx(model, rows[:1], target_opset=17).SerializeToString())
    runtime = OnnxRuntime(tmp_path)
    runtime.warm_up()
    _, answer = ask(runtime, {"data": rows[:3].tolist()})
    assert [p["label"] for p in answer["predictions"]] == model.predict(rows[:3]).tolist()
    expected = model.predict_proba(rows[:3]).max(axis=1)
    np.testing.assert_allclose([p["probability"] for p in answer["predictions"]], expected, atol=1e-5)
    assert set(answer["outputs"]["output_probability"][0]) == {"even", "odd"}


def test_pictures_need_no_preprocessing_file_where_the_input_says_it(pixel_means):
    (pixel_means / "labels.txt").write_text("red\ngreen\nblue\n")
    runtime = OnnxRuntime(pixel_means)
    runtime.warm_up()
    blue = np.zeros((2, 2, 3), np.uint8)
    blue[:, :, 2] = 255
    outputs = runtime.run_images([blue, Image.fromarray(blue)])
    assert outputs["logits"].tolist() == [[0, 0, 1], [0, 0, 1]]
    predictions = runtime.predictions(outputs)
    assert predictions is not None
    assert [p.label for p in predictions] == ["blue", "blue"]
    assert runtime.describe()["labels"] == ["red", "green", "blue"]


def test_a_deployments_preprocessing_wins(pixel_means):
    (pixel_means / "preprocessing.yml").write_text("scale: 255\n")
    runtime = OnnxRuntime(pixel_means, ImagePreprocessing(scale=1.0, width=2, height=2))
    assert runtime.run_images([np.full((5, 5, 3), 7, np.uint8)])["logits"].tolist() == [[7, 7, 7]]


def test_preprocessing_that_names_no_input_is_refused(pixel_means):
    with pytest.raises(UsageError, match='no input "picture"'):
        OnnxRuntime(pixel_means, ImagePreprocessing(input="picture"))
    with pytest.raises(SpecError, match="but input 'pixels' takes"):
        OnnxRuntime(pixel_means, ImagePreprocessing(width=3, height=3))


def test_a_fixed_batch_of_one_takes_many_pictures(make_model):
    folder = make_model(
        [helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0)],
        {"pixels": (TensorProto.FLOAT, [1, 1, 2, 2])},
        {"mean": (TensorProto.FLOAT, [1])},
    )
    pictures = [np.full((2, 2), value, np.uint8) for value in (0, 255)]
    assert OnnxRuntime(folder).run_images(pictures)["mean"].tolist() == [0.0, 1.0]


def test_a_model_without_pictures_says_so(make_model):
    folder = make_model(
        [helper.make_node("Identity", ["x"], ["y"])],
        {"x": (TensorProto.FLOAT, ["n"])},
        {"y": (TensorProto.FLOAT, ["n"])},
    )
    status, answer = ask(OnnxRuntime(folder), {"image": "aGVsbG8="})
    assert status == 400
    assert "does not say how a picture" in answer["message"]
    assert answer["sample_request"] == {"data": [0.0]}


def test_a_model_that_fails_inside_is_not_the_clients_mistake(make_model):
    folder = make_model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        {"x": (TensorProto.FLOAT, ["n"])},
        {"y": (TensorProto.FLOAT, [2, 2])},
        {"shape": np.array([2, 2], np.int64)},
    )
    runtime = OnnxRuntime(folder)
    runtime.warm_up()  # zeros of length one are refused, but a free length may well be longer
    assert runtime.run_ms is None
    assert runtime.run({"x": [1.0, 2.0, 3.0, 4.0]})["y"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(ModelError, match="Reshape"):
        runtime.run({"x": [1.0]})


def test_threads_share_one_session(digits_folder, digits):
    pictures, _, labels = digits
    runtime = OnnxRuntime(digits_folder)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda picture: runtime.run_images([picture])["label"][0], pictures))
    assert np.mean(np.array(answers) == labels) > 0.9


def test_onnxruntime_reports_nothing_and_leaves_nothing_behind(digits_folder, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from penstock.inference.runtimes.onnx import OnnxRuntime;"
        "OnnxRuntime(Path(sys.argv[1])).warm_up();"
        "print([os.readlink(f'/proc/self/fd/{fd}') for fd in (3, 4, 5) if os.path.exists(f'/proc/self/fd/{fd}')])"
    )
    source = str(Path(penstock.__file__).parent.parent)
    environment = {"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": source}
    command = [sys.executable, "-c", code, str(digits_folder)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "onnxruntime" not in done.stdout
    assert list(home.iterdir()) == []


def test_the_model_file_is_found(tmp_path):
    with pytest.raises(NotFoundError, match="no ONNX file"):
        find_model_file(tmp_path)
    with pytest.raises(NotFoundError, match="no model folder"):
        find_model_file(tmp_path / "gone")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "net.onnx").touch()
    assert find_model_file(tmp_path).name == "net.onnx"
    (tmp_path / "a.onnx").touch()
    assert find_model_file(tmp_path).name == "a.onnx"
    (tmp_path / "b.onnx").touch()
    with pytest.raises(UsageError, match="2 ONNX files"):
        find_model_file(tmp_path)
    (tmp_path / "model.onnx").touch()
    assert find_model_file(tmp_path).name == "model.onnx"
    assert find_model_file(tmp_path / "b.onnx").name == "b.onnx"


def test_what_is_no_model_is_refused_by_name(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(UsageError, match=r"onnxruntime cannot load model\.onnx"):
        OnnxRuntime(tmp_path)
