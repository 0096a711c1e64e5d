"""Every door × what names another experiment: limited tokens get nothing of it, and ended ones nothing at all."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from tests.server.harness import House
from tests.server.test_permissions import mlflow_doors, rest_doors

from penstock.access.people import PeopleTokens
from penstock.entities.token import TokenSpec

API = "/api/2.0/mlflow"
SECRET = "nobody-elses"


@pytest.fixture(scope="module")
def theirs(house: House) -> dict[str, str]:
    """The ids of an experiment, a run and a logged model, all of which hold the secret."""
    house.submit(name="their-job", experiment_name="theirs", command=f"echo {SECRET}")
    experiment = house.ok("GET", f"{API}/runs/get?run_id=their-job")["run"]["info"]["experiment_id"]
    house.ok("POST", f"{API}/runs/log-metric", {"run_id": "their-job", "key": SECRET, "value": 1, "timestamp": 1})
    house.ok("POST", f"{API}/runs/set-tag", {"run_id": "their-job", "key": "t", "value": SECRET})
    house.ok("PUT", f"{API}-artifacts/artifacts/{experiment}/their-job/artifacts/f.txt", body=SECRET.encode())
    sent = {"experiment_id": experiment, "name": SECRET, "source_run_id": "their-job"}
    model = house.ok("POST", f"{API}/logged-models", sent)["model"]["info"]["model_id"]
    return {"experiment": experiment, "model": model}


@pytest.fixture(scope="module")
def tokens(house: House) -> dict[str, str]:
    people = PeopleTokens(house.services.store, house.services.access, house.services.now)
    _, job = house.begin(house.submit(name="our-job", experiment_name="ours"))

    def limited(role: str) -> str:
        spec = TokenSpec.model_validate({"name": f"limited-{role}", "role": role, "experiment": "ours"})
        return people.create(spec, expires_at=None, by="ann")[1]

    return {"job": job, "contributor": limited("contributor"), "reader": limited("reader")}


def doors(house: House, theirs: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield every door with the ids of the other experiment in its path, MLflow's also as its pages ask."""
    named = {
        "m-" + "0" * 32: theirs["model"],
        "/0/nothing-here/": f"/{theirs['experiment']}/their-job/",
        "nothing-here": "their-job",
        "artifacts/file": "artifacts/f.txt",
    }
    pages = [(method, path.replace("/api/", "/ajax-api/", 1)) for method, path in mlflow_doors()]
    for method, path in [*((m, p) for m, p, _ in rest_doors(house)), *mlflow_doors(), *pages]:
        for old, new in named.items():
            path = path.replace(old, new)
        yield method, path


@pytest.mark.parametrize("who", ["job", "contributor", "reader"])
def test_no_door_tells_or_changes_what_another_experiment_holds(
    house: House, theirs: dict[str, str], tokens: dict[str, str], who: str
) -> None:
    of_one = {
        "run_id": "their-job",
        "run_uuid": "their-job",
        "experiment_id": theirs["experiment"],
        "experiment_name": "theirs",
        "model_id": theirs["model"],
        "metric_key": SECRET,
        "path": "f.txt",
        "timestamp": 1,
        "key": "t",
        "value": "changed",
    }
    of_many = {"run_ids": ["their-job"], "experiment_ids": [theirs["experiment"]], "experiments": ["theirs"]}
    before = house.ok("GET", f"{API}/runs/get?run_id=their-job")
    for method, path in doors(house, theirs):
        is_ours = path.startswith(("/api/v1/", "/internal/"))  # where a name that a door does not know is refused
        members = {} if is_ours else of_one | of_many
        if method in {"GET", "HEAD"}:
            answer = house.ask(method, f"{path}?{urlencode(members, doseq=True)}", token=tokens[who])
        else:
            answer = house.ask(method, path, members, token=tokens[who])
        assert answer.status >= 400 or SECRET.encode() not in answer.body, (method, path, answer.body)
        assert answer.status < 500 or answer.status == 501, (method, path, answer.body)
    search = "/api/v1/runs/search"
    found = house.ask("POST", search, {"experiments": ["theirs"]}, token=tokens[who])
    assert found.status == 403 or found.json["items"] == [], found.body
    assert house.ok("POST", search, {"experiments": ["theirs"]})["items"]
    assert house.ok("GET", f"{API}/runs/get?run_id=their-job") == before
    assert house.ok("GET", f"{API}/logged-models/{theirs['model']}")["model"]["info"]["name"] == SECRET


@pytest.mark.parametrize("who", ["contributor", "reader"])
def test_what_is_of_another_experiment_looks_as_if_it_was_not_there(
    house: House, theirs: dict[str, str], tokens: dict[str, str], who: str
) -> None:
    house.submit(name=f"their-job-{who}", experiment_name="theirs")
    pairs = [("their-job", "that-job"), ("their-", "thei-r"), (theirs["model"], theirs["model"][::-1])]
    paths = ["/api/v1/runs/{}", "/api/v1/jobs/{}", "/api/v1/runs/{}/artifacts", "/api/v1/jobs/{}/log"]
    paths += [f"{API}/runs/get?run_id={{}}", f"{API}/metrics/get-history?run_id={{}}&metric_key=a"]
    paths += [f"{API}/logged-models/{{}}"]
    for there, absent in pairs:
        for path in paths:
            answers = [house.ask("GET", path.format(name), token=tokens[who]) for name in (there, absent)]
            assert len({answer.status for answer in answers}) == 1, path
            told, of_absent = (answer.body for answer in answers)
            assert told.replace(there.encode(), b"") == of_absent.replace(absent.encode(), b""), path


def test_a_revoked_token_opens_no_door(house: House, theirs: dict[str, str]) -> None:
    people = PeopleTokens(house.services.store, house.services.access, house.services.now)
    secret = people.create(TokenSpec.model_validate({"name": "gone", "role": "admin"}), expires_at=None, by="ann")[1]
    assert house.ask("GET", "/api/v1", token=secret).status == 200
    people.revoke("gone", by="ann")
    for method, path in doors(house, theirs):
        content: dict[str, str] | None = None if method in {"GET", "HEAD"} else {}
        assert house.ask(method, path, content, token=secret).status == 401, (method, path)
