"""The service that records endpoints, on a real store and real environments."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.assets.registry import Registry
from penstock.compute.environments.select import Environments
from penstock.entities.asset import AssetKind, EnvironmentSpec, InlineModelSpec, ModelSpec, Tree, TreeEntry
from penstock.entities.endpoint import (
    CodeConfiguration,
    OnlineDeploymentSpec,
    OnlineEndpointSpec,
    ProvisioningState,
)
from penstock.entities.errors import ConflictError, NotFoundError, SpecError, UsageError
from penstock.entities.image import ImagePreprocessing
from penstock.serving.desired import decode_desired, merge_held
from penstock.serving.endpoints import Endpoints
from penstock.stores.metadata import events, trees
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore


class Told:
    """What the service told others, and how to wait for it."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.gateways = 0
        self._changed = threading.Condition()

    def notify(self, topic: str) -> None:
        with self._changed:
            self.topics.append(topic)
            self._changed.notify_all()

    def need_gateway(self) -> None:
        self.gateways += 1

    def wait(self, is_so) -> None:
        with self._changed:
            assert self._changed.wait_for(is_so, 60)


class World:
    def __init__(self, root: Path) -> None:
        self.now = 1_000
        self.root = root
        self.told = Told()
        self.store = SqliteMetadataStore(root / "metadata.db", clock=self.clock)
        self.models = Registry(self.store, self.clock)
        self.endpoints = self.open()

    def clock(self) -> int:
        self.now += 1
        return self.now

    def open(self, **fields) -> Endpoints:
        count = iter(range(1000))
        return Endpoints(
            self.store,
            environments=Environments(self.root / "envs"),
            clock=self.clock,
            notify=self.told.notify,
            on_gateway_needed=self.told.need_gateway,
            gateway_url="http://gateway:1",
            logs=self.root / "logs",
            new_key=lambda: f"key-{next(count)}",
            **fields,
        )

    def tree(self, *names: str, is_file: bool = False) -> str:
        """Record a tree and return ``tree:<digest>``; its blobs are nobody's business here."""
        entries = tuple(
            TreeEntry(path=name, digest=hashlib.sha256(name.encode()).hexdigest(), size=1) for name in sorted(names)
        )
        tree = Tree(entries=entries, is_file=is_file)
        return "tree:" + self.store.write(lambda connection: trees.put_tree(connection, tree))

    def model(self, name: str = "digits", *names: str) -> str:
        path = self.tree(*(names or ("model.onnx",)))
        made = self.models.create(AssetKind.MODEL, ModelSpec(name=name, path=path), actor="me")
        return f"azureml:{made.name}:{made.version}"

    def deploy(self, **fields):
        spec = OnlineDeploymentSpec(**{"name": "blue", "endpoint_name": "digits", **fields})
        return self.endpoints.put_deployment(spec, actor="me")

    def desired(self):
        return self.endpoints.desired()["endpoints"][0]

    def verbs(self) -> list[str]:
        with self.store.read() as connection:
            return [event.verb for event in events.list_events(connection) if event.ref.startswith("endpoint:")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.endpoints.put_endpoint(OnlineEndpointSpec(name="digits"), actor="me")
    yield made
    made.store.close()


def test_an_endpoint_has_keys_and_a_url(world):
    endpoint = world.endpoints.get_endpoint("digits")
    assert endpoint.scoring_uri == "http://gateway:1/endpoints/digits/score"
    assert endpoint.openapi_uri == "http://gateway:1/endpoints/digits/openapi.json"
    assert endpoint.provisioning_state is ProvisioningState.SUCCEEDED
    keys = world.endpoints.credentials("digits")
    assert (keys.primary_key, keys.secondary_key) == ("key-0", "key-1")
    assert world.desired()["keys"] == [hashlib.sha256(k.encode()).hexdigest() for k in ("key-0", "key-1")]
    assert world.told.gateways == 1
    assert {"serving", "endpoint:digits"} <= set(world.told.topics)


def test_putting_it_again_keeps_keys_and_traffic(world):
    world.deploy(model=world.model())
    world.endpoints.set_traffic("digits", {"blue": 100}, actor="me")
    again = world.endpoints.put_endpoint(OnlineEndpointSpec(name="digits", description="new"), actor="you")
    assert (again.traffic, again.created_by) == ({"blue": 100}, "me")
    assert world.endpoints.credentials("digits").primary_key == "key-0"
    assert [endpoint.spec.description for endpoint in world.endpoints.list_endpoints()] == ["new"]
    assert world.verbs() == ["create", "create-deployment", "set-traffic", "update"]


def test_one_key_is_rotated_at_a_time(world):
    before = world.endpoints.desired()["revision"]
    keys = world.endpoints.rotate_key("digits", "secondary", actor="me")
    assert (keys.primary_key, keys.secondary_key) == ("key-0", "key-2")
    assert world.endpoints.desired()["revision"] > before
    with pytest.raises(UsageError, match="tertiary"):
        world.endpoints.rotate_key("digits", "tertiary", actor="me")


def test_traffic_is_checked(world):
    world.deploy(model=world.model())
    with pytest.raises(SpecError, match='no deployment "green"'):
        world.endpoints.set_traffic("digits", {"green": 100}, actor="me")
    with pytest.raises(SpecError, match="sum to 50"):
        world.endpoints.put_endpoint(OnlineEndpointSpec(name="digits", traffic={"blue": 50}), actor="me")
    with pytest.raises(NotFoundError):
        world.endpoints.set_traffic("nothing", {}, actor="me")


def test_a_deployment_is_told_to_the_gateway_in_full(world):
    spec = ImagePreprocessing(mode="L", width=8, height=8, layout="flat")
    made = world.deploy(model=world.model(), preprocessing=spec, environment_variables={"A": "1"}, instance_count=2)
    assert (made.revision, made.model, made.provisioning_state) == (1, "azureml:digits:1", ProvisioningState.CREATING)
    (wanted,) = decode_desired(_json(world.endpoints.desired())).endpoints[0].deployments
    assert (wanted.name, wanted.revision, wanted.model_ref) == ("blue", 1, "azureml:digits:1")
    assert [entry.path for entry in wanted.model_tree] == ["model.onnx"]
    assert (wanted.instance_count, wanted.environment_variables) == (2, {"A": "1"})
    assert wanted.preprocessing == {"mode": "L", "width": 8, "height": 8, "layout": "flat"}
    assert wanted.scoring_script is None
    assert not wanted.is_held


def test_latest_is_made_exact_when_it_is_deployed(world):
    world.model()
    world.model()
    assert world.deploy(model="azureml:digits@latest").model == "azureml:digits:2"
    world.model()
    assert world.desired()["deployments"][0]["model_ref"] == "azureml:digits:2"


def test_a_script_gets_code_and_an_interpreter(world):
    code = CodeConfiguration(code=world.tree("score.py", "more/part.py"), scoring_script="score.py")
    world.deploy(model=world.model("weights", "w.bin"), code_configuration=code)
    (wanted,) = world.desired()["deployments"]
    assert [entry["path"] for entry in wanted["code"]] == ["more/part.py", "score.py"]
    assert wanted["scoring_script"] == "score.py"
    assert Path(wanted["interpreter"]).exists()
    assert wanted["model_name"] == "weights"


def test_an_inline_model_needs_no_registration(world):
    path = world.tree("net.onnx", is_file=True)
    world.deploy(model=InlineModelSpec(path=path))
    (wanted,) = world.desired()["deployments"]
    assert wanted["is_file"] is True
    assert wanted["model_tree"][0]["path"] == "net.onnx"


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"model": "azureml:digit:1"}, "/model", "digits"),
        ({"model": "azureml:digits:7"}, "/model", 'no version "7"'),
        ({"model": "azureml:words:1"}, "/model", "neither one ONNX file nor MLmodel"),
        ({}, "/model", "neither a model nor code"),
        ({"environment": "azureml:nothing:1"}, "/environment", "nothing"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_place(world, fields, pointer, words):
    world.model()
    world.model("words", "words.pkl")
    with pytest.raises(SpecError) as caught:
        world.deploy(**fields)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
    assert words in str(caught.value)
    assert world.endpoints.list_deployments("digits") == []


def test_what_has_no_effect_is_said_with_the_record(world):
    spec = OnlineEndpointSpec(name="digits", auth_mode="aad_token", identity={"type": "system_assigned"})
    (identity, keys) = world.endpoints.put_endpoint(spec, actor="me").warnings
    assert "identity" in identity
    assert "aad_token" in keys
    world.deploy(model=world.model(), instance_type="Standard_DS3_v2", environment="azureml:AzureML-sklearn-1.5@latest")
    assert world.endpoints.set_traffic("digits", {"blue": 100}, actor="me").warnings == (identity, keys)
    assert report(world, 1, "ready").warnings == (
        "ignored here: instance_type",
        "ignored here: environment, as there is no code_configuration",
    )
    assert world.endpoints.put_endpoint(OnlineEndpointSpec(name="digits"), actor="me").warnings == ()


def test_resources_are_checked_and_more_than_there_is_is_said(world):
    model = world.model()
    with pytest.raises(SpecError) as caught:
        world.deploy(model=model, resources={"limits": {"cpu": "many", "nvidia.com/gpu": -1}, "limit": {}})
    pointers = [problem.pointer for problem in caught.value.problems]
    assert pointers == ["/resources/limits/cpu", "/resources/limits/nvidia.com~1gpu", "/resources/limit"]
    deployment = world.deploy(model=model, resources={"limits": {"cpu": "1000", "memory": "900Ti"}}, instance_count=2)
    cpu, memory = deployment.warnings
    assert cpu.startswith("resources.limits.cpu: 2 x 1000 core(s), and the machine has ")
    assert memory.startswith("resources.limits.memory: 2 x ")
    assert world.desired()["deployments"][0]["resources"] == {"limits": {"cpu": "1000", "memory": "900Ti"}}


def test_an_instance_type_of_the_settings_says_what_an_instance_may_use(world):
    types = {"standard_ds3_v2": {"limits": {"cpu": "1", "memory": "64Mi"}}}
    world.endpoints = world.open(instance_types=types)
    deployment = world.deploy(model=world.model(), instance_type="Standard_DS3_v2")
    assert deployment.warnings == ()
    assert deployment.spec.resources == types["standard_ds3_v2"]
    own = {"limits": {"cpu": "1"}}
    deployment = world.deploy(model="azureml:digits:1", instance_type="Standard_DS3_v2", resources=own)
    assert deployment.spec.resources == own


def test_what_a_gateway_ended_for_its_memory_is_shown_while_it_answers(world):
    world.deploy(model=world.model())
    status = {"endpoint": "digits", "deployment": "blue", "revision": 1, "state": "ready"}
    world.endpoints.apply_status({**status, "message": "OutOfMemory: the replica was ended", "log_tail": "a\nb"})
    deployment = world.endpoints.get_deployment("digits", "blue")
    assert deployment.provisioning_state is ProvisioningState.SUCCEEDED
    assert deployment.message == "OutOfMemory: the replica was ended"


def test_a_registered_environments_image_is_not_used_and_that_is_said(world):
    image = EnvironmentSpec(name="e", image="docker.io/python")
    world.models.create(AssetKind.ENVIRONMENT, image, actor="me")
    code = CodeConfiguration(code=world.tree("score.py"), scoring_script="score.py")
    (warning,) = world.deploy(code_configuration=code, environment="azureml:e:1").warnings
    assert "environment.image" in warning
    (curated,) = world.deploy(code_configuration=code, environment="azureml:AzureML-sklearn-1.5@latest").warnings
    assert "AzureML-sklearn-1.5" in curated


def test_a_missing_script_names_the_nearest(world):
    code = CodeConfiguration(code=world.tree("score.py"), scoring_script="scor.py")
    with pytest.raises(SpecError, match=r'Did you mean "score\.py"') as caught:
        world.deploy(code_configuration=code)
    assert caught.value.problems[0].pointer == "/code_configuration/scoring_script"


def test_no_endpoint_no_deployment(world):
    with pytest.raises(NotFoundError, match="nothing"):
        world.deploy(endpoint_name="nothing", model=world.model())


def report(world, revision, state, **fields):
    status = {"endpoint": "digits", "deployment": "blue", "revision": revision, "state": state, **fields}
    world.endpoints.apply_status({"message": "", "log_tail": "", **status})
    return world.endpoints.get_deployment("digits", "blue")


def test_the_gateways_news_settle_a_deployment_once(world):
    world.deploy(model=world.model())
    ready = report(world, 1, "ready")
    assert (ready.provisioning_state, ready.ready_revision) == (ProvisioningState.SUCCEEDED, 1)
    assert ready.ready_at is not None
    report(world, 1, "ready")
    assert world.verbs().count("deployment-ready") == 1
    assert world.deploy(model=world.model()).provisioning_state is ProvisioningState.UPDATING
    assert report(world, 1, "failed").provisioning_state is ProvisioningState.UPDATING  # news of an older revision
    failed = report(world, 2, "failed", message="score.py:1: no", log_tail="Traceback")
    assert (failed.provisioning_state, failed.ready_revision) == (ProvisioningState.FAILED, 1)
    assert failed.message == "score.py:1: no\nTraceback"
    report(world, 2, "ready")
    assert world.endpoints.get_deployment("digits", "blue").message == ""


def test_a_failed_update_gives_the_gateway_the_ready_revision_back(world):
    def wanted():
        state = decode_desired(_json(world.endpoints.desired()))
        (deployment,) = state.endpoints[0].deployments
        return state.revision, deployment.revision, deployment.model_ref

    world.deploy(model=world.model())
    report(world, 1, "ready")
    world.deploy(model=world.model())
    before = wanted()
    assert before[1:] == (2, "azureml:digits:2")
    report(world, 2, "failed")
    after = wanted()
    assert after[1:] == (1, "azureml:digits:1")
    assert after[0] > before[0]  # or the gateway would not hear of it
    world.deploy(model=world.model())
    assert wanted()[1] == 3
    report(world, 3, "failed")
    assert wanted()[1:] == (1, "azureml:digits:1")
    world.deploy(model=world.model())
    report(world, 4, "ready")
    report(world, 4, "failed")  # was ready, and cannot be started again: nothing older takes its place
    assert wanted()[1] == 4


def test_what_was_measured_is_shown_and_where_a_model_runs_is_no_event(world):
    world.deploy(model=world.model(), batching={"enabled": True, "max_batch_size": 4})
    (wanted,) = world.desired()["deployments"]
    assert wanted["batching"] == {"enabled": True, "max_batch_size": 4}
    assert wanted["request_settings"]["max_queue_wait_ms"] is None
    measured = {"run_ms": 0.02, "placement": "replica"}
    first = report(world, 1, "ready", measured=measured)
    assert first.measured == measured
    moved = report(world, 1, "ready", measured={**measured, "placement": "gateway, on the event loop"})
    assert moved.measured["placement"] == "gateway, on the event loop"
    assert moved.ready_at == first.ready_at
    assert world.verbs().count("deployment-ready") == 1
    assert report(world, 1, "ready").measured == moved.measured


def test_news_of_what_was_deleted_change_nothing(world):
    world.deploy(model=world.model())
    before = world.desired()
    world.endpoints.apply_status(
        {"endpoint": "gone", "deployment": "blue", "revision": 1, "state": "ready", "message": "", "log_tail": ""}
    )
    assert world.desired() == before


def test_what_gets_traffic_is_not_deleted(world):
    world.deploy(model=world.model())
    world.endpoints.set_traffic("digits", {"blue": 100}, actor="me")
    with pytest.raises(ConflictError, match="100 %"):
        world.endpoints.delete_deployment("digits", "blue", actor="me")
    world.endpoints.set_traffic("digits", {"blue": 0}, actor="me")
    world.endpoints.delete_deployment("digits", "blue", actor="me")
    assert world.desired()["deployments"] == []
    assert world.endpoints.get_endpoint("digits").traffic == {}
    world.endpoints.delete_endpoint("digits", actor="me")
    assert world.endpoints.desired()["endpoints"] == []
    with pytest.raises(NotFoundError):
        world.endpoints.delete_endpoint("digits", actor="me")


def test_the_log_is_read(world):
    world.deploy(model=world.model())
    assert world.endpoints.read_log("digits", "blue", 5) == ("", 0)
    file = world.root / "logs" / "endpoints" / "digits" / "blue.log"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(f"line {number}" for number in range(100)))
    text, end = world.endpoints.read_log("digits", "blue", 2)
    assert text == "line 98\nline 99"
    assert world.endpoints.read_log("digits", "blue", 2, after=end) == ("", end)
    with pytest.raises(NotFoundError):
        world.endpoints.read_log("digits", "green", 2)


def test_a_restarted_server_asks_for_the_gateway_only_if_there_is_something(world):
    world.told.gateways = 0
    world.open().start()
    assert world.told.gateways == 1
    world.endpoints.delete_endpoint("digits", actor="me")
    world.told.gateways = 0
    world.open().start()
    assert world.told.gateways == 0


@pytest.fixture
def conda() -> EnvironmentSpec:
    return EnvironmentSpec(name="own", conda_file={"name": "own", "dependencies": []})


def test_a_deployment_is_held_while_its_environment_is_built(world, conda):
    code = CodeConfiguration(code=world.tree("score.py"), scoring_script="score.py")
    world.deploy(code_configuration=code)
    known = decode_desired(_json(world.endpoints.desired()))
    world.deploy(code_configuration=code, environment=conda)
    held = world.endpoints.desired()
    assert held["endpoints"][0]["deployments"] == [{"name": "blue", "revision": 2, "is_held": True}]
    merged = merge_held(decode_desired(_json(held)), known)
    assert [d.revision for d in merged.endpoints[0].deployments] == [1]
    assert merge_held(decode_desired(_json(held)), merge_held(merged, merged)).endpoints == merged.endpoints
    world.told.wait(lambda: not world.endpoints.desired()["endpoints"][0]["deployments"][0].get("is_held"))
    (wanted,) = world.desired()["deployments"]
    assert str(world.root / "envs") in wanted["interpreter"]
    assert world.endpoints.desired()["revision"] > held["revision"]
    assert wanted["shim"]


def test_an_environment_that_cannot_be_built_fails_the_deployment(world):
    bad = EnvironmentSpec(conda_file={"dependencies": [{"pip": ["penstock-has-no-such-package @ file:///nowhere"]}]})
    code = CodeConfiguration(code=world.tree("score.py"), scoring_script="score.py")
    world.deploy(code_configuration=code, environment=bad)
    world.endpoints.desired()

    def has_failed():
        found = world.endpoints.get_deployment("digits", "blue")
        return found.provisioning_state is ProvisioningState.FAILED

    world.told.wait(has_failed)
    assert world.endpoints.get_deployment("digits", "blue").message.startswith("environment: ")
    before = len(world.told.topics)
    assert world.desired()["deployments"][0]["is_held"]  # not tried again before it is changed
    assert len(world.told.topics) == before


def _json(value) -> bytes:
    return json.dumps(value).encode()
