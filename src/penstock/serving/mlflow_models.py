"""How a model of MLflow is served: as ONNX, converted to ONNX, or by pyfunc in an environment of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock.compute.environments.base import EnvironmentBackend, Prepared
from penstock.entities.asset import EnvironmentSpec, Tree
from penstock.entities.endpoint import OnlineDeploymentSpec
from penstock.entities.errors import PenstockError, RefusedError, UsageError
from penstock.serving.conversion import EQUAL, Conversions, Report
from penstock.serving.mlflow_model import MLMODEL, MlflowModel, read_model
from penstock.stores.blobs.base import BlobStore

KEPT = 256
NAME_ONE = "Name an environment in the deployment: a conda_file with mlflow and what the model imports."


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replica of a model is started with: a converted ``tree``, or pyfunc in an ``environment``."""

    tree: Tree | None
    environment: Prepared | None
    report: Report | None

    @property
    def runtime(self) -> str:
        """Return the runtime's name."""
        return "mlflow" if self.tree is None else "onnx"


class MlflowModels:
    """Decides for each deployment; safe to call from several threads.

    Parameters
    ----------
    blobs : BlobStore
        Holds the models' files.
    environments : EnvironmentBackend
        Builds what a model's own files ask for.
    folder : Path
        Where conversions are kept.
    """

    def __init__(self, blobs: BlobStore, environments: EnvironmentBackend, folder: Path) -> None:
        self._blobs = blobs
        self._environments = environments
        self._conversions = Conversions(blobs, environments, folder)
        self._models: OrderedDict[str, MlflowModel | None] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, tree: Tree) -> MlflowModel | None:
        """Return a model that MLflow's own rules run; None for any other, and for one of the flavour ``onnx``.

        Raises
        ------
        UsageError
            If its ``MLmodel`` is damaged.
        """
        digest = next((entry.digest for entry in tree.entries if entry.path == MLMODEL), None)
        if digest is None:
            return None
        key = f"{digest}:{hash(tree.entries)}"
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
                return self._models[key]
        model = read_model(self._blobs, tree)
        found = None if model is None or model.is_onnx else model
        with self._lock:
            self._models[key] = found
            while len(self._models) > KEPT:
                self._models.popitem(last=False)
        return found

    def find(self, spec: OnlineDeploymentSpec, tree: Tree) -> Plan | None:
        """Return how a model is served if nothing has to be made for it."""
        model = self._known(tree)
        report = None
        if model.sklearn is not None and spec.onnx_conversion != "never":
            environment = _named(spec)
            report = self._conversions.find(tree, model.sklearn, environment)
            if report is None:
                return None
            if report["verdict"] == EQUAL:
                return Plan(self._conversions.served_tree(tree, environment), None, report)
        if spec.onnx_conversion == "required":
            return None
        wanted = _named(spec) or model.environment
        prepared = None if wanted is None else self._environments.find(wanted)
        return None if prepared is None else Plan(None, prepared, report)

    def prepare(self, spec: OnlineDeploymentSpec, tree: Tree, log: Callable[[str], None]) -> Plan:
        """Convert the model, or build its environment, and return how it is served.

        Raises
        ------
        PenstockError
            If it can be served in no way that the spec allows.
        """
        model = self._known(tree)
        report = None
        if model.sklearn is not None and spec.onnx_conversion != "never":
            environment = _named(spec)
            report = self._conversions.convert(tree, model, environment, log)
            if report["verdict"] == EQUAL:
                return Plan(self._conversions.served_tree(tree, environment), None, report)
        if spec.onnx_conversion == "required":
            reason = report.get("reason", "") if report is not None else "it is no model of the flavour sklearn"
            raise RefusedError(
                f"the model is not converted to ONNX: {reason}", hint="Say onnx_conversion: auto to run it by pyfunc."
            )
        wanted = _named(spec) or model.environment
        if wanted is None:
            raise RefusedError(model.problem, hint=NAME_ONE)
        try:
            return Plan(None, self._environments.prepare(wanted, log=log), report)
        except UsageError as error:
            raise RefusedError(error.message, hint=NAME_ONE) from error

    def _known(self, tree: Tree) -> MlflowModel:
        model = self.read(tree)
        if model is None:
            raise PenstockError("the model is none of MLflow")
        return model


def _named(spec: OnlineDeploymentSpec) -> EnvironmentSpec | None:
    """Return the environment that a closed spec names."""
    assert not isinstance(spec.environment, str)
    return spec.environment
