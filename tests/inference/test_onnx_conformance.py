"""ONNX models behind the promise of every runtime."""

from __future__ import annotations

import pytest
from tests.serving.conftest import adding_model

from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.onnx import OnnxRuntime
from penstock.testing.runtimes import RuntimeConformance


class TestOnnx(RuntimeConformance):
    @pytest.fixture
    def runtime(self, tmp_path):
        (tmp_path / "model.onnx").write_bytes(adding_model(1.0))
        return OnnxRuntime(tmp_path)

    @pytest.fixture
    def good(self):
        return ScoreRequest(b'{"data": [[1, 2]]}')

    @pytest.fixture
    def mistakes(self):
        bodies = (b"", b"{", b"[]", b'{"data": "text"}', b'{"data": [[1, 2, 3]]}', b'{"inputs": {"other": [[1, 2]]}}')
        return [ScoreRequest(body) for body in bodies]
