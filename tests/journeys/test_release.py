"""Releases in a real workspace under load: nothing a user does fails a request, and a bad version goes back."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.serving.conftest import adding_model

from penstock import Workspace
from penstock.entities.endpoint import CodeConfiguration, OnlineDeploymentSpec, RequestSettings, RolloutSpec

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ENDPOINT = "sums"
CLIENTS = 6
SETTINGS = RequestSettings(max_concurrent_requests_per_instance=8)
BODY = json.dumps({"data": [[0, 0]]})
ALWAYS_BAD = "def init(): pass\ndef run(raw): raise ValueError('a bug')"
OFTEN_BAD = """
import itertools
count = itertools.count()
def init(): pass
def run(raw):
    if next(count) % 3 == 0: raise ValueError("a bug")
    return {"outputs": {"y": [[9.0, 0]]}}
"""


class Load:
    """Clients that ask all the time; counts (deployment, status), and what broke by its name."""

    def __init__(self, workspace: Workspace) -> None:
        self.seen: Counter[tuple[str, object]] = Counter()
        self._changed = threading.Condition()
        self._is_over = False
        place = urlsplit(workspace.endpoints.get(ENDPOINT).scoring_uri)
        self._host, self._port, self._path = place.hostname or "", place.port, place.path
        self._key = workspace.endpoints.get_keys(ENDPOINT).primary_key
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.more(100)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.join()

    def more(self, count: int) -> None:
        """Wait for so many more answers."""
        with self._changed:
            goal = self.seen.total() + count
            assert self._changed.wait_for(lambda: self.seen.total() >= goal, 120), self.seen

    def of(self, deployment: str) -> int:
        """Return how many answers a deployment gave."""
        return sum(count for (name, _), count in self.seen.items() if name == deployment)

    def bad(self) -> dict[tuple[str, object], int]:
        """Return what was no answer with status 200."""
        return {what: count for what, count in self.seen.items() if what[1] != 200}

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        while not self._is_over:
            try:
                connection.request("POST", self._path, BODY, headers)
                response = connection.getresponse()
                response.read()
                what: tuple[str, object] = (response.headers.get("azureml-model-deployment", ""), response.status)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                what = ("", type(error).__name__)
            with self._changed:
                self.seen[what] += 1
                self._changed.notify_all()
        connection.close()


@pytest.fixture
def workspace(lab, tmp_path):
    for amount in (1, 2, 3):
        folder = tmp_path / f"model-{amount}"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(adding_model(float(amount)))
    lab.run("online-endpoint", "create", "-n", ENDPOINT)
    it = Workspace(lab.folder)
    for amount in (1, 2, 3):
        it.models.create("adding", tmp_path / f"model-{amount}")
    deploy(it, "blue", 1, all_traffic=True)
    return it


def deploy(workspace: Workspace, name: str, version: int, *, all_traffic: bool = False) -> None:
    spec = OnlineDeploymentSpec(
        name=name, endpoint_name=ENDPOINT, model=f"azureml:adding:{version}", request_settings=SETTINGS
    )
    workspace.endpoints.deploy(spec, all_traffic=all_traffic)


def deploy_script(workspace: Workspace, folder: Path, name: str, code: str) -> None:
    folder.mkdir()
    (folder / "score.py").write_text(code)
    spec = OnlineDeploymentSpec(
        name=name,
        endpoint_name=ENDPOINT,
        code_configuration=CodeConfiguration(code=str(folder), scoring_script="score.py"),
        request_settings=SETTINGS,
    )
    workspace.endpoints.deploy(spec)


def state(workspace: Workspace) -> str:
    rollout = workspace.endpoints.get(ENDPOINT).rollout
    assert rollout is not None
    return rollout.state.value


def test_nothing_done_to_an_endpoint_fails_one_of_ten_thousand_requests(workspace, wait_until):
    endpoints = workspace.endpoints
    with Load(workspace) as load:
        deploy(workspace, "green", 2)  # create
        load.more(500)
        deploy(workspace, "blue", 3)  # update in place
        load.more(500)
        endpoints.set_traffic(ENDPOINT, {"blue": 100}, mirror={"green": 50})
        load.more(1000)
        endpoints.set_traffic(ENDPOINT, {"blue": 60, "green": 40})
        load.more(1000)
        endpoints.set_traffic(ENDPOINT, {"blue": 100})  # back by hand
        load.more(500)
        endpoints.start_rollout(ENDPOINT, "green")
        load.more(100)
        endpoints.change_rollout(ENDPOINT, "abort")
        load.more(500)
        endpoints.start_rollout(ENDPOINT, RolloutSpec(to="green", steps=(10, 50, 100), requests=500))
        wait_until(lambda: state(workspace) == "Succeeded", "the release")
        load.more(500)
        endpoints.delete_deployment(ENDPOINT, "blue")  # the unused one
        load.more(max(500, 10_000 - load.seen.total()))
        assert endpoints.get(ENDPOINT).traffic == {"green": 100}
    assert load.seen.total() >= 10_000
    assert load.bad() == {}
    assert load.of("green") > 500


def test_a_failing_script_is_back_at_zero_within_200_of_its_requests(workspace, lab, tmp_path, wait_until):
    deploy_script(workspace, tmp_path / "bad", "bad", ALWAYS_BAD)
    deploy_script(workspace, tmp_path / "poor", "poor", OFTEN_BAD)
    with Load(workspace) as load:
        load.more(2000)
        said = lab.run("online-endpoint", "rollout", "-n", ENDPOINT, "--to", "bad", "--watch", status=4)
        assert said == ""
        assert 0 < load.of("bad") <= 5 + CLIENTS
        workspace.endpoints.start_rollout(ENDPOINT, "poor")
        wait_until(lambda: state(workspace) == "RolledBack", "the verdict")
        load.more(500)
    assert load.of("poor") <= 200
    assert {name for name, _ in load.bad()} <= {"bad", "poor"}
    shown = lab.read("online-endpoint", "show", "-n", ENDPOINT)
    assert shown["traffic"] == {"blue": 100, "poor": 0}
    (decision,) = shown["rollout"]["decisions"]
    assert (decision["action"], decision["percent"]) == ("roll-back", 0)
    assert 0 < decision["failures"] <= decision["requests"] <= 200
    events = lab.read("audit", "list", "--ref", f"endpoint:{ENDPOINT}")
    numbers = next(
        one["detail"] for one in events if one["verb"] == "rollout-roll-back" and one["detail"]["to"] == "poor"
    )
    assert numbers["failures"] == decision["failures"]


@pytest.mark.parametrize("victims", ["gateway", "server", "both"])
def test_a_release_goes_on_after_kill_9(workspace, lab, tmp_path, wait_until, victims):
    deploy(workspace, "green", 2)
    endpoints = workspace.endpoints
    with Load(workspace) as load:
        load.more(500)
        endpoints.start_rollout(ENDPOINT, RolloutSpec(to="green", steps=(10, 50, 100), requests=1000))
        wait_until(lambda: load.of("green") > 100, "some requests of the new version")
        server, gateway = lab.server_pid(), gateway_pid(lab)
        for name, pid in (("server", server), ("gateway", gateway)):
            if victims in (name, "both"):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: state(workspace) == "Succeeded", "the release")
        load.more(200)
    # A gateway that has just begun has no replica for a moment, and says so.
    broken = {what: count for what, count in load.bad().items() if victims == "server" or what[1] != 503}
    assert broken.keys() <= {("", name) for name in ("RemoteDisconnected", "ConnectionResetError", "BrokenPipeError")}
    assert sum(broken.values()) <= (0 if victims == "server" else CLIENTS)
    rollout = endpoints.get(ENDPOINT).rollout
    assert [decision.percent for decision in rollout.decisions] == [50, 100, 100]


def gateway_pid(lab) -> int:
    supervisor = lab.record().pid
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return next(int(pid) for pid in children if b"\0gateway\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
