"""Progressive releases at the server's doors: begun, changed and recorded; what the gateway tells is written once."""

from __future__ import annotations

from typing import Any

from tests.server.harness import Answer, House
from tests.server.test_endpoints import BASE, make_deployment, make_endpoint, tell


def make_pair(house: House, name: str, *, is_ready: bool = True) -> None:
    make_endpoint(house, name)
    for deployment in ("blue", "green"):
        made = make_deployment(house, name, deployment).json
        if is_ready or deployment == "blue":
            tell(house, made, "ready")
    house.ok("POST", f"{BASE}/{name}:traffic", {"traffic": {"blue": 100}})


def decision(action: str, percent: int, **fields: Any) -> dict[str, Any]:
    return {"at": 1, "action": action, "percent": percent, "reason": f"because {action}", "p_value": 0.001, **fields}


def news(house: House, name: str, *decisions: dict[str, Any], number: int = 1, requests: int = 5) -> Answer:
    counts = {"requests": requests, "failures": 1, "old_requests": 50, "old_failures": 2}
    rollout = {"number": number, "to": "green", "message": "", "decisions": list(decisions), **counts}
    told = {"endpoint": name, "rollout": rollout}
    answer = house.ask("POST", "/internal/serving/traffic", told, token=house.internal_token)
    assert answer.status == 204
    return answer


def verbs(house: House, name: str) -> list[str]:
    items = house.ok("GET", f"/api/v1/events?ref=endpoint:{name}&limit=100")["items"]
    return [item["verb"] for item in items if item["verb"].startswith("rollout")]


def test_a_release_goes_on_as_the_gateway_tells_and_every_decision_is_an_event(house: House) -> None:
    make_pair(house, "steps")
    began = house.ok("POST", f"{BASE}/steps:rollout", {"to": "green"})
    assert began["traffic"] == {"blue": 90, "green": 10}
    assert (began["rollout"]["state"], began["rollout"]["base"]) == ("Running", {"blue": 100})
    desired = house.ok("GET", "/internal/serving/desired", token=house.internal_token)
    (endpoint,) = (one for one in desired["endpoints"] if one["name"] == "steps")
    assert endpoint["rollout"]["steps"] == [10, 50, 100]
    revision = desired["revision"]

    news(house, "steps")
    shown = house.ok("GET", f"{BASE}/steps")
    assert (shown["rollout"]["requests"], shown["rollout"]["old_failures"]) == (5, 2)
    desired = house.ok("GET", "/internal/serving/desired", token=house.internal_token)
    assert desired["revision"] == revision  # numbers alone change nothing that is served

    first = decision("advance", 50, requests=200)
    news(house, "steps", first, requests=200)
    assert house.ok("GET", f"{BASE}/steps")["traffic"] == {"blue": 50, "green": 50}
    second, last = decision("advance", 100), decision("finish", 100)
    news(house, "steps", first, second, last)
    news(house, "steps", first, second, last)
    over = house.ok("GET", f"{BASE}/steps")
    assert over["revision"] > began["revision"] > 0
    assert over["traffic"] == {"blue": 0, "green": 100}
    assert (over["rollout"]["state"], len(over["rollout"]["decisions"])) == ("Succeeded", 3)
    assert sorted(verbs(house, "steps")) == ["rollout-advance", "rollout-advance", "rollout-finish", "rollout-start"]
    assert house.ask("DELETE", f"{BASE}/steps/deployments/blue").status == 204


def test_a_bad_version_goes_back_and_late_news_do_not_let_it_in(house: House) -> None:
    make_pair(house, "bad")
    house.ok("POST", f"{BASE}/bad:rollout", {"to": "green", "steps": [20, 100]})
    back = decision("roll-back", 0, requests=20, failures=20)
    news(house, "bad", back)
    over = house.ok("GET", f"{BASE}/bad")
    assert over["traffic"] == {"blue": 100, "green": 0}
    assert (over["rollout"]["state"], over["rollout"]["message"]) == ("RolledBack", "because roll-back")
    news(house, "bad", decision("advance", 100))
    news(house, "bad", decision("advance", 100), number=7)
    assert house.ok("GET", f"{BASE}/bad")["traffic"] == {"blue": 100, "green": 0}
    again = house.ok("POST", f"{BASE}/bad:rollout", {"to": "green"})
    assert (again["rollout"]["number"], again["rollout"]["decisions"]) == (2, [])


def test_it_can_be_paused_resumed_and_aborted(house: House) -> None:
    make_pair(house, "held")
    assert house.ask("POST", f"{BASE}/held:change-rollout", {"action": "pause"}).status == 409
    house.ok("POST", f"{BASE}/held:rollout", {"to": "green"})
    for action, state in (("pause", "Paused"), ("resume", "Running")):
        made = house.ok("POST", f"{BASE}/held:change-rollout", {"action": action})
        assert (made["rollout"]["state"], made["traffic"]["green"]) == (state, 10)
    made = house.ok("POST", f"{BASE}/held:change-rollout", {"action": "abort"})
    assert (made["rollout"]["state"], made["traffic"]) == ("Aborted", {"blue": 100, "green": 0})
    assert house.ask("POST", f"{BASE}/held:change-rollout", {"action": "sing"}).status == 422
    assert sorted(verbs(house, "held")) == ["rollout-abort", "rollout-pause", "rollout-resume", "rollout-start"]


def test_what_cannot_be_released_is_refused_with_what_to_do(house: House) -> None:
    make_pair(house, "refused", is_ready=False)
    start = f"{BASE}/refused:rollout"
    answer = house.ask("POST", start, {"to": "green"})
    assert (answer.status, "not ready" in answer.json["detail"]) == (409, True)
    assert house.ask("POST", start, {"to": "nobody"}).status == 404
    assert house.ask("POST", start, {"to": "green", "steps": [50, 10]}).status == 422
    assert house.ask("POST", start, {"to": "green", "steps": [90, 100]}).status == 422
    answer = house.ask("POST", start, {"to": "blue"})
    assert (answer.status, "to compare" in answer.json["detail"]) == (409, True)


def test_meanwhile_its_deployments_stay_as_they_are(house: House) -> None:
    make_pair(house, "kept")
    house.ok("POST", f"{BASE}/kept:rollout", {"to": "green"})
    assert house.ask("POST", f"{BASE}/kept:rollout", {"to": "green"}).status == 409
    assert make_deployment(house, "kept", "green").status == 409
    assert make_deployment(house, "kept", "blue").status == 202  # the old one may be mended
    assert house.ask("DELETE", f"{BASE}/kept/deployments/blue").status == 409
    made = house.ok("POST", f"{BASE}/kept:traffic", {"traffic": {"blue": 100}})
    assert made["traffic"] == {"blue": 100}
    assert house.ok("GET", f"{BASE}/kept")["rollout"]["state"] == "Aborted"


def test_a_file_begins_its_release_once_per_revision(house: House) -> None:
    make_pair(house, "filed")
    file = {"traffic": {"blue": 100}, "rollout": {"to": "green", "steps": [25, 100]}}
    first = make_endpoint(house, "filed", **file)
    assert (first["traffic"], first["rollout"]["number"]) == ({"blue": 75, "green": 25}, 1)
    again = make_endpoint(house, "filed", description="new", **file)
    assert (again["traffic"], again["rollout"]["number"]) == ({"blue": 75, "green": 25}, 1)
    news(house, "filed", decision("roll-back", 0))
    condemned = make_endpoint(house, "filed", **file)
    assert (condemned["traffic"]["green"], condemned["rollout"]["state"]) == (0, "RolledBack")
    tell(house, make_deployment(house, "filed", "green").json, "ready")
    mended = make_endpoint(house, "filed", **file)
    assert (mended["traffic"]["green"], mended["rollout"]["number"]) == (25, 2)


def test_a_mirror_is_set_shown_and_ends_with_traffic_or_deletion(house: House) -> None:
    make_pair(house, "mirrors")
    path = f"{BASE}/mirrors:traffic"
    made = house.ok("POST", path, {"traffic": {"blue": 100}, "mirror_traffic": {"green": 30}})
    assert made["mirror_traffic"] == {"green": 30}
    assert house.ask("POST", path, {"traffic": {"blue": 100}, "mirror_traffic": {"green": 51}}).status == 422
    told = {"endpoint": "mirrors", "mirrored": {"to": "green", "copies": 7, "failures": 1, "dropped": 2}}
    house.ask("POST", "/internal/serving/traffic", told, token=house.internal_token)
    assert house.ok("GET", f"{BASE}/mirrors")["mirrored"]["copies"] == 7
    assert house.ok("POST", path, {"traffic": {"blue": 90, "green": 10}})["mirror_traffic"] == {}
    house.ok("POST", path, {"traffic": {"blue": 100}, "mirror_traffic": {"green": 30}})
    assert house.ask("DELETE", f"{BASE}/mirrors/deployments/green").status == 204
    assert house.ok("GET", f"{BASE}/mirrors")["mirror_traffic"] == {}
