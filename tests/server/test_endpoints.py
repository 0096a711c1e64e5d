from __future__ import annotations

import io
import tarfile
import tempfile
import threading
from typing import Any

import pytest
from tests.server.harness import Answer, House
from tests.server.test_assets import put_tree

BASE = "/api/v1/online-endpoints"


def make_endpoint(house: House, name: str, **changes: Any) -> Any:
    return house.ok("PUT", f"{BASE}/{name}", {"name": name, **changes})


def make_deployment(house: House, endpoint: str, name: str = "blue", **changes: Any) -> Any:
    path = put_tree(house, {"model.onnx": b"model"})
    house.ok("POST", "/api/v1/models", {"name": f"m-{endpoint}", "path": path})
    spec = {"name": name, "endpoint_name": endpoint, "model": f"azureml:m-{endpoint}@latest", **changes}
    return house.ask("PUT", f"{BASE}/{endpoint}/deployments/{name}", spec)


def tell(house: House, deployment: Any, state: str, message: str = "") -> Answer:
    status = {
        "endpoint": deployment["endpoint_name"],
        "deployment": deployment["name"],
        "revision": deployment["revision"],
        "state": state,
        "message": message,
        "log_tail": "",
    }
    return house.ask("POST", "/internal/serving/status", status, token=house.internal_token)


def test_endpoint_is_made_shown_and_deleted(house: House) -> None:
    made = make_endpoint(house, "shown", description="d")
    assert made["scoring_uri"] == "http://127.0.0.1:1/endpoints/shown/score"
    answer = house.ask("GET", f"{BASE}/shown")
    assert answer.json == made
    assert answer.headers["etag"] == f'"{made["revision"]}"'
    assert "primary_key" not in answer.body.decode()
    assert "shown" in [item["name"] for item in house.ok("GET", BASE)["items"]]
    assert house.ask("DELETE", f"{BASE}/shown").status == 204
    assert house.ask("GET", f"{BASE}/shown").status == 404


def test_path_and_body_must_name_the_same(house: House) -> None:
    assert house.ask("PUT", f"{BASE}/one", {"name": "two"}).status == 400
    make_endpoint(house, "same")
    spec = {"name": "blue", "endpoint_name": "other"}
    assert house.ask("PUT", f"{BASE}/same/deployments/blue", spec).status == 400


def test_change_meant_for_another_revision_is_refused(house: House) -> None:
    first = make_endpoint(house, "guarded")
    old = {"If-Match": f'"{first["revision"]}"'}
    spec = {"name": "guarded", "description": "changed"}
    changed = house.ask("PUT", f"{BASE}/guarded", spec, headers=old)
    assert changed.status == 200
    again = house.ask("PUT", f"{BASE}/guarded", spec, headers=old)
    assert (again.status, again.json["code"]) == (412, "precondition_failed")
    assert house.ask("PUT", f"{BASE}/guarded", spec, headers={"If-Match": changed.headers["etag"]}).status == 200
    assert house.ask("PUT", f"{BASE}/guarded", spec, headers={"If-Match": "*"}).status == 200
    assert house.ask("PUT", f"{BASE}/guarded", spec, headers={"If-None-Match": "*"}).status == 412
    fresh = {"name": "not-there"}
    assert house.ask("PUT", f"{BASE}/not-there", fresh, headers={"If-Match": "*"}).status == 412
    assert house.ask("PUT", f"{BASE}/not-there", fresh, headers={"If-None-Match": "*"}).status == 200


def test_keys_are_shown_on_request_only_and_rotate(house: House) -> None:
    make_endpoint(house, "keys")
    answer = house.ask("GET", f"{BASE}/keys/credentials")
    before = answer.json
    assert answer.headers["cache-control"] == "no-store"
    after = house.ok("POST", f"{BASE}/keys:rotate-key", {"key_type": "secondary"})
    assert after["primary_key"] == before["primary_key"]
    assert after["secondary_key"] != before["secondary_key"]
    assert house.ok("GET", f"{BASE}/keys/credentials") == after
    assert house.ask("POST", f"{BASE}/keys:rotate-key", {"key_type": "third"}).status == 422


def test_deployment_becomes_ready_while_somebody_waits(house: House) -> None:
    make_endpoint(house, "waited")
    made = make_deployment(house, "waited")
    assert (made.status, made.json["provisioning_state"]) == (202, "Creating")
    assert made.json["model"].startswith("azureml:m-waited:")
    found: list[Any] = []
    url = f"{BASE}/waited/deployments/blue"
    waiter = threading.Thread(target=lambda: found.append(house.ok("GET", f"{url}?wait=25")))
    waiter.start()
    assert tell(house, made.json, "ready").status == 204
    waiter.join()
    assert found[0]["provisioning_state"] == "Succeeded"
    assert house.ok("GET", f"{url}?wait=25") == found[0]
    listed = house.ok("GET", f"{BASE}/waited/deployments")["items"]
    assert [item["name"] for item in listed] == ["blue"]


def test_failed_deployment_says_why(house: House) -> None:
    make_endpoint(house, "failing")
    made = make_deployment(house, "failing").json
    tell(house, made, "failed", "the model has no input")
    shown = house.ok("GET", f"{BASE}/failing/deployments/blue?wait=25")
    assert shown["provisioning_state"] == "Failed"
    assert "the model has no input" in shown["message"]


def test_waiting_ends_with_its_time(house: House) -> None:
    make_endpoint(house, "slow")
    make_deployment(house, "slow")
    assert house.ok("GET", f"{BASE}/slow/deployments/blue?wait=0.01")["provisioning_state"] == "Creating"
    assert house.ask("GET", f"{BASE}/slow/deployments/blue?wait=61").status == 400


def test_traffic_names_known_deployments(house: House) -> None:
    make_endpoint(house, "split")
    make_deployment(house, "split")
    assert house.ok("POST", f"{BASE}/split:traffic", {"traffic": {"blue": 100}})["traffic"] == {"blue": 100}
    for traffic in ({"green": 100}, {"blue": 50}):
        answer = house.ask("POST", f"{BASE}/split:traffic", {"traffic": traffic})
        assert (answer.status, answer.json["code"]) == (422, "invalid_spec")
    assert house.ask("DELETE", f"{BASE}/split/deployments/blue").status == 409
    house.ok("POST", f"{BASE}/split:traffic", {"traffic": {"blue": 0}})
    assert house.ask("DELETE", f"{BASE}/split/deployments/blue").status == 204


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/none", None),
        ("DELETE", "/none", None),
        ("GET", "/none/credentials", None),
        ("POST", "/none:rotate-key", {}),
        ("POST", "/none:traffic", {"traffic": {}}),
        ("GET", "/none/deployments", None),
        ("GET", "/none/deployments/blue", None),
        ("GET", "/none/deployments/blue/logs", None),
        ("DELETE", "/none/deployments/blue", None),
        ("PUT", "/none/deployments/blue", {"name": "blue", "endpoint_name": "none", "model": "azureml:m:1"}),
    ],
)
def test_unknown_endpoint_is_404(house: House, method: str, path: str, content: Any) -> None:
    assert house.ask(method, BASE + path, content).status == 404


def test_logs_are_text(house: House) -> None:
    make_endpoint(house, "logged")
    make_deployment(house, "logged")
    answer = house.ask("GET", f"{BASE}/logged/deployments/blue/logs?lines=5")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")


def test_gateway_asks_what_to_run_and_hears_of_changes(house: House) -> None:
    make_endpoint(house, "desired")
    desired = house.ok("GET", "/internal/serving/desired", token=house.internal_token)
    names = [endpoint["name"] for endpoint in desired["endpoints"]]
    assert "desired" in names
    revision = desired["revision"]
    same = house.ok("GET", f"/internal/serving/desired?after={revision}&wait=0.01", token=house.internal_token)
    assert same["revision"] == revision
    found: list[Any] = []

    def wait() -> None:
        url = f"/internal/serving/desired?after={revision}&wait=25"
        found.append(house.ok("GET", url, token=house.internal_token))

    waiter = threading.Thread(target=wait)
    waiter.start()
    make_deployment(house, "desired")
    waiter.join()
    assert found[0]["revision"] > revision


def test_gateways_door_is_the_gateways_alone(house: House) -> None:
    for token in (house.token, house.begin(house.submit())[1]):
        assert house.ask("GET", "/internal/serving/desired", token=token).status == 403
        assert house.ask("POST", "/internal/serving/status", {}, token=token).status == 403
    for path in ("/api/v1/jobs", BASE, "/api/v1/models", "/api/v1/events"):
        assert house.ask("GET", path, token=house.internal_token).status == 403


def test_an_export_takes_its_room_in_the_workspace(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    make_endpoint(house, "packed")
    assert make_deployment(house, "packed").status == 202
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")  # such as a full /tmp
    answer = house.ask("GET", f"{BASE}/packed/deployments/blue/export")
    assert answer.status == 200
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        assert {"serve.py", "README.md"} <= set(archive.getnames())
