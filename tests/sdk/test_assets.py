from __future__ import annotations

from pathlib import Path

import pytest

from penstock import command
from penstock.entities.asset import EnvironmentSpec
from penstock.entities.errors import ConflictError, NotFoundError, SpecError


def test_local_folder_becomes_a_model_with_versions(ws, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"one")
    first = ws.models.create("shapes", tmp_path / "model", description="first", tags={"k": "v"})
    (tmp_path / "model" / "weights.bin").write_bytes(b"two")
    second = ws.models.create("shapes", tmp_path / "model")
    assert (first.version, second.version) == ("1", "2")
    assert ws.models.get("shapes").version == "2"
    assert ws.models.get("shapes", "@latest").version == "2"
    assert ws.models.get("shapes", 1).tags == {"k": "v"}
    assert [found.version for found in ws.models.list("shapes")] == ["2", "1"]
    assert "shapes" in {found.name for found in ws.models.list()}
    [written] = ws.models.download("shapes", tmp_path / "back", version=1)
    assert written.read_bytes() == b"one"


def test_model_from_a_job_knows_its_job(ws, tmp_path: Path) -> None:
    run = ws.jobs.submit(command(command="mkdir -p outputs/model; echo w > outputs/model/weights"))
    run.wait_for_completion(show_output=False)
    registered = run.register_model("fruits", "outputs/model", tags={"a": "b"})
    assert registered.job_name == run.name
    again = ws.models.create("fruits", f"runs:/{run.name}/outputs/model")
    assert (again.version, again.tree) == ("2", registered.tree)
    with pytest.raises(SpecError, match="nosuch"):
        ws.models.create("fruits", f"azureml://jobs/{run.name}/outputs/artifacts/paths/outputs/nosuch")


def test_versions_are_archived_restored_and_deleted(ws, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x")
    ws.data.create("words", tmp_path / "file.txt", version="spring")
    assert ws.data.get("words").type == "uri_file"
    with pytest.raises(ConflictError):
        ws.data.create("words", tmp_path / "file.txt", version="spring")
    assert ws.data.archive("words", "spring").is_archived
    assert not ws.data.restore("words", "spring").is_archived
    ws.data.delete("words", "spring")
    with pytest.raises(NotFoundError):
        ws.data.get("words", "spring")


def test_unknown_name_suggests_the_nearest(ws, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    ws.models.create("lighthouse", tmp_path / "f")
    with pytest.raises(NotFoundError) as caught:
        ws.models.get("lighthous")
    assert "lighthouse" in str(caught.value)


def test_environment_is_registered(ws) -> None:
    spec = EnvironmentSpec(name="plain", conda_file={"dependencies": ["python=3.11"]})
    assert ws.environments.create(spec).version == "1"
    assert ws.environments.get("plain").definition is not None


def test_model_is_marked_with_an_alias_and_described(ws, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    for _ in range(2):
        ws.models.create("tagged", tmp_path / "f", tags={"k": "v"})
    marked = ws.models.update("tagged", 1, aliases={"champion": True}, stage="Staging", tags={"k": None, "l": "w"})
    assert (marked.aliases, marked.stage, marked.tags) == (("champion",), "Staging", {"l": "w"})
    assert ws.models.get("tagged", "@champion").version == "1"
    assert ws.models.update("tagged", "@champion", description="the best").description == "the best"
    ws.models.update("tagged", 2, aliases={"champion": True})
    assert ws.models.get("tagged", "@champion").version == "2"
    with pytest.raises(SpecError, match="reserved"):
        ws.models.update("tagged", 1, aliases={"v1": True})
    ws.data.create("tagged", tmp_path / "f")
    assert ws.data.update("tagged", 1, tags={"a": "b"}).tags == {"a": "b"}
