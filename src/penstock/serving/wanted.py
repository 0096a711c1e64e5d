"""From recorded endpoints to what the gateway is told: the JSON of ``GET /internal/serving/desired``."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from penstock.assets.content import find_content
from penstock.compute.environments.base import EnvironmentBackend, Prepared
from penstock.entities.asset import AssetKind, Tree
from penstock.entities.endpoint import EndpointKeys, OnlineDeployment, OnlineEndpoint, ProvisioningState, RolloutState
from penstock.entities.errors import InternalError, NotFoundError, PenstockError, UnavailableError, UsageError
from penstock.serving.mlflow_models import MlflowModels, Plan
from penstock.stores.metadata import endpoints as table
from penstock.stores.metadata import trees
from penstock.stores.metadata.base import MetadataStore

logger = logging.getLogger(__name__)

DEFAULT_MODEL_NAME = "model"
MAX_NAME_BYTES = 255


class WantedState:
    """What the gateway should run; builds the environments that are missing, in the background.

    Parameters
    ----------
    store : MetadataStore
        Where endpoints are recorded.
    environments : EnvironmentBackend
        Gives score.py its interpreter.
    log : callable
        Gets a deployment and a line of its build.
    on_built : callable
        Called with a deployment whose build ended, how its model of MLflow is served, and the error if it failed.
    mlflow_models : MlflowModels, optional
        Says how models of MLflow are served.
    """

    def __init__(
        self,
        store: MetadataStore,
        environments: EnvironmentBackend,
        *,
        log: Callable[[OnlineDeployment, str], None],
        on_built: Callable[[OnlineDeployment, Plan | None, PenstockError | None], None],
        mlflow_models: MlflowModels | None = None,
    ) -> None:
        self._store = store
        self._environments = environments
        self._log = log
        self._on_built = on_built
        self._mlflow = mlflow_models
        self._building: set[tuple[str, str, int]] = set()
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        """Return endpoints, deployments and keys' digests, of one moment, with their ``revision``.

        A deployment whose files or records are gone is held and has failed; the others are told all the same.
        """
        failures: list[tuple[OnlineDeployment, PenstockError]] = []
        with self._store.read() as connection:
            revision = table.serving_revision(connection)
            answers = []
            for endpoint in table.list_endpoints(connection):
                deployments = []
                for deployment in table.list_deployments(connection, endpoint.name):
                    try:
                        deployments.append(self._one(connection, deployment))
                    except SQLAlchemyError:
                        raise  # the database's trouble is no deployment's
                    except Exception as error:
                        deployments.append(held_json(answering(deployment)))
                        failures.append((deployment, _as_ours(deployment, error)))
                answers.append(endpoint_json(endpoint, table.get_keys(connection, endpoint.name), deployments))
        for deployment, failure in failures:
            is_known = deployment.provisioning_state is ProvisioningState.FAILED
            if not is_known and not isinstance(failure, UnavailableError):
                self._on_built(deployment, None, failure)
        return {"revision": revision, "endpoints": answers}

    def _one(self, connection: Connection, deployment: OnlineDeployment) -> dict[str, Any]:
        deployment = answering(deployment)
        tree = self._mlflow_tree(connection, deployment)
        if tree is not None:
            plan = self._plan(deployment, tree)
            if plan is not None:
                return mlflow_json(connection, deployment, plan)
        else:
            prepared = self._find_environment(deployment)
            if prepared is not None:
                return deployment_json(connection, deployment, prepared)
        if deployment.provisioning_state is not ProvisioningState.FAILED:
            self._build(deployment, tree)
        return held_json(deployment)

    def _mlflow_tree(self, connection: Connection, deployment: OnlineDeployment) -> Tree | None:
        """Return the files of a model that is run by MLflow's rules, None for any other deployment."""
        if self._mlflow is None or deployment.spec.code_configuration is not None or deployment.model_tree is None:
            return None
        tree = trees.get_tree(connection, deployment.model_tree)
        return tree if self._mlflow.read(tree) is not None else None

    def _plan(self, deployment: OnlineDeployment, tree: Tree) -> Plan | None:
        assert self._mlflow is not None
        return self._mlflow.find(deployment.spec, tree)

    def _find_environment(self, deployment: OnlineDeployment) -> Prepared | None:
        environment = deployment.spec.environment
        assert not isinstance(environment, str)  # the resolved one is recorded
        needs_one = deployment.spec.code_configuration is not None
        return self._environments.find(environment if needs_one else None)

    def _build(self, deployment: OnlineDeployment, tree: Tree | None) -> None:
        place = (deployment.endpoint_name, deployment.name, deployment.revision)
        with self._lock:
            if place in self._building:
                return
            self._building.add(place)
        threading.Thread(target=self._prepare, args=(deployment, tree), name="environment", daemon=True).start()

    def _prepare(self, deployment: OnlineDeployment, tree: Tree | None) -> None:
        environment = deployment.spec.environment
        assert not isinstance(environment, str)
        plan, failure = None, None

        def log(line: str) -> None:
            self._log(deployment, line)

        try:
            if tree is not None and self._mlflow is not None:
                plan = self._mlflow.prepare(deployment.spec, tree, log)
            else:
                self._environments.prepare(environment, log=log)
        except Exception as error:
            failure = _as_ours(deployment, error)
        with self._lock:
            self._building.discard((deployment.endpoint_name, deployment.name, deployment.revision))
        self._on_built(deployment, plan, failure)


def _as_ours(deployment: OnlineDeployment, error: Exception) -> PenstockError:
    """Return an error as one that is shown with a deployment."""
    if isinstance(error, PenstockError):
        return error
    logger.error("%s/%s cannot be prepared", deployment.endpoint_name, deployment.name, exc_info=error)
    return InternalError(f"it cannot be prepared: {type(error).__name__}: {error}")


def answering(deployment: OnlineDeployment) -> OnlineDeployment:
    """Return the revision that should answer: the newest, or the last ready one where that has failed.

    So a bad update harms nobody, also after the replicas of the good one were killed or everything was restarted.
    """
    ready = deployment.last_ready
    if (
        ready is None
        or deployment.provisioning_state is not ProvisioningState.FAILED
        or deployment.ready_revision == deployment.revision
    ):
        return deployment
    return deployment.model_copy(
        update={
            "revision": ready.revision,
            "spec": ready.spec,
            "model": ready.model,
            "model_tree": ready.model_tree,
            "model_name": ready.model_name,
            "provisioning_state": ProvisioningState.SUCCEEDED,
        }
    )


def endpoint_json(endpoint: OnlineEndpoint, keys: EndpointKeys, deployments: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one endpoint; of its keys the digests alone leave the server."""
    digests = [hashlib.sha256(key.encode("utf-8")).hexdigest() for key in (keys.primary_key, keys.secondary_key)]
    answer: dict[str, Any] = {"name": endpoint.name, "keys": digests, "traffic": endpoint.traffic}
    answer |= {"mirror": endpoint.mirror_traffic, "deployments": deployments}
    rollout = endpoint.rollout
    if rollout is not None and not rollout.state.is_over:
        answer["rollout"] = {
            "number": rollout.number,
            "to": rollout.spec.to,
            "base": rollout.base,
            "steps": rollout.spec.steps,
            "requests": rollout.spec.requests,
            "time": rollout.spec.time,
            "latency_factor": rollout.spec.latency_factor,
            "step": rollout.step,
            "is_paused": rollout.state is RolloutState.PAUSED,
        }
    return answer


def held_json(deployment: OnlineDeployment) -> dict[str, Any]:
    """Return a deployment whose environment is not ready: the gateway keeps what it has of it."""
    return {"name": deployment.name, "revision": deployment.revision, "is_held": True}


def deployment_json(
    connection: Connection, deployment: OnlineDeployment, environment: Prepared | None = None
) -> dict[str, Any]:
    """Return one deployment with everything a replica is started with."""
    spec = deployment.spec
    answer: dict[str, Any] = {
        "name": deployment.name,
        "revision": deployment.revision,
        "runtime": "onnx" if spec.code_configuration is None else "script",
        "model_ref": deployment.model,
        "environment_variables": spec.environment_variables,
        "instance_count": spec.instance_count,
        "request_settings": spec.request_settings.model_dump(),
        "resources": spec.resources or None,
    }
    if spec.batching is not None:
        answer["batching"] = spec.batching.model_dump()
    scaling = spec.scale_settings
    if scaling is not None and scaling.type == "target_utilization":
        answer["scaling"] = scaling.model_dump(exclude={"type"})
    if deployment.model_tree is not None:
        model = trees.get_tree(connection, deployment.model_tree)
        answer |= {
            "model_tree": _entries(model),
            "is_file": model.is_file,
            "model_name": _model_name(connection, deployment),
        }
    if spec.preprocessing is not None:
        answer["preprocessing"] = spec.preprocessing.model_dump(mode="json", exclude_defaults=True)
    if spec.postprocessing is not None:
        answer["postprocessing"] = spec.postprocessing.model_dump(mode="json", exclude_defaults=True)
    if spec.code_configuration is not None and environment is not None:
        code = find_content(connection, spec.code_configuration.code, (AssetKind.CODE,)).tree
        answer |= {
            "code": _entries(code or Tree()),
            "scoring_script": spec.code_configuration.scoring_script,
            **_interpreter(environment),
        }
    return answer


def mlflow_json(connection: Connection, deployment: OnlineDeployment, plan: Plan) -> dict[str, Any]:
    """Return one deployment of a model of MLflow: converted, or in an environment."""
    answer = deployment_json(connection, deployment)
    answer["runtime"] = plan.runtime
    if plan.tree is not None:
        return answer | {"model_tree": _entries(plan.tree)}
    assert plan.environment is not None
    return answer | _interpreter(plan.environment)


def _interpreter(environment: Prepared) -> dict[str, Any]:
    return {
        "interpreter": str(environment.interpreter),
        "path_prepend": list(environment.path_prepend),
        "shim": environment.shim,
    }


def _entries(tree: Tree) -> list[dict[str, Any]]:
    return [entry.model_dump() for entry in tree.entries]


def _model_name(connection: Connection, deployment: OnlineDeployment) -> str:
    """Return the last part of the model's path as recorded; older deployments look it up, or use ``model``."""
    if deployment.model_name is not None:
        return deployment.model_name
    try:
        return usable_name(find_content(connection, deployment.model or "", (AssetKind.MODEL,)).name)
    except (NotFoundError, UsageError):
        return DEFAULT_MODEL_NAME


def usable_name(name: str) -> str:
    """Return a model's name if a folder may have it, else ``model``."""
    is_usable = name not in {"", ".", ".."} and not {"/", "\0"} & set(name) and len(os.fsencode(name)) <= MAX_NAME_BYTES
    return name if is_usable else DEFAULT_MODEL_NAME
