"""Small real models, made once a session."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

DIGITS_PREPROCESSING = "mode: L\nwidth: 8\nheight: 8\nscale: 15\nlayout: flat\n"


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def digits() -> tuple[list[bytes], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return 200 digits as PNG files, as rows of 64 floats from 0 to 16, and their labels."""
    rows, labels = load_digits(return_X_y=True)
    rows, labels = rows[:200].astype(np.float32), labels[:200]
    return [png((row.reshape(8, 8) * 15).astype(np.uint8)) for row in rows], rows, labels


@pytest.fixture(scope="session")
def classifier() -> LogisticRegression:
    rows, labels = load_digits(return_X_y=True)
    return LogisticRegression(max_iter=500, tol=0.01).fit(rows, labels)


@pytest.fixture
def digits_folder(tmp_path: Path, classifier: LogisticRegression) -> Path:
    """Return a model folder of scikit-learn's digits, with preprocessing."""
    folder = tmp_path / "model"
    folder.mkdir()
    sample = np.zeros((1, 64), np.float32)
    (folder / "model.onnx").write_bytes(
        to_onnx(classifier, sample, options={"zipmap": False}, target_opset=17).SerializeToString()
    )
    (folder / "preprocessing.yml").write_text(DIGITS_PREPROCESSING)
    return folder


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an ONNX graph of given nodes, inputs, outputs and constants."""

    def make(
        nodes: list[Any],
        inputs: dict[str, tuple[int, list[Any]]],
        outputs: dict[str, tuple[int, list[Any]]],
        constants: dict[str, np.ndarray[Any, Any]] | None = None,
        folder: str = "made",
    ) -> Path:
        graph = helper.make_graph(
            nodes,
            "made",
            [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
            [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
            [
                helper.make_tensor(
                    name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape, value.reshape(-1).tolist()
                )
                for name, value in (constants or {}).items()
            ],
        )
        target = tmp_path / folder
        target.mkdir()
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (target / "model.onnx").write_bytes(model.SerializeToString())
        return target

    return make


@pytest.fixture
def pixel_means(make_model: Callable[..., Path]) -> Path:
    """Return a model of pictures [n, 3, 2, 2]: the means of its channels as logits of three classes."""
    node = helper.make_node("ReduceMean", ["pixels"], ["logits"], axes=[2, 3], keepdims=0)
    return make_model(
        [node],
        {"pixels": (TensorProto.FLOAT, ["n", 3, 2, 2])},
        {"logits": (TensorProto.FLOAT, ["n", 3])},
        folder="means",
    )
