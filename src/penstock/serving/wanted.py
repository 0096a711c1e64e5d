"""From recorded endpoints to what the gateway is told: the JSON of ``GET /internal/serving/desired``."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection

from penstock.assets.content import find_content
from penstock.compute.environments.base import Prepared
from penstock.entities.asset import AssetKind, Tree
from penstock.entities.endpoint import EndpointKeys, OnlineDeployment, OnlineEndpoint
from penstock.entities.errors import NotFoundError, UsageError
from penstock.stores.metadata import trees

DEFAULT_MODEL_NAME = "model"


def endpoint_json(endpoint: OnlineEndpoint, keys: EndpointKeys, deployments: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one endpoint; of its keys the digests alone leave the server."""
    digests = [hashlib.sha256(key.encode("utf-8")).hexdigest() for key in (keys.primary_key, keys.secondary_key)]
    return {"name": endpoint.name, "keys": digests, "traffic": endpoint.traffic, "deployments": deployments}


def held_json(deployment: OnlineDeployment) -> dict[str, Any]:
    """Return a deployment whose environment is not ready: the gateway keeps what it has of it."""
    return {"name": deployment.name, "revision": deployment.revision, "is_held": True}


def deployment_json(connection: Connection, deployment: OnlineDeployment, environment: Prepared) -> dict[str, Any]:
    """Return one deployment with everything a replica is started with."""
    spec = deployment.spec
    answer: dict[str, Any] = {
        "name": deployment.name,
        "revision": deployment.revision,
        "model_ref": deployment.model,
        "environment_variables": spec.environment_variables,
        "instance_count": spec.instance_count,
        "request_settings": spec.request_settings.model_dump(),
    }
    if deployment.model_tree is not None:
        model = trees.get_tree(connection, deployment.model_tree)
        answer |= {
            "model_tree": _entries(model),
            "is_file": model.is_file,
            "model_name": _model_name(connection, deployment),
        }
    if spec.preprocessing is not None:
        answer["preprocessing"] = spec.preprocessing.model_dump(mode="json", exclude_none=True)
    if spec.code_configuration is not None:
        code = find_content(connection, spec.code_configuration.code, (AssetKind.CODE,)).tree
        answer |= {
            "code": _entries(code or Tree()),
            "scoring_script": spec.code_configuration.scoring_script,
            "interpreter": str(environment.interpreter),
            "path_prepend": list(environment.path_prepend),
            "shim": environment.shim,
        }
    return answer


def _entries(tree: Tree) -> list[dict[str, Any]]:
    return [entry.model_dump() for entry in tree.entries]


def _model_name(connection: Connection, deployment: OnlineDeployment) -> str:
    """Return the last part of the model's path; a model whose version was deleted since is just ``model``."""
    try:
        name = find_content(connection, deployment.model or "", (AssetKind.MODEL,)).name
    except (NotFoundError, UsageError):
        return DEFAULT_MODEL_NAME
    return name if name not in {"", ".", ".."} else DEFAULT_MODEL_NAME
