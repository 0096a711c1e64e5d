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


def test_experiments_and_runs_live_and_are_deleted_as_in_mlflow(client: Client) -> None:
    result = client(
        """
        exp = client.create_experiment("life", tags={"k": "v"})
        client.set_experiment_tag(exp, "k2", "v2")
        run = client.create_run(exp, run_name="r")
        rid = run.info.run_id
        client.set_terminated(rid, "FAILED")
        client.update_run(rid, status="RUNNING", name="renamed")
        again = client.get_run(rid)
        client.set_tag(rid, "t", "1")
        client.delete_tag(rid, "t")
        runs = [client.create_run(exp).info.run_id for _ in range(5)]
        page = client.search_runs([exp], max_results=4)
        rest = client.search_runs([exp], max_results=4, page_token=page.token)
        result = {
            "tags": client.get_experiment(exp).tags,
            "taken": refused(client.create_experiment, "life"),
            "again": [again.info.status, again.info.run_name, again.info.end_time is not None],
            "tag twice": refused(client.delete_tag, rid, "t"),
            "param": [refused(client.log_param, rid, "p", value) for value in (1, 1, 2)],
            "pages": [len(page), len(rest), page.token is not None, rest.token],
            "all": sorted(r.info.run_id for r in [*page, *rest]) == sorted([rid, *runs]),
            "names": len({r.info.run_name for r in [*page, *rest]}),
            "unknown run": refused(client.get_run, "0" * 32),
            "unknown experiment": refused(client.get_experiment, "4711"),
            "history of unknown": client.get_metric_history("0" * 32, "m"),
            "filter": refused(client.search_runs, [exp], "metrics.a > 1"),
        }
        client.delete_run(rid); client.delete_run(rid)
        result["deleted"] = [client.get_run(rid).info.lifecycle_stage, refused(client.log_metric, rid, "m", 1)]
        result["active"] = len(client.search_runs([exp]))
        from mlflow.entities import ViewType
        result["gone"] = [r.info.run_id == rid for r in client.search_runs([exp], run_view_type=ViewType.DELETED_ONLY)]
        client.restore_run(rid); client.restore_run(rid)
        result["restored"] = client.get_run(rid).info.lifecycle_stage
        client.rename_experiment(exp, "life2")
        client.delete_experiment(exp)
        result["experiment"] = [
            client.get_experiment_by_name("life2").lifecycle_stage,
            refused(client.delete_experiment, exp),
            refused(client.create_run, exp),
            "life2" in [e.name for e in client.search_experiments()],
            "life2" in [e.name for e in client.search_experiments(view_type=ViewType.DELETED_ONLY)],
        ]
        client.restore_experiment(exp)
        stage = client.get_run(rid).info.lifecycle_stage
        result["restored experiment"] = [refused(client.restore_experiment, exp), stage]
        """
    )
    invalid, absent = ["INVALID_PARAMETER_VALUE", 400], ["RESOURCE_DOES_NOT_EXIST", 404]
    assert result["tags"] == {"k": "v", "k2": "v2"}
    assert result["taken"] == ["RESOURCE_ALREADY_EXISTS", 400]
    assert result["again"] == ["RUNNING", "renamed", True]
    assert result["tag twice"] == absent
    assert result["param"] == [None, None, invalid]
    assert result["pages"] == [4, 2, True, None]
    assert result["all"]
    assert result["names"] == 6
    assert (result["unknown run"], result["unknown experiment"]) == (absent, absent)
    assert result["history of unknown"] == []
    assert result["filter"] == ["NOT_IMPLEMENTED", 501]
    assert result["deleted"] == ["deleted", invalid]
    assert (result["active"], result["gone"], result["restored"]) == (5, [True], "active")
    assert result["experiment"] == ["deleted", absent, invalid, False, True]
    assert result["restored experiment"] == [absent, "active"]


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
