"""The part of the metadata suite about endpoints, deployments and tokens."""

from __future__ import annotations

import pytest

from penstock.entities.endpoint import (
    EndpointKeys,
    OnlineDeployment,
    OnlineDeploymentSpec,
    OnlineEndpoint,
    OnlineEndpointSpec,
    ProvisioningState,
)
from penstock.entities.errors import NotFoundError
from penstock.stores.metadata import endpoints, tokens
from penstock.stores.metadata.base import MetadataStore
from penstock.testing.fixtures import MetadataFixtures


def endpoint(name: str, created_at: int = 1) -> OnlineEndpoint:
    """Return an endpoint's record."""
    return OnlineEndpoint(
        name=name,
        spec=OnlineEndpointSpec(name=name),
        provisioning_state=ProvisioningState.SUCCEEDED,
        scoring_uri=f"http://localhost/endpoints/{name}/score",
        created_at=created_at,
        created_by="ada",
        revision=0,
    )


def deployment(name: str, endpoint_name: str, at: int = 1) -> OnlineDeployment:
    """Return a deployment's record."""
    return OnlineDeployment(
        name=name,
        endpoint_name=endpoint_name,
        spec=OnlineDeploymentSpec(name=name, endpoint_name=endpoint_name),
        provisioning_state=ProvisioningState.CREATING,
        revision=0,
        created_at=at,
        updated_at=at,
    )


class ServingRecordSuite(MetadataFixtures):
    """What serving and the doors keep."""

    def test_an_endpoint_is_created_replaced_and_deleted(self, store: MetadataStore) -> None:
        """Its revision grows also over a deletion; its creation and keys stay over a replacement."""
        first = store.write(lambda c: endpoints.put_endpoint(c, endpoint("digits", 1)))
        keys = EndpointKeys(primary_key="p", secondary_key="s")
        store.write(lambda c: endpoints.set_keys(c, "digits", keys))
        second = store.write(lambda c: endpoints.put_endpoint(c, endpoint("digits", 2)))
        assert (first.revision, second.revision, second.created_at) == (1, 2, 1)
        with store.read() as connection:
            assert endpoints.get_endpoint(connection, "digits") == second
            assert endpoints.get_keys(connection, "digits") == keys
        store.write(lambda c: endpoints.delete_endpoint(c, "digits"))
        store.write(lambda c: endpoints.delete_endpoint(c, "digits"))
        third = store.write(lambda c: endpoints.put_endpoint(c, endpoint("digits", 3)))
        assert (third.revision, third.created_at) == (3, 3)
        with store.read() as connection, pytest.raises(NotFoundError):
            endpoints.get_keys(connection, "digits")

    def test_unknown_endpoints_are_not_found(self, store: MetadataStore) -> None:
        """By every question that needs one."""
        keys = EndpointKeys(primary_key="p", secondary_key="s")
        for write in (
            lambda c: endpoints.get_endpoint(c, "nobody"),
            lambda c: endpoints.set_traffic(c, "nobody", {}),
            lambda c: endpoints.set_keys(c, "nobody", keys),
            lambda c: endpoints.get_keys(c, "nobody"),
            lambda c: endpoints.put_deployment(c, deployment("blue", "nobody")),
            lambda c: endpoints.get_deployment(c, "nobody", "blue"),
        ):
            with pytest.raises(NotFoundError):
                store.write(write)
        with store.read() as connection:
            assert endpoints.find_endpoint(connection, "nobody") is None
            assert endpoints.serving_revision(connection) == 0

    def test_endpoints_are_listed_by_name(self, store: MetadataStore) -> None:
        """And paged."""
        for name in ("ccc", "aaa", "bbb"):
            store.write(lambda c, n=name: endpoints.put_endpoint(c, endpoint(n)))  # type: ignore[misc] # a default binds the loop variable
        with store.read() as connection:
            assert [e.name for e in endpoints.list_endpoints(connection)] == ["aaa", "bbb", "ccc"]
            assert [e.name for e in endpoints.list_endpoints(connection, limit=1, after="aaa")] == ["bbb"]

    def test_a_deployment_goes_through_its_revisions(self, store: MetadataStore) -> None:
        """A new revision keeps the ready one; news of an old revision change nothing."""
        store.write(lambda c: endpoints.put_endpoint(c, endpoint("digits")))
        first = store.write(lambda c: endpoints.put_deployment(c, deployment("blue", "digits", 1)))
        ready = store.write(
            lambda c: endpoints.update_deployment_state(
                c, "digits", "blue", revision=1, state=ProvisioningState.SUCCEEDED, now=5
            )
        )
        second = store.write(lambda c: endpoints.put_deployment(c, deployment("blue", "digits", 7)))
        assert (first.revision, ready.ready_revision, ready.ready_at) == (1, 1, 5)
        assert (second.revision, second.ready_revision, second.created_at, second.updated_at) == (2, 1, 1, 7)
        late = store.write(
            lambda c: endpoints.update_deployment_state(
                c, "digits", "blue", revision=1, state=ProvisioningState.FAILED, message="old", now=8
            )
        )
        assert late == second
        failed = store.write(
            lambda c: endpoints.update_deployment_state(
                c, "digits", "blue", revision=2, state=ProvisioningState.FAILED, message="no model", now=9
            )
        )
        assert (failed.provisioning_state, failed.message, failed.ready_revision) == ("Failed", "no model", 1)
        with store.read() as connection:
            assert endpoints.get_deployment(connection, "digits", "blue") == failed
            assert (
                endpoints.list_deployments(connection, "digits") == [failed] == endpoints.list_deployments(connection)
            )
            assert endpoints.list_deployments(connection, "other") == []
        store.write(lambda c: endpoints.delete_deployment(c, "digits", "blue"))
        third = store.write(lambda c: endpoints.put_deployment(c, deployment("blue", "digits", 9)))
        assert (third.revision, third.ready_revision) == (3, 0)

    def test_deleting_an_endpoint_deletes_its_deployments(self, store: MetadataStore) -> None:
        """And nobody else's."""
        for name in ("aaa", "bbb"):
            store.write(lambda c, n=name: endpoints.put_endpoint(c, endpoint(n)))  # type: ignore[misc] # a default binds the loop variable
            store.write(lambda c, n=name: endpoints.put_deployment(c, deployment("blue", n)))  # type: ignore[misc] # a default binds the loop variable
        store.write(lambda c: endpoints.delete_endpoint(c, "aaa"))
        with store.read() as connection:
            assert [found.endpoint_name for found in endpoints.list_deployments(connection)] == ["bbb"]
            assert endpoints.find_deployment(connection, "aaa", "blue") is None

    def test_the_serving_revision_grows_with_every_change(self, store: MetadataStore) -> None:
        """But not with the gateway's own news, nor where nothing was deleted."""
        seen = [0]
        keys = EndpointKeys(primary_key="p", secondary_key="s")
        for change in (
            lambda c: endpoints.put_endpoint(c, endpoint("digits")),
            lambda c: endpoints.set_keys(c, "digits", keys),
            lambda c: endpoints.put_deployment(c, deployment("blue", "digits")),
            lambda c: endpoints.set_traffic(c, "digits", {"blue": 100}),
            endpoints.touch_serving,
            lambda c: endpoints.delete_deployment(c, "digits", "blue"),
            lambda c: endpoints.delete_endpoint(c, "digits"),
        ):
            store.write(change)
            with store.read() as connection:
                seen.append(endpoints.serving_revision(connection))
        assert seen == sorted(set(seen))
        store.write(lambda c: endpoints.delete_endpoint(c, "digits"))
        with store.read() as connection:
            assert endpoints.serving_revision(connection) == seen[-1]

    def test_traffic_is_part_of_the_endpoint(self, store: MetadataStore) -> None:
        """Setting it is a revision of the endpoint."""
        store.write(lambda c: endpoints.put_endpoint(c, endpoint("digits")))
        changed = store.write(lambda c: endpoints.set_traffic(c, "digits", {"blue": 100}))
        assert (changed.traffic, changed.revision) == ({"blue": 100}, 2)
        with store.read() as connection:
            assert endpoints.get_endpoint(connection, "digits") == changed

    def test_tokens_are_found_until_revoked(self, store: MetadataStore) -> None:
        """By their hash; revoking ends those of one attempt."""
        for number, attempt in enumerate(["a1", "a1", "a2"]):
            store.write(
                lambda c, n=number, a=attempt: tokens.put_token(  # type: ignore[misc] # a default binds the loop variable
                    c, f"{n:064x}", kind="job", actor="job:x", role="job", experiment_id="0", attempt_id=a, now=3
                )
            )
        with store.read() as connection:
            found = tokens.find_token(connection, f"{0:064x}")
            assert found == tokens.TokenRecord(f"{0:064x}", "job", "job:x", "job", "0", "a1", 3, None)
        for _ in range(2):
            store.write(lambda c: tokens.revoke_tokens(c, "a1"))
        with store.read() as connection:
            left = [tokens.find_token(connection, f"{n:064x}") is not None for n in range(4)]
        assert left == [False, False, True, False]
