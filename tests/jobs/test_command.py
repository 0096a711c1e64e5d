"""What a specification becomes: problems with pointers when it is submitted, an assignment when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.jobs.conftest import Shop

from penstock.entities.asset import AssetKind, AssetType, EnvironmentSpec, Tree, TreeEntry
from penstock.entities.errors import SpecError
from penstock.entities.job import CommandJobSpec
from penstock.jobs.kinds import command
from penstock.stores.metadata import assets, trees

FIXED: dict[str, Any] = {"token": "t", "environment": {"AZUREML_RUN_ID": "j"}}


def put(shop: Shop, files: dict[str, bytes], *, is_file: bool = False) -> str:
    entries = []
    for path, content in files.items():
        digest, size = shop.blobs.put(content)
        entries.append(TreeEntry(path=path, digest=digest, size=size))
    return "tree:" + shop.store.write(lambda c: trees.put_tree(c, Tree(entries=tuple(entries), is_file=is_file)))


def check(shop: Shop, **spec: Any) -> command.Checked:
    parsed = CommandJobSpec.model_validate({"command": "true", **spec})
    with shop.store.read() as connection:
        return command.check(connection, parsed)


def assign(shop: Shop, folder: Path, **spec: Any) -> dict[str, Any]:
    job = shop.submit(**spec)
    attempt = shop.begin(job)
    with shop.store.read() as connection:
        return command.build_assignment(connection, job, attempt, folder, FIXED)


def pointers(shop: Shop, **spec: Any) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        check(shop, **spec)
    return {problem.pointer: str(problem) for problem in caught.value.problems}


def test_every_unknown_thing_is_named_at_once(shop: Shop) -> None:
    shop.store.write(
        lambda c: assets.create_version(
            c, kind=AssetKind.DATA, name="digits", version=None, now=1, created_by="ann", type=AssetType.URI_FILE
        )
    )
    found = pointers(
        shop,
        command="echo ${{inputs.lrr}}",
        inputs={"lr": 1, "d": {"path": "azureml:digts:1"}, "v": {"path": "azureml:digits:7"}},
        code="tree:" + "0" * 64,
        environment="azureml:nowhere:1",
    )
    assert set(found) == {"/command", "/inputs/d/path", "/inputs/v/path", "/code", "/environment"}
    assert "digits" in found["/inputs/d/path"]
    assert "It has 1" in found["/inputs/v/path"]
    assert "inputs.lr" in found["/command"]


def test_unknown_compute_and_more_instances_are_remarked(shop: Shop) -> None:
    warnings = check(shop, compute="azureml:cpu-cluster", resources={"instance_count": 4}).warnings
    assert any("cpu-cluster" in warning for warning in warnings)
    assert any("instance_count" in warning for warning in warnings)
    assert check(shop, compute="local").warnings == ()


def test_registered_environment_is_what_its_definition_says(shop: Shop) -> None:
    definition = {"conda_file": {"dependencies": ["python=3.11"]}}
    shop.store.write(
        lambda c: assets.create_version(
            c, kind=AssetKind.ENVIRONMENT, name="env", version=None, now=1, created_by="ann", definition=definition
        )
    )
    environment = check(shop, environment="azureml:env@latest").environment
    assert environment == EnvironmentSpec(conda_file={"dependencies": ["python=3.11"]})
    assert check(shop, environment="azureml:AzureML-sklearn-1.0@latest").environment is None


def test_literals_are_rendered_by_their_type(shop: Shop, tmp_path: Path) -> None:
    made = assign(
        shop,
        tmp_path,
        command="run ${{inputs.a}} ${{inputs.b}} ${{inputs.c}} $[[--d ${{inputs.d}}]] ${{name}}",
        name="literal-job",
        inputs={
            "a": True,
            "b": {"type": "boolean", "value": "false"},
            "c": 0.001,
            "d": {"type": "string", "optional": True},
        },
    )
    assert made["command"] == "run True False 0.001  literal-job"
    assert made["environment"]["AZURE_ML_INPUT_a"] == "True"
    assert "AZURE_ML_INPUT_d" not in made["environment"]


def test_files_and_folders_have_fixed_places(shop: Shop, tmp_path: Path) -> None:
    file = put(shop, {"data.csv": b"1"}, is_file=True)
    folder = put(shop, {"a.txt": b"a", "sub/b.txt": b"b"})
    made = assign(
        shop,
        tmp_path,
        command="run ${{inputs.file}} ${{inputs.wide}} ${{inputs.folder}} ${{outputs.model}} ${{outputs.table}}",
        inputs={
            "file": {"type": "uri_file", "path": file},
            "wide": {"type": "uri_folder", "path": file},
            "folder": {"type": "uri_folder", "path": folder},
        },
        outputs={"model": None, "table": {"type": "uri_file"}},
        environment_variables={"MINE": "1", "AZUREML_RUN_ID": "mine"},
    )
    expected = [
        "inputs/file/data.csv",
        "inputs/wide",
        "inputs/folder",
        "named/model",
        "named/table/table",
    ]
    assert made["command"] == " ".join(["run", *(str(tmp_path / path) for path in expected)])
    assert made["inputs"]["file"]["is_file"]
    assert not made["inputs"]["wide"]["is_file"]
    assert [entry["path"] for entry in made["inputs"]["folder"]["entries"]] == ["a.txt", "sub/b.txt"]
    assert made["environment"]["MINE"] == "1"
    assert made["environment"]["AZURE_ML_OUTPUT_model"] == str(tmp_path / "named/model")


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("https://example.org/a/d.csv?sig=1", "d.csv"),
        ("https://example.org/..", "download"),
        ("https://example.org/", "download"),
        ("https://example.org/a%2f..%2fb", "download"),
    ],
)
def test_a_download_cannot_choose_its_place(shop: Shop, tmp_path: Path, url: str, file: str) -> None:
    made = assign(shop, tmp_path, inputs={"d": {"type": "uri_file", "path": url}})
    assert made["inputs"]["d"] == {"path": f"inputs/d/{file}", "url": url}


def test_direct_inputs_are_handed_over_as_they_are(shop: Shop, tmp_path: Path) -> None:
    inputs = {"d": {"path": "azureml://datastores/x/paths/y", "mode": "direct"}}
    made = assign(shop, tmp_path, command="run ${{inputs.d}}", inputs=inputs)
    assert made["command"] == "run azureml://datastores/x/paths/y"
    assert made["inputs"] == {}


def test_outputs_of_another_job_are_inputs_like_any_other(shop: Shop, tmp_path: Path) -> None:
    first = shop.submit(outputs={"model": None})
    digest, size = shop.blobs.put(b"m")
    left = {"model": [{"path": "m.bin", "digest": digest, "size": size}]}
    attempt = shop.begin(first)
    shop.reports.brought.note(attempt.attempt_id, digest)
    shop.reports.finish(attempt.attempt_id, {"exit_code": 0, "reason": "exited", "outputs": left})
    path = f"azureml://jobs/{first.name}/outputs/model"
    made = assign(shop, tmp_path, inputs={"m": {"path": path}})
    assert [entry["path"] for entry in made["inputs"]["m"]["entries"]] == ["m.bin"]
    assert "model" in pointers(shop, inputs={"m": {"path": path.replace("model", "modell")}})["/inputs/m/path"]
