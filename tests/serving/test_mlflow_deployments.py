"""A deployment of a model of MLflow as the server records it: held while it is made, then told to the gateway."""

from __future__ import annotations

import errno
import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from tests.serving.test_endpoints import World

from penstock.compute.environments.select import Environments
from penstock.entities.asset import AssetKind, EnvironmentSpec, ModelSpec, Tree, TreeEntry
from penstock.entities.endpoint import OnlineEndpointSpec, ProvisioningState
from penstock.entities.errors import SpecError
from penstock.serving.mlflow_models import MlflowModels
from penstock.stores.blobs.local import LocalBlobStore
from penstock.stores.metadata import trees

MLMODEL = f"""
flavors:
  python_function: {{loader_module: mlflow.sklearn, predict_fn: predict}}
  sklearn: {{pickled_model: model.pkl, serialization_format: pickle, sklearn_version: {sklearn.__version__}}}
saved_input_example_info: {{serving_input_path: example.json}}
signature:
  inputs: '[{{"type": "tensor", "tensor-spec": {{"dtype": "float64", "shape": [-1, 2]}}}}]'
"""
OWN = EnvironmentSpec(image="ours")  # without a conda_file: the interpreter that runs Penstock


class House(World):
    """A world with the models' files."""

    def __init__(self, root: Path) -> None:
        self.blobs = LocalBlobStore(root / "blobs")
        super().__init__(root)


@pytest.fixture
def world(tmp_path):
    made = House(tmp_path)
    models = MlflowModels(made.blobs, Environments(tmp_path / "envs"), tmp_path / "converted")
    made.endpoints = made.open(mlflow_models=models)
    made.endpoints.put_endpoint(OnlineEndpointSpec(name="digits"), actor="me")
    yield made
    made.store.close()


def register(world, **files):
    put = [(name.replace("_dot_", "."), *world.blobs.put(content)) for name, content in files.items()]
    tree = Tree(entries=tuple(TreeEntry(path=n, digest=d, size=s) for n, d, s in sorted(put)))
    path = "tree:" + world.store.write(lambda connection: trees.put_tree(connection, tree))
    made = world.models.create(AssetKind.MODEL, ModelSpec(name="iris", path=path), actor="me")
    return f"azureml:{made.name}:{made.version}"


def trained(world):
    x = np.random.default_rng(0).normal(size=(60, 2))
    estimator = LogisticRegression().fit(x, x[:, 0] > x[:, 1])
    example = json.dumps({"inputs": x[:5].tolist()}).encode()
    return register(world, MLmodel=MLMODEL.encode(), model_dot_pkl=pickle.dumps(estimator), example_dot_json=example)


def shown(world):
    return world.endpoints.get_deployment("digits", "blue")


def test_a_model_is_held_while_it_is_converted_and_its_proof_is_recorded(world):
    model = trained(world)
    assert world.deploy(model=model).runtime == ""
    assert world.desired()["deployments"] == [{"name": "blue", "revision": 1, "is_held": True}]
    world.told.wait(lambda: shown(world).runtime == "onnx")
    recorded = shown(world)
    assert recorded.conversion["verdict"] == "equal"
    assert recorded.provisioning_state is ProvisioningState.CREATING  # until the gateway says that it answers
    (desired,) = world.desired()["deployments"]
    assert (desired["runtime"], desired["model_ref"]) == ("onnx", model)
    assert [entry["path"] for entry in desired["model_tree"]] == ["MLmodel", "conversion.json", "model.onnx"]
    log = str(world.endpoints.read_log("digits", "blue", 50))
    assert "conversion to ONNX: equal on 1000 samples and 5 rows" in log
    # The next revision knows it at once.
    assert world.deploy(model=model).conversion == recorded.conversion


def test_pyfunc_gets_the_interpreter_of_the_environment_that_is_named(world):
    deployed = world.deploy(model=trained(world), onnx_conversion="never", environment=OWN)
    assert (deployed.runtime, deployed.conversion) == ("mlflow", None)
    (desired,) = world.desired()["deployments"]
    assert desired["runtime"] == "mlflow"
    assert desired["interpreter"]
    assert [entry["path"] for entry in desired["model_tree"]] == ["MLmodel", "example.json", "model.pkl"]


def test_a_model_without_any_environment_fails_and_says_what_to_do(world):
    world.deploy(model=trained(world), onnx_conversion="never")
    world.desired()
    world.told.wait(lambda: shown(world).provisioning_state is ProvisioningState.FAILED)
    message = shown(world).message
    assert message.startswith("the model does not say what it needs")
    assert "Name an environment" in message
    assert world.desired()["deployments"][0]["is_held"]


def test_what_mlflow_does_not_apply_is_said_and_what_it_does_is_not(world):
    fields = {"environment_variables": {"A": "1"}, "preprocessing": {"width": 8, "height": 8}}
    deployed = world.deploy(model=trained(world), environment=OWN, onnx_conversion="never", **fields)
    (warning, *others) = deployed.warnings
    assert warning == "ignored here: preprocessing, as the model is MLflow's"
    assert not any("environment_variables" in text for text in others)
    onnx = world.model("plain", "model.onnx")
    (warning,) = world.deploy(model=onnx, onnx_conversion="required").warnings
    assert warning == "ignored here: onnx_conversion, as the model is none that MLflow's pyfunc runs"


def test_a_damaged_mlmodel_is_refused_at_the_model(world):
    with pytest.raises(SpecError, match="MLmodel is no YAML mapping") as caught:
        world.deploy(model=register(world, MLmodel=b"[]"))
    assert [problem.pointer for problem in caught.value.problems] == ["/model"]


def test_a_model_of_the_flavour_onnx_is_run_as_any_onnx_file(world):
    files = {"MLmodel": b"flavors: {onnx: {data: model.onnx}, python_function: {}}", "model_dot_onnx": b"x"}
    deployed = world.deploy(model=register(world, **files))
    assert deployed.runtime == "onnx"
    assert world.desired()["deployments"][0]["runtime"] == "onnx"


class WatchedBlobs(LocalBlobStore):
    """Notes in which threads files are put."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.threads: set[int] = set()

    def put_files(self, paths):
        self.threads.add(threading.get_ident())
        return super().put_files(paths)


def test_a_converted_model_is_not_put_again_on_the_thread_that_writes(world, tmp_path):
    model = trained(world)
    world.deploy(model=model)
    world.desired()
    world.told.wait(lambda: shown(world).runtime == "onnx")
    blobs = WatchedBlobs(tmp_path / "blobs")
    models = MlflowModels(blobs, Environments(tmp_path / "envs"), tmp_path / "converted")
    world.endpoints = world.open(mlflow_models=models)  # as after a restart: nothing is known yet
    assert world.deploy(model=model).runtime == "onnx"
    assert blobs.threads == {threading.get_ident()}
    assert world.store.write(lambda _: threading.get_ident()) not in blobs.threads


def test_a_deployment_whose_files_are_gone_fails_alone(world, tmp_path):
    model = trained(world)
    world.deploy(name="good", model=world.model("plain", "model.onnx"))
    world.deploy(model=model)
    with world.store.read() as connection:
        tree = trees.get_tree(connection, shown(world).model_tree)
    file = world.blobs.local_path(next(entry.digest for entry in tree.entries if entry.path == "MLmodel"))
    assert file is not None
    file.unlink()
    models = MlflowModels(world.blobs, Environments(tmp_path / "envs"), tmp_path / "converted")
    world.endpoints = world.open(mlflow_models=models)  # as after a restart: the file is read again
    bad, good = world.desired()["deployments"]
    assert bad == {"name": "blue", "revision": 1, "is_held": True}
    assert (good["name"], good["runtime"]) == ("good", "onnx")
    assert shown(world).provisioning_state is ProvisioningState.FAILED
    assert "blob" in shown(world).message
    assert world.desired()["deployments"][1] == good


class BrokenEnvironments(Environments):
    """Environments whose disk fails."""

    def prepare(self, spec, *, log, should_stop=None):
        raise OSError(errno.EIO, "the disk failed")


def test_a_build_that_fails_unforeseen_fails_the_deployment(world, tmp_path):
    environments = BrokenEnvironments(tmp_path / "others")
    models = MlflowModels(world.blobs, environments, tmp_path / "converted")
    world.endpoints = world.open(mlflow_models=models)
    own = EnvironmentSpec(name="own", conda_file={"name": "own", "dependencies": []})
    world.deploy(model=trained(world), onnx_conversion="never", environment=own)
    world.desired()
    world.told.wait(lambda: shown(world).provisioning_state is ProvisioningState.FAILED)
    assert "the disk failed" in shown(world).message
