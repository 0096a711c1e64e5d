"""``ws.endpoints``: models that answer over HTTP."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from penstock.entities.endpoint import (
    EndpointKeys,
    OnlineDeployment,
    OnlineDeploymentSpec,
    OnlineEndpoint,
    OnlineEndpointSpec,
    RolloutSpec,
)
from penstock.entities.errors import PenstockError, RefusedError
from penstock.rules.validation import validate_entity
from penstock.sdk.http import HttpClient
from penstock.sdk.problems import header_of, status_of
from penstock.sdk.rest import Json, Rest
from penstock.sdk.submit import put_deployment
from penstock.sdk.wire import as_entity, as_json

WAIT_ROUND_S = 25
READY_TIMEOUT_S = 600.0
FOLLOW_S = 0.5
DEPLOYMENT_HEADER = "azureml-model-deployment"
MODEL_FAILED = 424


class EndpointsClient:
    """The online endpoints of a workspace and their deployments."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def create(self, endpoint: OnlineEndpointSpec | str) -> OnlineEndpoint:
        """Create an endpoint, or replace its description and tags; a plain name will do."""
        spec = validate_entity(OnlineEndpointSpec, {"name": endpoint}) if isinstance(endpoint, str) else endpoint
        self._rest.ensure_workspace()
        return as_entity(OnlineEndpoint, self._rest.put_endpoint(as_json(spec)))

    def get(self, name: str) -> OnlineEndpoint:
        """Return an endpoint."""
        return as_entity(OnlineEndpoint, self._rest.get_endpoint(name))

    def list(self) -> Iterator[OnlineEndpoint]:
        """Yield the endpoints."""
        for data in self._rest.list_endpoints():
            yield as_entity(OnlineEndpoint, data)

    def delete(self, name: str) -> None:
        """Delete an endpoint and its deployments."""
        self._rest.delete_endpoint(name)

    def set_traffic(
        self, name: str, traffic: Mapping[str, int], *, mirror: Mapping[str, int] | None = None
    ) -> OnlineEndpoint:
        """Set the shares of the deployments, which sum to 0 or 100; a release under way ends.

        Parameters
        ----------
        mirror : mapping, optional
            The deployment that gets copies of so many of a hundred requests, 50 at most; nothing changes without it.
        """
        return as_entity(OnlineEndpoint, self._rest.set_traffic(name, traffic, mirror))

    def start_rollout(self, name: str, rollout: RolloutSpec | str) -> OnlineEndpoint:
        """Give a deployment its traffic step by step; one that fails more often goes back to none. A name will do."""
        spec = validate_entity(RolloutSpec, {"to": rollout}) if isinstance(rollout, str) else rollout
        return as_entity(OnlineEndpoint, self._rest.start_rollout(name, as_json(spec)))

    def change_rollout(self, name: str, action: Literal["pause", "resume", "abort"]) -> OnlineEndpoint:
        """Pause, resume or abort the release under way; aborted, the split is the one before it again."""
        return as_entity(OnlineEndpoint, self._rest.change_rollout(name, action))

    def get_keys(self, name: str) -> EndpointKeys:
        """Return the endpoint's keys; a client sends one as ``Authorization: Bearer``."""
        return as_entity(EndpointKeys, self._rest.get_credentials(name))

    def deploy(
        self, deployment: OnlineDeploymentSpec, *, all_traffic: bool = False, wait: bool = True
    ) -> OnlineDeployment:
        """Create or update a deployment.

        Parameters
        ----------
        deployment : OnlineDeploymentSpec
            A local model or code is uploaded.
        all_traffic : bool
            Send every request to it, once it is ready.
        wait : bool
            Return only when it answers; without it the state may still be ``Creating``.

        Raises
        ------
        RefusedError
            If the deployment does not become ready; says why, with the last lines of its log.
        """
        data = put_deployment(self._rest, deployment)
        return as_entity(OnlineDeployment, roll_out(self._rest, data, all_traffic=all_traffic, wait=wait))

    def get_deployment(self, endpoint: str, name: str) -> OnlineDeployment:
        """Return a deployment."""
        return as_entity(OnlineDeployment, self._rest.get_deployment(endpoint, name))

    def list_deployments(self, endpoint: str) -> Iterator[OnlineDeployment]:
        """Yield an endpoint's deployments."""
        for data in self._rest.list_deployments(endpoint):
            yield as_entity(OnlineDeployment, data)

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment that gets no traffic."""
        self._rest.delete_deployment(endpoint, name)

    def get_logs(self, endpoint: str, name: str, *, lines: int = 50) -> str:
        """Return the last lines a deployment's processes wrote."""
        return self._rest.read_deployment_log(endpoint, name, lines=lines)

    def invoke(self, name: str, request: Any, *, deployment: str | None = None) -> Any:
        """Score ``request`` (sent as JSON; bytes as they are) and return the answer's JSON.

        Parameters
        ----------
        name : str
            The endpoint.
        request : object
            Such as ``{"image": "<base64>"}`` or ``{"data": [[…]]}``.
        deployment : str, optional
            This one instead of one chosen by the traffic split.
        """
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        return json.loads(invoke(self._rest, name, body, deployment=deployment))


def roll_out(rest: Rest, deployment: Json, *, all_traffic: bool, wait: bool) -> Json:
    """Wait for a deployment that was put and give it all traffic where that is wanted; return it as it is then.

    Traffic is taken from others only once it is ready. Where no other deployment gets any, there is nothing to
    lose: it is given at once, so that the first request after this call is answered.
    """
    endpoint, name = deployment["endpoint_name"], deployment["name"]
    split = {name: 100}
    shares = rest.get_endpoint(endpoint).get("traffic") or {} if all_traffic else split
    is_alone = not any(share for other, share in shares.items() if other != name)
    if is_alone and shares != split:
        rest.set_traffic(endpoint, split)
    if wait or not is_alone:
        deployment = wait_ready(rest, deployment)
    if not is_alone:
        rest.set_traffic(endpoint, split)
    return deployment


def wait_ready(rest: Rest, deployment: Json, *, timeout_s: float = READY_TIMEOUT_S) -> Json:
    """Return a deployment once its present revision answers.

    Raises
    ------
    RefusedError
        If it failed, or is not ready in time.
    """
    endpoint, name, wanted = deployment["endpoint_name"], deployment["name"], deployment["revision"]
    deadline = time.monotonic() + timeout_s
    while True:
        state = deployment["provisioning_state"]
        if state == "Succeeded" and deployment["ready_revision"] >= wanted:
            return deployment
        if state == "Failed":
            reason = deployment.get("message") or "no reason given"
            before = deployment["ready_revision"]
            raise RefusedError(
                f'deployment "{name}" of endpoint "{endpoint}" failed: {reason}',
                hint=(f"Revision {before} still serves. " if before else "") + log_hint(endpoint, name),
                ref=f"deployment:{endpoint}/{name}",
            )
        if time.monotonic() > deadline:
            raise RefusedError(
                f'deployment "{name}" of endpoint "{endpoint}" is not ready after {timeout_s:.0f} s',
                hint=log_hint(endpoint, name),
            )
        deployment = rest.get_deployment(endpoint, name, wait_s=WAIT_ROUND_S)


def follow_log(rest: Rest, endpoint: str, deployment: str, *, lines: int) -> Iterator[str]:
    """Yield the last lines of a deployment's log, then what is written to it, for ever."""
    text, end = rest.read_deployment_log_after(endpoint, deployment, lines=lines)
    yield text if not text or text.endswith("\n") else f"{text}\n"
    while True:
        time.sleep(FOLLOW_S)
        text, end = rest.read_deployment_log_after(endpoint, deployment, after=end)
        if text:
            yield text


def log_hint(endpoint: str, deployment: str) -> str:
    """Return where to see what a deployment's processes wrote."""
    return f"Its log: penstock online-deployment get-logs -e {endpoint} -n {deployment}"


def _last_words(rest: Rest, endpoint: str, deployment: str) -> str:
    """Return how a deployment's log ends: why a script failed is told to its owners there, and to no client."""
    with contextlib.suppress(PenstockError):
        lines = rest.read_deployment_log(endpoint, deployment, lines=1).splitlines()
        if lines:
            return f"Its log ends with: {lines[-1].strip()[:300]}\n  "
    return ""


def invoke(
    rest: Rest,
    name: str,
    body: bytes,
    *,
    deployment: str | None = None,
    content_type: str = "application/json",
) -> bytes:
    """Post ``body`` to an endpoint's scoring address with its key and return the raw answer.

    Raises
    ------
    PenstockError
        What the gateway answered; where the model failed, with how its log ends and where it is.
    """
    uri = rest.get_endpoint(name)["scoring_uri"]
    key = rest.get_credentials(name)["primary_key"]
    base, _, path = uri.partition("/endpoints/")
    gateway = HttpClient(base, key, hint="Is the gateway up? See `penstock status`.")
    headers = {"Content-Type": content_type}
    if deployment:
        headers[DEPLOYMENT_HEADER] = deployment
    try:
        return gateway.request("POST", f"/endpoints/{path}", body=body, headers=headers).read()
    except PenstockError as error:
        failed = header_of(error, DEPLOYMENT_HEADER) or deployment
        if status_of(error) == MODEL_FAILED and failed:
            error.hint = _last_words(rest, name, failed) + log_hint(name, failed)
        raise
    finally:
        gateway.close()
