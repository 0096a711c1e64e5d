"""The unmodified MLflow client against a real server over HTTP."""

from __future__ import annotations

import math

from tests.mlflow.conftest import Client
from tests.server.harness import House

from penstock.stores.metadata import runs


def test_fluent_run_from_start_to_artifacts(client: Client) -> None:
    result = client(
        """
        import pathlib
        mlflow.set_experiment("fluent")
        with mlflow.start_run(run_name="first", tags={"team": "digits"}) as run:
            mlflow.log_param("lr", 0.1)
            mlflow.log_params({"layers": 3, "größe": "ü" * 7000})
            for step in range(5):
                mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
            mlflow.log_metrics({"acc": 0.5, "auc": float("nan"), "top": float("inf")}, step=1)
            mlflow.set_tag("note", "x" * 9000)
            mlflow.set_tags({"a": 1, "b": 2})
            mlflow.log_text("hello", "notes/hello.txt")
            mlflow.log_dict({"a": 1}, "config.json")
            pathlib.Path("folder/sub").mkdir(parents=True)
            pathlib.Path("folder/sub/file ü.bin").write_bytes(os.urandom(3_000_000))
            pathlib.Path("folder/empty").touch()
            mlflow.log_artifacts("folder", "data")
        found = mlflow.get_run(run.info.run_id)
        history = client.get_metric_history(run.info.run_id, "loss")
        files = {f.path: f.file_size for f in client.list_artifacts(run.info.run_id, "data")}
        local = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="data")
        copies = [pathlib.Path(folder) / "sub/file ü.bin" for folder in (local, "folder")]
        result = {
            "info": [found.info.run_name, found.info.status, found.info.lifecycle_stage, found.info.artifact_uri],
            "params": found.data.params,
            "metrics": found.data.metrics,
            "tags": {k: v for k, v in found.data.tags.items()},
            "history": [[m.step, m.value] for m in history],
            "root": [[f.path, f.is_dir] for f in client.list_artifacts(run.info.run_id)],
            "files": files,
            "text": mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/hello.txt"),
            "dict": mlflow.artifacts.load_dict(f"{found.info.artifact_uri}/config.json"),
            "same": copies[0].read_bytes() == copies[1].read_bytes(),
            "ended": found.info.end_time >= found.info.start_time,
            "experiment": mlflow.get_experiment_by_name("fluent").experiment_id == found.info.experiment_id,
        }
        """
    )
    name, status, stage, uri = result["info"]
    assert (name, status, stage) == ("first", "FINISHED", "active")
    assert uri.startswith("mlflow-artifacts:/")
    assert result["params"] == {"lr": "0.1", "layers": "3", "größe": "ü" * 6000}
    metrics = result["metrics"]
    assert (metrics["loss"], metrics["acc"]) == (0.2, 0.5)
    assert math.isnan(metrics["auc"])
    assert metrics["top"] == 1.7976931348623157e308
    assert result["history"] == [[step, 1.0 / (step + 1)] for step in range(5)]
    assert (result["tags"]["team"], result["tags"]["a"], result["tags"]["mlflow.runName"]) == ("digits", "1", "first")
    assert len(result["tags"]["note"]) == 8000
    assert result["root"] == [["config.json", False], ["data", True], ["notes", True]]
    assert result["files"] == {"data/empty": None, "data/sub": None}
    assert (result["text"], result["dict"], result["same"]) == ("hello", {"a": 1}, True)
    assert result["ended"]
    assert result["experiment"]


def test_script_in_a_job_logs_to_the_jobs_own_run(house: House, client: Client) -> None:
    own = house.submit(name="script-job", experiment_name="scripts")
    foreign = house.submit(name="other-job", experiment_name="others")
    _, token = house.begin(own)
    with house.services.store.read() as connection:
        experiment_id = runs.get_run(connection, own.name).experiment_id
    result = client(
        """
        with mlflow.start_run() as run:
            mlflow.log_metric("acc", 0.75, step=1)
            mlflow.log_text("x", "a.txt")
            with mlflow.start_run(nested=True) as child:
                mlflow.log_param("p", 1)
        result = {
            "run": run.info.run_id,
            "parent": client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"],
            "foreign": [
                refused(client.log_metric, "other-job", "m", 1),
                refused(client.get_run, "other-job"),
                refused(client.create_run, "0"),
                refused(client.create_experiment, "mine"),
                refused(client.log_text, "other-job", "x", "a.txt"),
            ],
            "experiments": [e.name for e in client.search_experiments()],
        }
        """,
        token=token,
        MLFLOW_RUN_ID=own.name,
        MLFLOW_EXPERIMENT_ID=experiment_id,
    )
    assert (result["run"], result["parent"]) == (own.name, own.name)
    assert result["foreign"] == [["PERMISSION_DENIED", 403]] * 4 + [result["foreign"][4]]
    assert result["foreign"][4] is not None
    assert result["experiments"] == ["scripts"]
    assert house.ok("GET", f"/api/v1/jobs/{own.name}/metrics")["latest"] == {"acc": 0.75}
    items = house.ok("GET", f"/api/v1/runs/{own.name}/artifacts")["items"]
    assert [item["path"] for item in items] == ["a.txt"]
    assert house.ok("GET", f"/api/v1/runs/{foreign.name}/artifacts")["items"] == []
    assert house.services.jobs.get(own.name).status == "Starting"


def test_password_and_inputs_and_wrong_token(house: House, client: Client) -> None:
    code = """
        from mlflow.entities import Dataset, DatasetInput, InputTag
        run = client.create_run("0")
        data = Dataset("digits", "abc", "local", "{}", schema="{}")
        for _ in range(2):
            client.log_inputs(run.info.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])
        found = client.get_run(run.info.run_id)
        result = [
            [[i.dataset.name, i.dataset.digest, [t.value for t in i.tags]] for i in found.inputs.dataset_inputs],
            "penstock.inputs" in found.data.tags,
        ]
        """
    result = client(
        code,
        MLFLOW_TRACKING_TOKEN="",
        MLFLOW_TRACKING_USERNAME="anybody",
        MLFLOW_TRACKING_PASSWORD=house.token,
    )
    assert result == [[["digits", "abc", ["train"]]], False]
    assert client("result = refused(client.get_experiment, '0')", token="pst_wrong") == ["UNAUTHENTICATED", 401]
