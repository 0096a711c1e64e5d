"""Real conversions of real models in this interpreter, and what is kept of them."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from penstock.compute.environments.select import Environments
from penstock.entities.asset import Tree, TreeEntry
from penstock.entities.endpoint import OnlineDeploymentSpec
from penstock.entities.errors import RefusedError
from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.converted import ConvertedRuntime
from penstock.serving.mlflow_models import MlflowModels
from penstock.stores.blobs.local import LocalBlobStore

MLMODEL = f"""
flavors:
  python_function: {{loader_module: mlflow.sklearn, predict_fn: predict}}
  sklearn: {{pickled_model: model.pkl, serialization_format: pickle, sklearn_version: {sklearn.__version__}}}
saved_input_example_info: {{serving_input_path: example.json}}
signature:
  inputs: '[{{"type": "tensor", "tensor-spec": {{"dtype": "float64", "shape": [-1, 3]}}}}]'
"""
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(80, 3))
Y = (X[:, 0] > X[:, 1]).astype(int)


class House:
    def __init__(self, folder):
        self.folder = folder
        self.blobs = LocalBlobStore(folder / "blobs")
        self.lines = []
        self.models = self.open()

    def open(self):
        return MlflowModels(self.blobs, Environments(self.folder / "envs"), self.folder / "converted")

    def register(self, estimator, mlmodel=MLMODEL):
        files = {
            "MLmodel": mlmodel.encode(),
            "model.pkl": pickle.dumps(estimator),
            "example.json": json.dumps({"inputs": X[:5].tolist()}).encode(),
        }
        put = [(name, *self.blobs.put(content)) for name, content in files.items()]
        return Tree(entries=tuple(TreeEntry(path=n, digest=d, size=s) for n, d, s in put))

    def prepare(self, tree, conversion="auto"):
        return self.models.prepare(spec(conversion), tree, self.lines.append)


def spec(conversion="auto"):
    return OnlineDeploymentSpec(name="blue", endpoint_name="digits", model="azureml:m:1", onnx_conversion=conversion)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_an_equal_model_is_served_as_onnx_and_kept(house, tmp_path):
    estimator = LogisticRegression().fit(X, Y)
    tree = house.register(estimator)
    assert house.models.find(spec(), tree) is None
    plan = house.prepare(tree)
    assert plan.runtime == "onnx"
    report = plan.report
    assert (report["verdict"], report["samples"], report["labels_different"]) == ("equal", 1000, 0)
    assert 0 <= report["greatest_difference"] <= 1e-5
    assert report["versions"]["scikit-learn"] == sklearn.__version__
    assert report["ranges"] == [
        {
            "name": "values",
            "type": "double",
            "from": pytest.approx(X[:5].min() - 2 * np.ptp(X[:5])),
            "to": pytest.approx(X[:5].max() + 2 * np.ptp(X[:5])),
        }
    ]
    served = tmp_path / "served"
    served.mkdir()
    for entry in plan.tree.entries:
        (served / entry.path).write_bytes(house.blobs.read(entry.digest))
    said = ConvertedRuntime(served).invoke(ScoreRequest(json.dumps({"inputs": X.tolist()}).encode()))
    assert json.loads(said.body) == {"predictions": estimator.predict(X).tolist()}

    # Another server finds it at once, also after a collection removed what no record names.
    house.blobs.discard(plan.tree.entries[0].digest)
    again = house.open().find(spec(), tree)
    assert again is not None
    assert again.tree == plan.tree
    assert not house.blobs.missing(entry.digest for entry in again.tree.entries)
    assert house.models.find(spec("never"), tree) is None  # that would be pyfunc, whose environment is not built


def test_a_model_that_cannot_be_converted_says_why_and_is_kept_too(house):
    tree = house.register(make_pipeline(FunctionTransformer(np.tanh), LogisticRegression()).fit(X, Y))
    with pytest.raises(RefusedError, match="not converted to ONNX: skl2onnx cannot convert it") as caught:
        house.prepare(tree, "required")
    assert "onnx_conversion: auto" in caught.value.hint
    tried = len(house.lines)
    with pytest.raises(RefusedError, match="it has no conda"):
        house.prepare(tree)  # it asks for no environment either
    assert len(house.lines) == tried


def test_a_model_of_another_scikit_learn_is_not_loaded_here(house):
    tree = house.register(LogisticRegression().fit(X, Y), MLMODEL.replace(sklearn.__version__, "0.1.0"))
    with pytest.raises(RefusedError, match=r"scikit-learn 0\.1\.0 is not installed here"):
        house.prepare(tree, "required")


def test_never_means_that_nothing_is_loaded(house):
    tree = house.register(LogisticRegression().fit(X, Y))
    with pytest.raises(RefusedError, match="does not say what it needs"):
        house.prepare(tree, "never")
    assert house.lines == []
