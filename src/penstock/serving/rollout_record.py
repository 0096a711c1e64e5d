"""Progressive releases as the server records them: begun, paused and ended by people, moved on by the gateway.

The gateway decides by itself, within a few requests; what it tells here is written down with its numbers, and holds.
Its news carry all decisions so far, so none is lost or written twice whatever was away in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from penstock.entities.endpoint import (
    Mirrored,
    OnlineEndpoint,
    ProvisioningState,
    Rollout,
    RolloutDecision,
    RolloutSpec,
    RolloutState,
)
from penstock.entities.errors import ConflictError, NotFoundError, SpecError
from penstock.rules.rollout import check_plan, split_at
from penstock.stores.metadata import endpoints as table
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.statements import next_number
from penstock.stores.metadata.tables import counters

GATEWAY_ACTOR = "system:gateway"
_ENDS = {"finish": RolloutState.SUCCEEDED, "roll-back": RolloutState.ROLLED_BACK}
_VERBS = {"advance": "rollout-advance", "finish": "rollout-finish", "roll-back": "rollout-roll-back"}
_CHANGES = {"pause": RolloutState.PAUSED, "resume": RolloutState.RUNNING, "abort": RolloutState.ABORTED}
_COUNTS = ("requests", "failures", "old_requests", "old_failures")

Record = Callable[[Connection, str, str, str, Mapping[str, Any]], None]
"""Append an event: actor, verb, endpoint, detail."""


class RolloutRecords:
    """The releases of a workspace's endpoints.

    Parameters
    ----------
    store : MetadataStore
        Where endpoints are recorded.
    clock : callable
        Returns milliseconds since 1970-01-01 UTC.
    record : callable
        Appends an event in the transaction of its change.
    """

    def __init__(self, store: MetadataStore, *, clock: Callable[[], int], record: Record) -> None:
        self._store = store
        self._clock = clock
        self._record = record

    def start(self, name: str, spec: RolloutSpec, *, actor: str) -> OnlineEndpoint:
        """Begin a release.

        Raises
        ------
        NotFoundError
            If there is no such endpoint or deployment.
        SpecError
            If the steps are none.
        ConflictError
            If another release is under way, the new version is not ready, or there is nothing to compare it with.
        """

        def operation(connection: Connection) -> OnlineEndpoint:
            return self.begin(connection, table.get_endpoint(connection, name), spec, actor)

        return self._store.write(operation)

    def begin(self, connection: Connection, endpoint: OnlineEndpoint, spec: RolloutSpec, actor: str) -> OnlineEndpoint:
        """Begin a release within a transaction; as :meth:`start`."""
        problems = check_plan(spec.steps)
        if problems:
            raise SpecError(problems, ref=f"endpoint:{endpoint.name}")
        ref = f"endpoint:{endpoint.name}/{spec.to}"
        if (known := endpoint.rollout) is not None and not known.state.is_over:
            raise ConflictError(
                f'the release of "{known.spec.to}" is under way ({known.percent} %)',
                hint=f"End it first: penstock online-endpoint rollout -n {endpoint.name} --abort",
                ref=ref,
            )
        deployment = table.get_deployment(connection, endpoint.name, spec.to)
        if deployment.provisioning_state is not ProvisioningState.SUCCEEDED:
            raise ConflictError(
                f'deployment "{spec.to}" is {deployment.provisioning_state.value}, not ready',
                hint=f"See: penstock online-deployment show -e {endpoint.name} -n {spec.to}",
                ref=ref,
            )
        base = {name: share for name, share in endpoint.traffic.items() if share and name != spec.to}
        if not base:
            raise ConflictError(
                f'no other deployment of "{endpoint.name}" gets requests to compare "{spec.to}" with',
                hint=f'Give it all: penstock online-endpoint update -n {endpoint.name} --traffic "{spec.to}=100"',
                ref=ref,
            )
        now = self._clock()
        rollout = Rollout(
            number=next_number(connection, counters, f"rollout:{endpoint.name}"),
            spec=spec,
            revision=deployment.revision,
            base=base,
            percent=spec.steps[0],
            started_at=now,
            started_by=actor,
            updated_at=now,
        )
        endpoint = table.save_endpoint(connection, _with(endpoint, rollout))
        self._record(connection, actor, "rollout-start", endpoint.name, _detail(rollout))
        return endpoint

    def change(self, name: str, action: str, *, actor: str) -> OnlineEndpoint:
        """Pause, resume or abort the release under way; an aborted one goes back to the split before it.

        Raises
        ------
        NotFoundError
            If there is no such endpoint.
        ConflictError
            If no release is under way.
        """

        def operation(connection: Connection) -> OnlineEndpoint:
            endpoint = table.get_endpoint(connection, name)
            if endpoint.rollout is None or endpoint.rollout.state.is_over:
                raise ConflictError(
                    f'no release of "{name}" is under way',
                    hint=f"Begin one: penstock online-endpoint rollout -n {name} --to DEPLOYMENT",
                    ref=f"endpoint:{name}",
                )
            return self._change(connection, endpoint, action, actor)

        return self._store.write(operation)

    def _change(self, connection: Connection, endpoint: OnlineEndpoint, action: str, actor: str) -> OnlineEndpoint:
        assert endpoint.rollout is not None
        changes: dict[str, Any] = {"state": _CHANGES[action], "updated_at": self._clock(), "message": ""}
        if action == "abort":
            changes["percent"] = 0
        rollout = endpoint.rollout.model_copy(update=changes)
        endpoint = table.save_endpoint(connection, _with(endpoint, rollout))
        self._record(connection, actor, f"rollout-{action}", endpoint.name, _detail(rollout))
        return endpoint

    def end_for(self, connection: Connection, endpoint: OnlineEndpoint, actor: str) -> OnlineEndpoint:
        """End a release that is under way because a person sets the split by hand."""
        if endpoint.rollout is None or endpoint.rollout.state.is_over:
            return endpoint
        return self._change(connection, endpoint, "abort", actor)

    def check_free(self, endpoint: OnlineEndpoint, deployment: str, *, is_deleted: bool = False) -> None:
        """Raise ConflictError if a release needs this deployment as it is."""
        rollout = endpoint.rollout
        if rollout is None or rollout.state.is_over:
            return
        if deployment == rollout.spec.to or (is_deleted and deployment in rollout.base):
            raise ConflictError(
                f'the release of "{rollout.spec.to}" is under way and needs deployment "{deployment}" as it is',
                hint=f"End it first: penstock online-endpoint rollout -n {endpoint.name} --abort",
                ref=f"endpoint:{endpoint.name}/{deployment}",
            )

    def apply_news(self, news: Mapping[str, Any]) -> str | None:
        """Record what the gateway tells of an endpoint's traffic; return its name if something was decided.

        Parameters
        ----------
        news : mapping
            ``endpoint``; maybe ``rollout`` with ``number``, ``message``, counts and all ``decisions`` so far; maybe
            ``mirrored``.
        """
        name = str(news["endpoint"])

        def operation(connection: Connection) -> bool:
            try:
                endpoint = table.get_endpoint(connection, name)
            except NotFoundError:
                return False
            before = endpoint
            if news.get("mirrored"):
                endpoint = endpoint.model_copy(update={"mirrored": Mirrored.model_validate(news["mirrored"])})
            told, known = news.get("rollout"), endpoint.rollout
            decided: Sequence[RolloutDecision] = ()
            if told is not None and known is not None and known.number == told["number"] and not known.state.is_over:
                all_of_them = tuple(RolloutDecision.model_validate(one) for one in told["decisions"])
                decided = all_of_them[len(known.decisions) :]
                endpoint = _with(endpoint, self._moved(known, told, all_of_them, decided))
            for decision in decided:
                assert known is not None
                detail = {"to": known.spec.to, "number": known.number, **decision.model_dump(exclude={"at", "action"})}
                self._record(connection, GATEWAY_ACTOR, _VERBS[decision.action], name, detail)
            if endpoint != before:
                table.save_endpoint(connection, endpoint, is_served_anew=bool(decided))
            return bool(decided)

        return name if self._store.write(operation) else None

    def _moved(
        self,
        known: Rollout,
        told: Mapping[str, Any],
        decisions: tuple[RolloutDecision, ...],
        decided: Sequence[RolloutDecision],
    ) -> Rollout:
        changes: dict[str, Any] = {name: int(told[name]) for name in _COUNTS}
        changes |= {"message": str(told["message"])[:1000], "updated_at": self._clock()}
        if decided:
            last = decided[-1]
            steps = sum(one.action == "advance" for one in decisions)
            changes |= {"decisions": decisions, "percent": last.percent, "step": steps}
            changes["state"] = _ENDS.get(last.action, known.state)
            changes["message"] = last.reason or changes["message"]
        return known.model_copy(update=changes)


def _with(endpoint: OnlineEndpoint, rollout: Rollout) -> OnlineEndpoint:
    """Return an endpoint with its release and the split that follows from it."""
    is_back = rollout.state in (RolloutState.ROLLED_BACK, RolloutState.ABORTED)
    percent = 0 if is_back else rollout.percent
    mirror = {n: p for n, p in endpoint.mirror_traffic.items() if n != rollout.spec.to}
    traffic = split_at(rollout.base, rollout.spec.to, percent)
    return endpoint.model_copy(update={"rollout": rollout, "traffic": traffic, "mirror_traffic": mirror})


def _detail(rollout: Rollout) -> dict[str, Any]:
    kept = {"number", "percent", *_COUNTS}
    return {"to": rollout.spec.to, "steps": list(rollout.spec.steps), **rollout.model_dump(include=kept)}
