"""The protocols' own clients, unmodified, against ONNX models behind a real gateway."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto
from tests.protocols.models import NUMBERS, brightness, echo, house, scores

from penstock.testing.protocol_clients import AzureConformance, CurlConformance, MlflowConformance, TritonConformance
from penstock.testing.protocols import Served


class TestCurl(CurlConformance):
    @pytest.fixture
    def served(self, serve, key):
        area, rooms = np.array([[50], [60.5]], np.float32), np.array([[3], [2]], np.float32)
        return Served(serve("house", house()), key, {"area": area, "rooms": rooms}, {"price": 2 * area + 10 * rooms})


@pytest.mark.long
class TestNumbers(TritonConformance, MlflowConformance, AzureConformance):
    @pytest.fixture
    def served(self, serve, key):
        rows = np.array([[1, 4, 3, 2], [9, 0, 0, 1]], np.float32)
        return Served(serve("scores", scores()), key, {"x": rows}, {"scores": rows, "label": np.array([1, 0])})


@pytest.mark.long
class TestColumns(TritonConformance, MlflowConformance, AzureConformance):
    @pytest.fixture
    def served(self, serve, key):
        area, rooms = np.array([[50], [60.5]], np.float32), np.array([[3], [2]], np.float32)
        return Served(serve("house", house()), key, {"area": area, "rooms": rooms}, {"price": 2 * area + 10 * rooms})


@pytest.mark.long
class TestText(TritonConformance, MlflowConformance):
    @pytest.fixture
    def served(self, serve, key):
        words = np.array([["a", "grün"]], dtype=object)
        return Served(serve("words", echo(TensorProto.STRING, ["n", 2])), key, {"x": words}, {"y": words})


@pytest.mark.long
class TestPictures(TritonConformance, AzureConformance):
    @pytest.fixture
    def served(self, serve, key):
        pixels, means = np.full((2, 3, 8, 8), 0.5, np.float32), np.full((2, 3), 0.5, np.float32)
        return Served(serve("pixels", brightness()), key, {"pixels": pixels}, {"means": means})


@pytest.mark.long
@pytest.mark.parametrize("datatype", sorted(set(NUMBERS) - {"FP16"}))
class TestEveryDatatype(TritonConformance):
    @pytest.fixture
    def served(self, serve, key, datatype):
        kind, dtype = NUMBERS[datatype]
        values = np.array([[0, 1, 1]], dtype)
        return Served(serve(f"echo-{dtype}", echo(kind, ["n", 3])), key, {"x": values}, {"y": values})
