from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import pytest
from tests.server.harness import House

from penstock.entities.asset import TreeEntry
from penstock.stores.metadata import artifacts


def put_tree(house: House, files: dict[str, bytes]) -> str:
    entries = []
    for path, content in sorted(files.items()):
        digest = hashlib.sha256(content).hexdigest()
        house.ok("PUT", f"/api/v1/blobs/{digest}", body=content)
        entries.append({"path": path, "digest": digest, "size": len(content)})
    return f"tree:{house.ok('POST', '/api/v1/trees', {'entries': entries})['digest']}"


def register(house: House, name: str, content: bytes = b"model", **changes: Any) -> Any:
    spec = {"name": name, "path": put_tree(house, {"model.onnx": content, "sub/labels.txt": b"a"}), **changes}
    return house.ok("POST", "/api/v1/models", spec)


def test_model_versions_grow_and_latest_is_the_last_created(house: House) -> None:
    first = register(house, "digits", b"one", tags={"a": "b"})
    second = register(house, "digits", b"two")
    assert (first["version"], second["version"], first["kind"], first["created_by"]) == ("1", "2", "model", "ann")
    assert first["created_at"].endswith("Z")
    assert first["size"] == len(b"one") + 1
    for path in ("digits", "digits/versions/@latest", "digits/versions/2"):
        assert house.ok("GET", f"/api/v1/models/{path}") == second
    shown = house.ok("GET", "/api/v1/models/digits/versions")
    assert [item["version"] for item in shown["items"]] == ["2", "1"]


def test_model_from_a_jobs_output_knows_its_job(house: House) -> None:
    job = house.submit(name="trainer")
    digest, size = house.services.blobs.put(b"weights")
    entry = TreeEntry(path="outputs/model.onnx", digest=digest, size=size)
    house.services.store.write(lambda c: artifacts.put_artifacts(c, job.name, [entry], now=1))
    path = "azureml://jobs/trainer/outputs/artifacts/paths/outputs/model.onnx"
    made = house.ok("POST", "/api/v1/models", {"name": "lineage", "path": path})
    assert (made["job_name"], made["size"]) == ("trainer", 7)
    content = house.ask("GET", "/api/v1/models/lineage/versions/1/files/model.onnx")
    assert (content.status, content.body) == (200, b"weights")


def test_files_of_a_version_are_listed_and_read_in_ranges(house: House) -> None:
    register(house, "files", b"0123456789")
    listed = house.ok("GET", "/api/v1/models/files/versions/1/files")["items"]
    assert listed == [{"path": "model.onnx", "size": 10}, {"path": "sub/labels.txt", "size": 1}]
    url = "/api/v1/models/files/versions/@latest/files"
    part = house.ask("GET", f"{url}/model.onnx", headers={"Range": "bytes=2-4"})
    assert (part.status, part.body) == (206, b"234")
    assert house.ask("GET", f"{url}/sub/labels.txt").body == b"a"
    assert house.ask("GET", f"{url}/none").status == 404
    for path in ("../x", "%2e%2e/x", "/etc/passwd"):
        answer = house.ask("GET", f"{url}/{path}")
        assert (answer.status, answer.json["code"]) == (400, "invalid_path")


def test_pages_of_names_and_versions(fresh_house: House) -> None:
    house = fresh_house
    for name in ("a", "b", "c"):
        register(house, name)
    for _ in range(2):
        register(house, "b")
    seen: list[str] = []
    following: str | None = ""
    while following is not None:
        page = house.ok("GET", f"/api/v1/models?limit=2{following}")
        seen += [item["name"] for item in page["items"]]
        following = f"&next={page['next']}" if "next" in page else None
    assert seen == ["a", "b", "c"]
    page = house.ok("GET", "/api/v1/models/b/versions?limit=2")
    assert [item["version"] for item in page["items"]] == ["3", "2"]
    rest = house.ok("GET", f"/api/v1/models/b/versions?limit=2&next={page['next']}")
    assert [item["version"] for item in rest["items"]] == ["1"]
    assert "next" not in rest


def test_archived_version_is_hidden_and_comes_back(house: House) -> None:
    register(house, "archived")
    register(house, "archived", b"other")
    assert house.ok("POST", "/api/v1/models/archived/versions/1:archive")["is_archived"] is True
    versions = house.ok("GET", "/api/v1/models/archived/versions")["items"]
    assert [item["version"] for item in versions] == ["2"]
    assert house.ok("POST", "/api/v1/models/archived/versions/1:restore")["is_archived"] is False
    assert len(house.ok("GET", "/api/v1/models/archived/versions")["items"]) == 2


def test_deleted_number_is_not_used_again(house: House) -> None:
    register(house, "deleted")
    assert house.ask("DELETE", "/api/v1/models/deleted/versions/1").status == 204
    gone = house.ask("GET", "/api/v1/models/deleted/versions/1")
    assert (gone.status, "penstock model restore -n deleted -v 1" in gone.json["hint"]) == (404, True)
    assert register(house, "deleted")["version"] == "2"
    assert (
        house.ask("POST", "/api/v1/models", {"name": "deleted", "path": "tree:" + "0" * 64, "version": "1"}).status
        > 399
    )


def test_deleted_version_comes_back_with_its_files(house: House) -> None:
    made = register(house, "regretted", tags={"a": "b"}, description="the good one")
    house.ok("PATCH", "/api/v1/models/regretted/versions/1", {"aliases": {"champion": True}})
    before = house.ok("GET", "/api/v1/models/regretted/versions/1")
    assert house.ask("DELETE", "/api/v1/models/regretted/versions/1").status == 204
    named = "name=regretted&version=1"
    gone = house.ask("GET", f"/api/2.0/mlflow/model-versions/get?{named}")
    assert (gone.status, gone.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert house.ask("GET", "/api/v1/models/regretted/versions/1/files/model.onnx").status == 404
    back = house.ok("POST", "/api/v1/models/regretted/versions/1:restore")
    assert {**back, "updated_at": None} == {**before, "updated_at": None}
    assert back["tree"] == made["tree"]
    assert house.ask("GET", "/api/v1/models/regretted/versions/1/files/model.onnx").body == b"model"
    assert house.ask("GET", f"/api/2.0/mlflow/model-versions/get?{named}").status == 200
    assert house.ask("POST", "/api/v1/models/regretted/versions/9:restore").status == 404


def test_unknown_model_names_the_nearest(house: House) -> None:
    register(house, "resnet")
    answer = house.ask("GET", "/api/v1/models/resnett")
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert "resnet" in answer.json["hint"]


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"name": "m"}, ""),
        ({"name": "bad name!", "path": "tree:" + "0" * 64}, "/name"),
        ({"name": "m", "path": "tree:" + "0" * 64}, "/path"),
        ({"name": "m", "path": "azureml://jobs/none/outputs/o/paths/p"}, "/path"),
        ({"name": "m", "path": "runs:/none/model"}, "/path"),
        ({"name": "m", "path": "x", "pathh": "y"}, "/pathh"),
    ],
)
def test_model_spec_problems_have_pointers(house: House, spec: dict[str, Any], pointer: str) -> None:
    answer = house.ask("POST", "/api/v1/models", spec)
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == pointer


def test_version_given_twice_is_a_conflict(house: House) -> None:
    register(house, "given", version="7")
    path = put_tree(house, {"model.onnx": b"x"})
    assert house.ask("POST", "/api/v1/models", {"name": "given", "version": "7", "path": path}).status == 409


def test_repeated_request_makes_one_version(house: House) -> None:
    spec = {"name": "once", "path": put_tree(house, {"model.onnx": b"once"})}
    made = [house.ok("POST", "/api/v1/models", spec, headers={"Idempotency-Key": "k"})["version"] for _ in range(3)]
    assert made == ["1", "1", "1"]
    assert house.ok("POST", "/api/v1/models", spec, headers={"Idempotency-Key": "l"})["version"] == "2"


def test_data_and_environments_are_assets_too(house: House) -> None:
    data = house.ok("POST", "/api/v1/data", {"name": "images", "path": put_tree(house, {"a.png": b"png"})})
    assert (data["kind"], data["type"], data["version"]) == ("data", "uri_folder", "1")
    url = house.ok("POST", "/api/v1/data", {"name": "far", "type": "uri_file", "path": "https://example.com/a.csv"})
    assert url["uri"] == "https://example.com/a.csv"
    assert house.ask("GET", "/api/v1/data/far/versions/1/files").status == 404
    spec = {"name": "train", "conda_file": {"dependencies": ["python=3.11"]}, "image": "x"}
    environment = house.ok("POST", "/api/v1/environments", spec)
    assert environment["definition"]["conda_file"] == spec["conda_file"]
    assert [item["name"] for item in house.ok("GET", "/api/v1/environments")["items"]] == ["train"]
    assert house.ask("GET", "/api/v1/environments/train/versions/1/files").status == 404


def test_every_change_is_in_the_audit_log(fresh_house: House) -> None:
    house = fresh_house
    register(house, "audited")
    house.ok("POST", "/api/v1/models/audited/versions/1:archive")
    house.ask("DELETE", "/api/v1/models/audited/versions/1")
    first = house.ok("GET", "/api/v1/events?limit=2")
    assert [(event["verb"], event["ref"]) for event in first["items"]] == [
        ("create", "model:audited:1"),
        ("archive", "model:audited:1"),
    ]
    rest = house.ok("GET", f"/api/v1/events?after={first['next']}")
    assert [event["verb"] for event in rest["items"]] == ["delete"]
    assert rest["items"][0]["previous_hash"] == first["items"][1]["hash"]
    assert rest["items"][0]["at"].endswith("Z")


def test_latest_is_the_last_created_in_use_behind_every_door(house: House) -> None:
    for version in ("7", "5"):
        register(house, "numbered", version.encode(), version=version)

    def latest() -> list[str]:
        seen = house.ok("POST", "/api/2.0/mlflow/registered-models/get-latest-versions", {"name": "numbered"})
        model = house.ok("GET", "/api/2.0/mlflow/registered-models/get?name=numbered")["registered_model"]
        listed = [item for item in house.ok("GET", "/api/v1/models?limit=1000")["items"] if item["name"] == "numbered"]
        return [
            house.ok("GET", "/api/v1/models/numbered")["version"],
            house.ok("GET", "/api/v1/models/numbered/versions/@latest")["version"],
            house.ok("GET", "/api/v1/models/numbered/versions")["items"][0]["version"],
            listed[0]["version"],
            house.ok("POST", "/api/v1/models", {"name": "copied", "path": "azureml:numbered@latest"})["source_path"][
                -1
            ],
            *(version["version"] for version in seen["model_versions"]),
            *(version["version"] for version in model["latest_versions"]),
        ]

    assert set(latest()) == {"5"}
    house.ok("POST", "/api/v1/models/numbered/versions/5:archive")
    assert set(latest()) == {"7"}
    staged = {"name": "numbered", "version": "7", "stage": "Production"}
    house.ok("POST", "/api/2.0/mlflow/model-versions/transition-stage", staged)
    house.ok("POST", "/api/v1/models/numbered/versions/5:restore")
    staged["version"] = "5"
    house.ok("POST", "/api/2.0/mlflow/model-versions/transition-stage", staged)
    assert house.ok("GET", "/api/v1/models/numbered/versions/@production")["version"] == "5"


def test_mlflow_sees_who_made_a_version(house: House) -> None:
    made = register(house, "signed")
    shown = house.ok("GET", "/api/2.0/mlflow/model-versions/get?name=signed&version=1")["model_version"]
    assert (shown["user_id"], made["created_by"]) == ("ann", "ann")


def test_a_shortened_id_names_a_run_in_addresses(house: House) -> None:
    digest, size = house.services.blobs.put(b"weights")
    entry = TreeEntry(path="outputs/model.onnx", digest=digest, size=size)
    for name in ("shortened-one", "shortened-two"):
        house.submit(name=name)
        house.services.store.write(partial(artifacts.put_artifacts, run_id=name, entries=[entry], now=1))
    for path in ("runs:/shortened-o/outputs", "azureml://jobs/shortened-o/outputs/artifacts/paths/outputs"):
        made = house.ok("POST", "/api/v1/models", {"name": "short", "path": path})
        assert (made["job_name"], made["source_path"]) == (
            "shortened-one",
            path.replace("shortened-o", "shortened-one"),
        )
    several = house.ask("POST", "/api/v1/models", {"name": "short", "path": "runs:/shortened/outputs"})
    assert (several.status, several.json["errors"][0]["pointer"]) == (422, "/path")
    assert "shortened-one, shortened-two" in several.json["errors"][0]["hint"]
    inputs = {"model": {"type": "uri_folder", "path": "runs:/shortened-t/outputs"}}
    job = house.ok("POST", "/api/v1/jobs", {"command": "true", "inputs": inputs})
    assert job["spec"]["inputs"]["model"]["path"] == "runs:/shortened-two/outputs"
