"""What the doors ask of endpoints: put, show, delete, traffic, keys; and what the gateway asks and reports.

Nothing here starts a process; the gateway does, woken by the feed's topic ``serving``. Changes are recorded with their
event in one transaction.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection

from penstock.compute.environments.base import EnvironmentBackend
from penstock.entities.asset import Tree
from penstock.entities.endpoint import (
    EndpointKeys,
    OnlineDeployment,
    OnlineDeploymentSpec,
    OnlineEndpoint,
    OnlineEndpointSpec,
    ProvisioningState,
    RolloutSpec,
)
from penstock.entities.errors import ConflictError, NotFoundError, PenstockError, SpecError, UsageError
from penstock.rules.traffic import check_traffic
from penstock.rules.unapplied import endpoint_warnings
from penstock.serving.acknowledged import Acknowledged
from penstock.serving.deployment_spec import Resolved, resolve
from penstock.serving.desired import Desired, DesiredDeployment
from penstock.serving.logs import length as log_length
from penstock.serving.logs import read_after, read_tail
from penstock.serving.mlflow_models import MlflowModels, Plan
from penstock.serving.model_check import ModelCheck
from penstock.serving.rollout_record import GATEWAY_ACTOR, RolloutRecords
from penstock.serving.wanted import WantedState, usable_name
from penstock.stores.metadata import endpoints as table
from penstock.stores.metadata import events, trees
from penstock.stores.metadata.base import MetadataStore

logger = logging.getLogger(__name__)

MAX_MESSAGE_CHARACTERS = 4000
_URIS = {"scoring": "score", "openapi": "openapi.json"}


def new_key() -> str:
    """Return a random key of 256 bits."""
    return secrets.token_urlsafe(32)


class Endpoints:
    """The workspace's endpoints.

    Parameters
    ----------
    store : MetadataStore
        Where they are recorded.
    environments : EnvironmentBackend
        Gives score.py its interpreter.
    clock : callable
        Returns milliseconds since 1970-01-01 UTC.
    notify : callable
        Told the topic of every change: ``serving`` and ``endpoint:<name>``.
    on_gateway_needed : callable
        Called whenever there is something to serve; the supervisor starts the gateway if it does not run.
    gateway_url : str
        Where the gateway answers.
    logs : Path
        The workspace's folder of logs.
    model_check : ModelCheck, optional
        Refuses deployments that do not fit their model.
    mlflow_models : MlflowModels, optional
        Serves models of MLflow that are no ONNX files.
    instance_types : mapping, optional
        Name, in small letters, to the resources of a deployment's instances.
    new_key : callable, optional
        Returns a new random key.
    """

    def __init__(
        self,
        store: MetadataStore,
        *,
        environments: EnvironmentBackend,
        clock: Callable[[], int],
        notify: Callable[[str], None],
        on_gateway_needed: Callable[[], object],
        gateway_url: str,
        logs: Path,
        model_check: ModelCheck | None = None,
        mlflow_models: MlflowModels | None = None,
        instance_types: Mapping[str, Mapping[str, Any]] | None = None,
        new_key: Callable[[], str] = new_key,
    ) -> None:
        self._store = store
        self._notify = notify
        self._clock = clock
        self._new_key = new_key
        self._gateway_url = gateway_url
        self._logs = logs
        self._need_gateway = on_gateway_needed
        self._model_check = model_check
        self._instance_types = instance_types or {}
        self._acknowledged = Acknowledged(clock)
        self._rollouts = RolloutRecords(store, clock=clock, record=self._record)
        self._mlflow = mlflow_models
        self._wanted = WantedState(
            store, environments, log=self._log, on_built=self._on_built, mlflow_models=mlflow_models
        )

    def start(self) -> None:
        """Start the gateway if there are endpoints; called once when the server has started."""
        with self._store.read() as connection:
            if table.list_endpoints(connection, limit=1):
                self._need_gateway()

    def put_endpoint(self, spec: OnlineEndpointSpec, *, actor: str) -> OnlineEndpoint:
        """Create an endpoint with new keys, or replace its settings; without ``traffic`` the split stays.

        Raises
        ------
        SpecError
            If the traffic names deployments that do not exist or does not sum to 0 or 100.
        """
        now = self._clock()

        def operation(connection: Connection) -> OnlineEndpoint:
            known = table.find_endpoint(connection, spec.name)
            names = [d.name for d in table.list_deployments(connection, spec.name)] if known else []
            problems = check_traffic(spec.traffic, names, mirror=spec.mirror_traffic)
            if problems:
                raise SpecError(problems, ref=f"endpoint:{spec.name}")
            is_released = known is not None and self._is_released(connection, known, spec)
            if known is not None and spec.traffic and not is_released:
                known = self._rollouts.end_for(connection, known, actor)
            given = {} if is_released else spec.traffic  # a file that is sent again does not undo its own release
            traffic = given or (known.traffic if known else {})
            mirror = spec.mirror_traffic or (known.mirror_traffic if known else {})
            endpoint = OnlineEndpoint(
                name=spec.name,
                spec=spec,
                provisioning_state=ProvisioningState.SUCCEEDED,
                traffic=traffic,
                mirror_traffic={n: share for n, share in mirror.items() if share and not traffic.get(n)},
                rollout=known.rollout if known else None,
                mirrored=known.mirrored if known else None,
                scoring_uri=self._uri(spec.name, "score"),
                openapi_uri=self._uri(spec.name, "openapi.json"),
                warnings=endpoint_warnings(spec),
                created_at=now,
                created_by=actor,
                revision=0,
            )
            endpoint = table.put_endpoint(connection, endpoint)
            if known is None:
                keys = EndpointKeys(primary_key=self._new_key(), secondary_key=self._new_key())
                table.set_keys(connection, spec.name, keys)
            self._record(connection, actor, "update" if known else "create", spec.name, {"traffic": endpoint.traffic})
            if spec.rollout is not None and not is_released:
                endpoint = self._rollouts.begin(connection, endpoint, spec.rollout, actor)
            return endpoint

        endpoint = self._store.write(operation)
        self._need_gateway()
        self._tell(spec.name)
        return endpoint

    @staticmethod
    def _is_released(connection: Connection, known: OnlineEndpoint, spec: OnlineEndpointSpec) -> bool:
        """Return whether the release that a specification asks for is the one under way, or over, of that revision."""
        if spec.rollout is None or known.rollout is None or known.rollout.spec != spec.rollout:
            return False
        target = table.find_deployment(connection, spec.name, spec.rollout.to)
        return target is not None and target.revision == known.rollout.revision

    def start_rollout(self, name: str, spec: RolloutSpec, *, actor: str) -> OnlineEndpoint:
        """Begin to give a deployment its traffic step by step; see :class:`RolloutRecords`."""
        endpoint = self._rollouts.start(name, spec, actor=actor)
        self._tell_and_wait(name)
        return self._shown(endpoint)

    def change_rollout(self, name: str, action: str, *, actor: str) -> OnlineEndpoint:
        """``pause``, ``resume`` or ``abort`` the release under way; raises ConflictError if there is none."""
        endpoint = self._rollouts.change(name, action, actor=actor)
        self._tell_and_wait(name)
        return self._shown(endpoint)

    def apply_traffic_news(self, news: Mapping[str, Any]) -> None:
        """Record what the gateway tells of a release and of copied requests."""
        decided = self._rollouts.apply_news(news)
        if decided is not None:
            self._tell(decided)
        else:
            self._notify(f"endpoint:{news['endpoint']}")

    def get_endpoint(self, name: str) -> OnlineEndpoint:
        """Return an endpoint; raises NotFoundError."""
        with self._store.read() as connection:
            return self._shown(table.get_endpoint(connection, name))

    def list_endpoints(self) -> Sequence[OnlineEndpoint]:
        """Return all endpoints by name."""
        with self._store.read() as connection:
            return [self._shown(endpoint) for endpoint in table.list_endpoints(connection)]

    def delete_endpoint(self, name: str, *, actor: str) -> None:
        """Delete an endpoint with its deployments; raises NotFoundError."""

        def operation(connection: Connection) -> None:
            table.get_endpoint(connection, name)
            table.delete_endpoint(connection, name)
            self._record(connection, actor, "delete", name, {})

        self._store.write(operation)
        self._tell_and_wait(name)

    def set_traffic(
        self, name: str, traffic: Mapping[str, int], *, actor: str, mirror: Mapping[str, int] | None = None
    ) -> OnlineEndpoint:
        """Set the split over deployments; it holds for every request sent after the return.

        A release under way ends. Without ``mirror`` the copies stay, but for a deployment that gets requests now.

        Raises
        ------
        NotFoundError
            If there is no such endpoint.
        SpecError
            If a deployment does not exist or the percentages do not sum to 0 or 100.
        """

        def operation(connection: Connection) -> OnlineEndpoint:
            known = table.get_endpoint(connection, name)
            there = [d.name for d in table.list_deployments(connection, name)]
            problems = check_traffic(traffic, there, mirror=mirror)
            if problems:
                raise SpecError(problems, ref=f"endpoint:{name}")
            self._rollouts.end_for(connection, known, actor)
            endpoint = table.set_traffic(connection, name, traffic, mirror)
            detail = {"traffic": dict(traffic), **({} if mirror is None else {"mirror_traffic": dict(mirror)})}
            self._record(connection, actor, "set-traffic", name, detail)
            return self._shown(endpoint)

        endpoint = self._store.write(operation)
        self._tell_and_wait(name)
        return endpoint

    def credentials(self, name: str) -> EndpointKeys:
        """Return both keys; raises NotFoundError."""
        with self._store.read() as connection:
            return table.get_keys(connection, name)

    def rotate_key(self, name: str, key_type: str, *, actor: str) -> EndpointKeys:
        """Replace one key and return both; the old one is refused from now on.

        Raises
        ------
        UsageError
            If ``key_type`` is neither ``primary`` nor ``secondary``.
        """
        field = _key_field(key_type)

        def operation(connection: Connection) -> EndpointKeys:
            keys = table.get_keys(connection, name).model_copy(update={field: self._new_key()})
            table.set_keys(connection, name, keys)
            self._record(connection, actor, "rotate-key", name, {"key_type": key_type})
            return keys

        keys = self._store.write(operation)
        self._tell_and_wait(name)
        return keys

    def put_deployment(self, spec: OnlineDeploymentSpec, *, actor: str) -> OnlineDeployment:
        """Record a new revision of a deployment; the one before answers until this one is ready.

        Raises
        ------
        NotFoundError
            If there is no such endpoint.
        SpecError
            If the spec names something that does not exist, a model that needs code, or one that it does not fit;
            lists all problems.
        """
        now = self._clock()
        looked_at, runtime = self._look_at_model(spec)

        def operation(connection: Connection) -> OnlineDeployment | None:
            endpoint = table.get_endpoint(connection, spec.endpoint_name)
            self._rollouts.check_free(endpoint, spec.name)
            known = table.find_deployment(connection, spec.endpoint_name, spec.name)
            found = resolve(connection, spec, self._is_mlflow, self._instance_types)
            model = found.model
            tree = model.tree if model is not None else None
            if looked_at is not None and (found.spec, tree) != looked_at:
                return None  # what the spec names has just changed
            deployment = OnlineDeployment(
                name=spec.name,
                endpoint_name=spec.endpoint_name,
                spec=found.spec,
                provisioning_state=ProvisioningState.UPDATING if known else ProvisioningState.CREATING,
                revision=0,
                model=model.ref if model is not None else None,
                model_tree=trees.put_tree(connection, tree) if tree is not None else None,
                model_name=usable_name(model.name) if model is not None else None,
                warnings=found.warnings,
                created_at=now,
                updated_at=now,
                **runtime,
            )
            deployment = table.put_deployment(connection, deployment)
            detail = {"deployment": spec.name, "revision": deployment.revision, "model": deployment.model}
            self._record(
                connection, actor, "update-deployment" if known else "create-deployment", spec.endpoint_name, detail
            )
            return deployment

        while (deployment := self._store.write(operation)) is None:
            looked_at, runtime = self._look_at_model(spec)
        self._need_gateway()
        self._tell(spec.endpoint_name)
        return deployment

    def _look_at_model(
        self, spec: OnlineDeploymentSpec
    ) -> tuple[tuple[OnlineDeploymentSpec, Tree | None] | None, dict[str, Any]]:
        """Refuse what does not fit its model; return what was looked at and what is known of how it will answer.

        Outside of any transaction: the model's files are read for it, and those of its conversion written.
        """
        if spec.code_configuration is not None:
            return None, {"runtime": "script"}
        with self._store.read() as connection:
            table.get_endpoint(connection, spec.endpoint_name)
            found = resolve(connection, spec, self._is_mlflow, self._instance_types)
        tree = found.model.tree if found.model is not None else None
        if self._model_check is not None and tree is not None and not found.is_mlflow:
            self._model_check.check(spec, tree)
        return (found.spec, tree), self._known_runtime(found)

    def _is_mlflow(self, tree: Tree) -> bool:
        return self._mlflow is not None and self._mlflow.read(tree) is not None

    def _known_runtime(self, found: Resolved) -> dict[str, Any]:
        """Return what is known at once of how a deployment will answer."""
        if not found.is_mlflow or self._mlflow is None or found.model is None or found.model.tree is None:
            return {"runtime": "onnx" if found.code is None else "script"}
        return _shown_plan(self._mlflow.find(found.spec, found.model.tree))

    def get_deployment(self, endpoint: str, name: str) -> OnlineDeployment:
        """Return one deployment; raises NotFoundError."""
        with self._store.read() as connection:
            return table.get_deployment(connection, endpoint, name)

    def list_deployments(self, endpoint: str) -> Sequence[OnlineDeployment]:
        """Return an endpoint's deployments by name; raises NotFoundError."""
        with self._store.read() as connection:
            table.get_endpoint(connection, endpoint)
            return table.list_deployments(connection, endpoint)

    def delete_deployment(self, endpoint: str, name: str, *, actor: str) -> None:
        """Delete a deployment.

        Raises
        ------
        ConflictError
            If it still gets traffic.
        """

        def operation(connection: Connection) -> None:
            known = table.get_endpoint(connection, endpoint)
            traffic = known.traffic
            table.get_deployment(connection, endpoint, name)
            self._rollouts.check_free(known, name, is_deleted=True)
            if traffic.get(name):
                raise ConflictError(
                    f'deployment "{name}" gets {traffic[name]} % of the traffic',
                    hint=f"Give it to others first: penstock online-endpoint update -n {endpoint} --traffic …=100",
                    ref=f"endpoint:{endpoint}/{name}",
                )
            table.delete_deployment(connection, endpoint, name)
            if name in traffic or name in known.mirror_traffic:
                kept = {n: share for n, share in traffic.items() if n != name}
                copies = {n: share for n, share in known.mirror_traffic.items() if n != name}
                table.set_traffic(connection, endpoint, kept, copies)
            self._record(connection, actor, "delete-deployment", endpoint, {"deployment": name})

        self._store.write(operation)
        self._tell_and_wait(endpoint)

    def read_log(self, endpoint: str, name: str, lines: int, after: int | None = None) -> tuple[str, int]:
        """Return the last lines that a deployment's processes wrote, or those since ``after``, and where they end.

        Raises
        ------
        NotFoundError
            If there is no such deployment.
        """
        self.get_deployment(endpoint, name)
        log = self._log_file(endpoint, name)
        if after is not None:
            return read_after(log, after)
        end = log_length(log)
        return read_tail(log, max_bytes=1 << 20, max_lines=lines), end

    def desired(self) -> dict[str, Any]:
        """Return what the gateway should run, with its ``revision``.

        A deployment whose environment has to be built first is held: the build starts in the background, and the
        gateway keeps what it has of it until then.
        """
        return self._wanted.read()

    def find_desired(self, endpoint: str, name: str) -> DesiredDeployment:
        """Return one deployment with all that a replica is started with; raises NotFoundError."""
        self.get_deployment(endpoint, name)
        desired = msgspec.convert(self.desired(), Desired)
        found = (d for e in desired.endpoints if e.name == endpoint for d in e.deployments if d.name == name)
        deployment = next(found, None)
        if deployment is None:
            raise NotFoundError(f'deployment "{name}" of endpoint "{endpoint}" was just deleted')
        return deployment

    def note_applied(self, revision: int) -> None:
        """Take what the gateway says it applies: the revision it has when it asks for a newer one."""
        self._acknowledged.note(revision)

    def apply_status(self, status: Mapping[str, Any]) -> None:
        """Record what the gateway says of one deployment; news of an older revision change nothing.

        Parameters
        ----------
        status : mapping
            ``endpoint``, ``deployment``, ``revision``, ``state`` (``ready`` or ``failed``), ``message``, ``log_tail``,
            ``measured``.
        """
        is_ready = status["state"] == "ready"
        tail = "" if is_ready else status.get("log_tail")
        message = "\n".join(text for text in (status.get("message"), tail) if text)
        state = ProvisioningState.SUCCEEDED if is_ready else ProvisioningState.FAILED
        place = (status["endpoint"], status["deployment"], int(status["revision"]))
        self._settle(*place, state, message, status.get("measured") or {})

    def _settle(
        self,
        endpoint: str,
        name: str,
        revision: int,
        state: ProvisioningState,
        message: str,
        measured: Mapping[str, Any] | None = None,
    ) -> None:
        now = self._clock()
        message = message[:MAX_MESSAGE_CHARACTERS]

        def operation(connection: Connection) -> None:
            known = table.find_deployment(connection, endpoint, name)
            if known is None or known.revision != revision:
                return
            is_news = (known.provisioning_state, known.message) != (state, message)
            if not is_news and known.measured == (measured or known.measured):
                return
            table.update_deployment_state(
                connection, endpoint, name, revision=revision, state=state, now=now, message=message, measured=measured
            )
            if not is_news:
                return
            if state is ProvisioningState.FAILED:  # the gateway goes back to the last revision that was ready
                table.touch_serving(connection)
            verb = "deployment-ready" if state is ProvisioningState.SUCCEEDED else "deployment-failed"
            detail = {"deployment": name, "revision": revision, "message": message[:200]}
            self._record(connection, GATEWAY_ACTOR, verb, endpoint, detail)

        self._store.write(operation)
        self._tell(endpoint)

    def _on_built(self, deployment: OnlineDeployment, plan: Plan | None, failure: PenstockError | None) -> None:
        if failure is None:

            def operation(connection: Connection) -> None:
                place = (deployment.endpoint_name, deployment.name, deployment.revision)
                if plan is not None:
                    table.update_deployment(connection, *place, _shown_plan(plan))
                table.touch_serving(connection)

            self._store.write(operation)
        else:
            self._log(deployment, str(failure))
            place = (deployment.endpoint_name, deployment.name, deployment.revision)
            where = "" if deployment.spec.code_configuration is None else "environment: "
            self._settle(*place, ProvisioningState.FAILED, f"{where}{failure}")
        self._tell(deployment.endpoint_name)

    def _shown(self, endpoint: OnlineEndpoint) -> OnlineEndpoint:
        """Return an endpoint with today's URLs: the gateway's port may have changed since it was recorded."""
        uris = {f"{kind}_uri": self._uri(endpoint.name, path) for kind, path in _URIS.items()}
        return endpoint.model_copy(update=uris)

    def _uri(self, name: str, path: str) -> str:
        return f"{self._gateway_url}/endpoints/{name}/{path}"

    def _record(self, connection: Connection, actor: str, verb: str, endpoint: str, detail: Mapping[str, Any]) -> None:
        events.append_event(
            connection, actor=actor, verb=verb, ref=f"endpoint:{endpoint}", detail=detail, now=self._clock()
        )

    def _tell(self, endpoint: str) -> None:
        self._notify("serving")
        self._notify(f"endpoint:{endpoint}")

    def _tell_and_wait(self, endpoint: str) -> None:
        """Tell the gateway and wait a moment until it does what was asked, if there is one."""
        self._tell(endpoint)
        with self._store.read() as connection:
            revision = table.serving_revision(connection)
        if not self._acknowledged.wait(revision):
            logger.debug("the gateway has not yet applied revision %s", revision, extra={"endpoint": endpoint})

    def _log_file(self, endpoint: str, name: str) -> Path:
        return self._logs / "endpoints" / endpoint / f"{name}.log"

    def _log(self, deployment: OnlineDeployment, line: str) -> None:
        file = self._log_file(deployment.endpoint_name, deployment.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")


def _shown_plan(plan: Plan | None) -> dict[str, Any]:
    """Return a plan as a deployment's record has it."""
    return {} if plan is None else {"runtime": plan.runtime, "conversion": plan.report}


def _key_field(key_type: str) -> Literal["primary_key", "secondary_key"]:
    if key_type.lower() == "primary":
        return "primary_key"
    if key_type.lower() == "secondary":
        return "secondary_key"
    raise UsageError(f'there is no "{key_type}" key', hint="Name primary or secondary.")
