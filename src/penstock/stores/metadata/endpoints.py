"""Online endpoints and deployments, and the revision by which the gateway sees that something changed.

Revisions grow also over a deletion, so a replica of a deleted deployment is never taken for one of its
successor's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update

from penstock.entities.endpoint import EndpointKeys, OnlineDeployment, OnlineEndpoint, ProvisioningState, ReadyRevision
from penstock.entities.errors import NotFoundError
from penstock.stores.metadata.engine.statements import next_number, put_row
from penstock.stores.metadata.tables import asset_versions as versions
from penstock.stores.metadata.tables import counters, deployments, endpoints

_SERVING = "serving"


def put_endpoint(connection: Connection, endpoint: OnlineEndpoint) -> OnlineEndpoint:
    """Create an endpoint or replace its record, and return it with its next revision.

    The creation (time and actor) and the keys of an existing one stay.
    """
    known = find_endpoint(connection, endpoint.name)
    changes: dict[str, object] = {"revision": next_number(connection, counters, f"endpoint:{endpoint.name}")}
    if known is not None:
        changes |= {"created_at": known.created_at, "created_by": known.created_by}
    endpoint = endpoint.model_copy(update=changes)
    _write_endpoint(connection, endpoint)
    return endpoint


def get_endpoint(connection: Connection, name: str) -> OnlineEndpoint:
    """Return an endpoint.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    found = find_endpoint(connection, name)
    if found is None:
        raise _unknown(name)
    return found


def find_endpoint(connection: Connection, name: str) -> OnlineEndpoint | None:
    """Return an endpoint, or None."""
    text = connection.execute(select(endpoints.c.document).where(endpoints.c.name == name)).scalar_one_or_none()
    return None if text is None else OnlineEndpoint.model_validate_json(text)


def list_endpoints(
    connection: Connection, *, limit: int | None = None, after: str | None = None
) -> list[OnlineEndpoint]:
    """Return endpoints sorted by name; ``after`` is the last name of the page before."""
    statement = select(endpoints.c.document).order_by(endpoints.c.name).limit(limit)
    if after is not None:
        statement = statement.where(endpoints.c.name > after)
    return [OnlineEndpoint.model_validate_json(text) for text in connection.execute(statement).scalars()]


def delete_endpoint(connection: Connection, name: str) -> None:
    """Delete an endpoint, its keys and its deployments; idempotent."""
    connection.execute(delete(deployments).where(deployments.c.endpoint_name == name))
    if connection.execute(delete(endpoints).where(endpoints.c.name == name)).rowcount:
        next_number(connection, counters, _SERVING)


def set_traffic(
    connection: Connection, name: str, traffic: Mapping[str, int], mirror: Mapping[str, int] | None = None
) -> OnlineEndpoint:
    """Set which share of requests each deployment gets, and return the endpoint with its next revision.

    Without ``mirror`` the copies stay, but for a deployment that gets requests itself now.
    """
    revision = next_number(connection, counters, f"endpoint:{name}")
    endpoint = get_endpoint(connection, name)
    copies = endpoint.mirror_traffic if mirror is None else mirror
    changes = {"traffic": dict(traffic), "revision": revision}
    changes["mirror_traffic"] = {n: share for n, share in copies.items() if share and not traffic.get(n)}
    endpoint = endpoint.model_copy(update=changes)
    _write_endpoint(connection, endpoint)
    return endpoint


def save_endpoint(connection: Connection, endpoint: OnlineEndpoint, *, is_served_anew: bool = True) -> OnlineEndpoint:
    """Replace an endpoint's record and return it.

    ``is_served_anew`` says that the gateway must hear of it; it has its next revision then.
    """
    if is_served_anew:
        revision = next_number(connection, counters, f"endpoint:{endpoint.name}")
        endpoint = endpoint.model_copy(update={"revision": revision})
    _write_endpoint(connection, endpoint, is_served_anew=is_served_anew)
    return endpoint


def get_keys(connection: Connection, name: str) -> EndpointKeys:
    """Return the two keys of an endpoint.

    Raises
    ------
    NotFoundError
        If there is no such endpoint, or it has no keys yet.
    """
    statement = select(endpoints.c.primary_key, endpoints.c.secondary_key).where(endpoints.c.name == name)
    row = connection.execute(statement).one_or_none()
    if row is None or row.primary_key is None:
        raise _unknown(name)
    return EndpointKeys(primary_key=row.primary_key, secondary_key=row.secondary_key)


def set_keys(connection: Connection, name: str, keys: EndpointKeys) -> None:
    """Replace both keys of an endpoint."""
    statement = update(endpoints).where(endpoints.c.name == name)
    values = {"primary_key": keys.primary_key, "secondary_key": keys.secondary_key}
    if connection.execute(statement.values(**values)).rowcount == 0:
        raise _unknown(name)
    next_number(connection, counters, _SERVING)


def put_deployment(connection: Connection, deployment: OnlineDeployment) -> OnlineDeployment:
    """Create a deployment or replace its record, and return it with its next revision.

    What the revision before reached stays: its creation, and the revision that is ready and keeps answering.
    """
    get_endpoint(connection, deployment.endpoint_name)
    counter = f"deployment:{deployment.endpoint_name}/{deployment.name}"
    changes: dict[str, object] = {"revision": next_number(connection, counters, counter)}
    known = find_deployment(connection, deployment.endpoint_name, deployment.name)
    if known is not None:
        kept = ("created_at", "ready_revision", "ready_at")
        changes |= {name: getattr(known, name) for name in kept}
        was_ready = known.ready_revision == known.revision
        changes["last_ready"] = _as_ready(known) if was_ready else known.last_ready
    deployment = deployment.model_copy(update=changes)
    _write_deployment(connection, deployment)
    next_number(connection, counters, _SERVING)
    return deployment


def _as_ready(deployment: OnlineDeployment) -> ReadyRevision:
    return ReadyRevision(
        revision=deployment.revision,
        spec=deployment.spec,
        model=deployment.model,
        model_tree=deployment.model_tree,
        model_name=deployment.model_name,
    )


def deployments_of_model(connection: Connection, ref: str, tree: str | None) -> list[OnlineDeployment]:
    """Return the deployments that answer with a model version, now or after a failed update.

    Parameters
    ----------
    ref : str
        ``azureml:<name>:<version>``.
    tree : str, optional
        Its content, by which a deployment is known whose model was renamed since.
    """
    statement = select(deployments.c.document).order_by(deployments.c.endpoint_name, deployments.c.name)
    found = [OnlineDeployment.model_validate_json(text) for text in connection.execute(statement).scalars()]
    return [
        one
        for one in found
        if any(_is_of(connection, used, ref, tree) for used in (one, one.last_ready) if used is not None)
    ]


def _is_of(connection: Connection, used: OnlineDeployment | ReadyRevision, ref: str, tree: str | None) -> bool:
    if used.model == ref or tree is None or used.model_tree != tree:
        return used.model == ref
    scheme, _, version = (used.model or "").partition(":")
    name, _, number = version.rpartition(":")
    there = select(versions.c.id).where(
        versions.c.kind == "model", versions.c.name == name, versions.c.version == number, ~versions.c.is_deleted
    )
    return scheme == "azureml" and connection.execute(there).first() is None


def get_deployment(connection: Connection, endpoint_name: str, name: str) -> OnlineDeployment:
    """Return a deployment.

    Raises
    ------
    NotFoundError
        If the endpoint has none of that name.
    """
    found = find_deployment(connection, endpoint_name, name)
    if found is None:
        raise NotFoundError(
            f'the endpoint "{endpoint_name}" has no deployment "{name}"',
            hint=f"List them with: penstock online-deployment list -e {endpoint_name}",
            ref=f"endpoint:{endpoint_name}/{name}",
        )
    return found


def find_deployment(connection: Connection, endpoint_name: str, name: str) -> OnlineDeployment | None:
    """Return a deployment, or None."""
    table = deployments
    statement = select(table.c.document).where(table.c.endpoint_name == endpoint_name, table.c.name == name)
    text = connection.execute(statement).scalar_one_or_none()
    return None if text is None else OnlineDeployment.model_validate_json(text)


def list_deployments(connection: Connection, endpoint_name: str | None = None) -> list[OnlineDeployment]:
    """Return the deployments of one endpoint, or of all, sorted by endpoint and name."""
    statement = select(deployments.c.document).order_by(deployments.c.endpoint_name, deployments.c.name)
    if endpoint_name is not None:
        statement = statement.where(deployments.c.endpoint_name == endpoint_name)
    return [OnlineDeployment.model_validate_json(text) for text in connection.execute(statement).scalars()]


def update_deployment_state(
    connection: Connection,
    endpoint_name: str,
    name: str,
    *,
    revision: int,
    state: ProvisioningState,
    now: int,
    message: str = "",
    measured: Mapping[str, Any] | None = None,
) -> OnlineDeployment:
    """Record what became of one revision of a deployment and return the deployment.

    ``Succeeded`` makes that revision the ready one. News of another revision than the current one change
    nothing: a newer spec has been sent since. The serving revision stays, because this news comes from the gateway.
    """
    deployment = get_deployment(connection, endpoint_name, name)
    if revision != deployment.revision:
        return deployment
    changes: dict[str, object] = {"provisioning_state": state, "message": message, "updated_at": now}
    if state is ProvisioningState.SUCCEEDED and deployment.ready_revision != revision:
        changes |= {"ready_revision": revision, "ready_at": now}
    if measured:
        changes["measured"] = dict(measured)
    deployment = deployment.model_copy(update=changes)
    _write_deployment(connection, deployment)
    return deployment


def update_deployment(
    connection: Connection, endpoint_name: str, name: str, revision: int, changes: Mapping[str, object]
) -> None:
    """Record more of one revision of a deployment; nothing where another, or none, is there by now."""
    known = find_deployment(connection, endpoint_name, name)
    if known is not None and known.revision == revision:
        _write_deployment(connection, known.model_copy(update=dict(changes)))


def delete_deployment(connection: Connection, endpoint_name: str, name: str) -> None:
    """Delete a deployment; idempotent."""
    table = deployments
    statement = delete(table).where(table.c.endpoint_name == endpoint_name, table.c.name == name)
    if connection.execute(statement).rowcount:
        next_number(connection, counters, _SERVING)


def serving_revision(connection: Connection) -> int:
    """Return the number that grows with every change of endpoints, traffic, keys and deployments."""
    statement = select(counters.c.value).where(counters.c.name == _SERVING)
    return int(connection.execute(statement).scalar_one_or_none() or 0)


def touch_serving(connection: Connection) -> int:
    """Advance the serving revision for a change outside these tables, such as an environment that was built."""
    return next_number(connection, counters, _SERVING)


def _write_endpoint(connection: Connection, endpoint: OnlineEndpoint, *, is_served_anew: bool = True) -> None:
    document = endpoint.model_dump_json(by_alias=True, exclude_none=True)
    put_row(connection, endpoints, name=endpoint.name, revision=endpoint.revision, document=document)
    if is_served_anew:
        next_number(connection, counters, _SERVING)


def _write_deployment(connection: Connection, deployment: OnlineDeployment) -> None:
    put_row(
        connection,
        deployments,
        endpoint_name=deployment.endpoint_name,
        name=deployment.name,
        revision=deployment.revision,
        document=deployment.model_dump_json(by_alias=True, exclude_none=True),
    )


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(
        f'no online endpoint "{name}"', hint="List them with: penstock online-endpoint list", ref=f"endpoint:{name}"
    )
