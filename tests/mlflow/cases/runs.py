"""Runs: creation, update, deletion, and everything about their state."""

from __future__ import annotations

from typing import Any

from tests.mlflow.cases.base import Bench, case, cases


@case
def created_and_read_back(bench: Bench) -> Any:
    experiment = bench.experiment()
    made = bench.client.create_run(experiment, start_time=5, tags={"a": "b", "mlflow.user": "ann"}, run_name="r")
    return [made, bench.client.get_run(made.info.run_id)]


@case
def created_without_anything(bench: Bench) -> Any:
    made = bench.client.create_run(bench.experiment())
    return [made.info.status, made.info.run_name, sorted(made.data.tags), made.info.end_time]


@case
def created_raw(bench: Bench) -> Any:
    experiment = bench.experiment()
    return [
        bench.post("runs/create", {"experiment_id": experiment, "run_name": "a", "start_time": 7, "user_id": "ann"}),
        bench.post("runs/create", {"experiment_id": experiment, "run_name": "a", "tags": [{"key": "k"}]}),
        bench.post("runs/create", {"experiment_id": experiment, "run_name": "a", "start_time": "7"}),
        bench.post("runs/create", {"experiment_id": experiment, "run_name": "a", "start_time": "x"}),
        bench.post("runs/create", {"experiment_id": experiment, "tags": {"k": "v"}}),
        bench.post("runs/create", {"experiment_id": int(experiment), "run_name": "a"}),
        bench.post("runs/create", {})[0] < 300,
    ]


@case
def name_and_name_tag(bench: Bench) -> Any:
    experiment, outcomes = bench.experiment(), []
    for name, tag in [("a", "a"), ("a", "b"), (None, "b"), ("", "b"), ("", None)]:
        tags = [{"key": "mlflow.runName", "value": tag}] if tag is not None else []
        sent = {"experiment_id": experiment, "tags": tags} | ({} if name is None else {"run_name": name})
        status, answer = bench.post("runs/create", sent)
        run = answer["run"] if status < 300 else None
        outcomes.append([status, (run and [run["info"]["run_name"], run["data"]["tags"]]) or answer])
    return outcomes


@case
def renamed(bench: Bench) -> Any:
    client, run = bench.client, bench.run(name="first")

    def names() -> list[Any]:
        found = client.get_run(run)
        return [found.info.run_name, found.data.tags.get("mlflow.runName")]

    seen = [names()]
    for change in (
        lambda: client.update_run(run, name="second"),
        lambda: client.set_tag(run, "mlflow.runName", "third"),
        lambda: client.log_batch(run, tags=[bench.mlflow.entities.RunTag("mlflow.runName", "fourth")]),
        lambda: client.update_run(run, name=""),
        lambda: client.delete_tag(run, "mlflow.runName"),
        lambda: client.update_run(run, name="fifth"),
        lambda: client.set_tag(run, "mlflow.runName", ""),
        lambda: client.update_run(run, status="FINISHED"),
    ):
        outcome = bench.ask(change)
        seen.append([outcome, names()])
    return seen


@case
def ended_and_resumed(bench: Bench) -> Any:
    client, run = bench.client, bench.run()
    seen = []
    for status in (None, "FAILED", "RUNNING", "KILLED", "SCHEDULED", "FINISHED"):
        if status is None:
            client.set_terminated(run)
        else:
            bench.ask(client.update_run, run, status=status)
        info = client.get_run(run).info
        seen.append([info.status, info.end_time is not None])
    client.set_terminated(run, "KILLED", end_time=9)
    info = client.get_run(run).info
    logged = bench.ask(client.log_metric, run, "m", 1)
    return [*seen, info.status, info.end_time, logged]


@cases({"number": 3, "word": "DONE", "empty": "", "lower": "finished", "big": 99, "null": None, "text": "3"})
def status_sent(bench: Bench, status: Any) -> Any:
    run = bench.run()
    code, answer = bench.post("runs/update", {"run_id": run, "status": status, "end_time": 9})
    info = bench.client.get_run(run).info
    return [code, answer, info.status, info.end_time]


@case
def updated_by_old_name_of_the_id(bench: Bench) -> Any:
    run = bench.run()
    return [
        bench.post("runs/update", {"run_uuid": run, "run_name": "x"}),
        bench.get("runs/get", run_uuid=run)[0],
        bench.post("runs/set-tag", {"run_uuid": run, "key": "k", "value": "v"}),
        bench.post("runs/log-metric", {"run_uuid": run, "key": "k", "value": 1, "timestamp": 1}),
        bench.post("runs/log-parameter", {"run_uuid": run, "key": "k", "value": "v"}),
        bench.get("metrics/get-history", run_uuid=run, metric_key="k"),
        bench.get("artifacts/list", run_uuid=run),
    ]


@case
def deleted_and_restored(bench: Bench) -> Any:
    client, run = bench.client, bench.run()
    entities = bench.mlflow.entities
    dataset = entities.DatasetInput(entities.Dataset("d", "1", "local", "{}"), [])
    client.delete_run(run)
    during = {
        "stage": client.get_run(run).info.lifecycle_stage,
        "again": bench.ask(client.delete_run, run),
        "metric": bench.ask(client.log_metric, run, "m", 1),
        "param": bench.ask(client.log_param, run, "p", 1),
        "tag": bench.ask(client.set_tag, run, "t", 1),
        "delete tag": bench.ask(client.delete_tag, run, "mlflow.runName"),
        "batch": bench.ask(client.log_batch, run, params=[entities.Param("a", "b")]),
        "update": bench.ask(client.update_run, run, status="FAILED"),
        "inputs": bench.ask(client.log_inputs, run, [dataset]),
        "text": bench.ask(client.log_text, run, "x", "a.txt"),
        "history": bench.ask(client.get_metric_history, run, "m"),
    }
    client.restore_run(run)
    return [during, bench.ask(client.restore_run, run), client.get_run(run).info.lifecycle_stage]


@case
def unknown(bench: Bench) -> Any:
    client, gone, entities = bench.client, "0" * 31 + "7", bench.mlflow.entities
    return {
        "get": bench.ask(client.get_run, gone),
        "delete": bench.ask(client.delete_run, gone),
        "restore": bench.ask(client.restore_run, gone),
        "update": bench.ask(client.update_run, gone, status="FAILED"),
        "metric": bench.ask(client.log_metric, gone, "m", 1),
        "param": bench.ask(client.log_param, gone, "p", 1),
        "tag": bench.ask(client.set_tag, gone, "t", 1),
        "delete tag": bench.ask(client.delete_tag, gone, "t"),
        "batch": bench.ask(client.log_batch, gone, params=[entities.Param("a", "b")]),
        "empty batch": bench.post("runs/log-batch", {"run_id": gone}),
        "inputs": bench.post("runs/log-inputs", {"run_id": gone, "datasets": []}),
        "outputs": bench.post("runs/outputs", {"run_id": gone, "models": []}),
        "history": bench.ask(client.get_metric_history, gone, "m"),
        "artifacts": bench.get("artifacts/list", run_id=gone),
    }


@cases(["", "x", "../x", "a" * 33, "A" * 32, "0" * 256, "a b", "run_1", "ä"])
def odd_id(bench: Bench, run: str) -> Any:
    return [
        bench.get("runs/get", run_id=run),
        bench.post("runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1}),
        bench.post("runs/log-batch", {"run_id": run}),
        bench.post("runs/delete", {"run_id": run}),
        bench.get("metrics/get-history", run_id=run, metric_key="m"),
    ]


@cases(
    [
        "runs/get",
        "runs/create",
        "runs/update",
        "runs/delete",
        "runs/restore",
        "runs/search",
        "runs/log-metric",
        "runs/log-parameter",
        "runs/set-tag",
        "runs/delete-tag",
        "runs/log-batch",
        "runs/log-inputs",
        "runs/outputs",
        "runs/log-model",
        "metrics/get-history",
        "metrics/get-history-bulk-interval",
        "artifacts/list",
    ]
)
def empty_request(bench: Bench, path: str) -> Any:
    reads = path.startswith(("metrics/", "artifacts/")) or path == "runs/get"
    # Both servers answer something for every field that lacks; runs/create makes a run in "Default" or refuses.
    outcome = bench.get(path) if reads else bench.post(path, {})
    return outcome[0] if path == "runs/create" else outcome


@case
def nested_and_fluent(bench: Bench) -> Any:
    mlflow = bench.mlflow
    mlflow.set_experiment(bench.name("fluent"))
    with mlflow.start_run(
        run_name="parent", description="what it is", tags={"team": "x"}, log_system_metrics=False
    ) as p:
        with mlflow.start_run(run_name="child", nested=True, log_system_metrics=False) as child:
            mlflow.log_param("p", [1, 2])
        parent = mlflow.get_parent_run(child.info.run_id).info.run_id
    try:
        with mlflow.start_run(run_name="failing", log_system_metrics=False) as failing:
            raise KeyError("mine")
    except KeyError:
        pass
    with mlflow.start_run(run_id=p.info.run_id, log_system_metrics=False):
        mlflow.log_metric("again", 1)
    found = [bench.client.get_run(each.info.run_id) for each in (p, child, failing)]
    shown = [[run.info.run_name, run.info.status, run.data.params, run.data.metrics] for run in found]
    tags = {key: value for key, value in found[0].data.tags.items() if not key.startswith("mlflow.source")}
    return [shown, tags, parent == p.info.run_id, mlflow.last_active_run().info.run_id == p.info.run_id]


@case
def fluent_search_as_frames(bench: Bench) -> Any:
    mlflow = bench.mlflow
    mlflow.set_experiment(bench.name("frames"))
    for number in range(3):
        with mlflow.start_run(run_name=f"r{number}", log_system_metrics=False):
            mlflow.log_metric("acc", number / 2)
    found = mlflow.search_runs(
        search_all_experiments=False,
        experiment_names=[bench.name("frames")],
        filter_string="metrics.acc > 0.2",
        order_by=["metrics.acc DESC"],
        output_format="list",
    )
    return [[run.info.run_name, run.data.metrics["acc"]] for run in found]


@case
def deleted_tag_of_the_user(bench: Bench) -> Any:
    run = bench.run(tags={"mlflow.user": "ann"})
    before = bench.client.get_run(run).info.user_id
    bench.client.set_tag(run, "mlflow.user", "bob")
    return [before, bench.client.get_run(run).info.user_id]
