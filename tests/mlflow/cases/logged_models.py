"""LoggedModels: creation, state, parameters, tags, artifacts, search."""

from __future__ import annotations

from typing import Any

from tests.mlflow.cases.base import API, FILES, Bench, case, cases


@case
def created_and_read_back(bench: Bench) -> Any:
    experiment = bench.experiment()
    run = bench.run(experiment)
    made = bench.client.create_logged_model(
        experiment, name="net", source_run_id=run, tags={"k": "v"}, params={"lr": "0.1"}, model_type="Agent"
    )
    return [made, bench.client.get_logged_model(made.model_id)]


@case
def created_without_anything(bench: Bench) -> Any:
    made = bench.client.create_logged_model(bench.experiment())
    return [made.status, made.source_run_id, made.tags, made.params, bool(made.name)]


@case
def created_raw(bench: Bench) -> Any:
    experiment = bench.experiment()
    return [
        bench.post("logged-models", {"experiment_id": experiment, "name": "net"}),
        bench.post("logged-models", {"name": "net"}),
        bench.post("logged-models", {"experiment_id": "987654", "name": "net"}),
        bench.post("logged-models", {"experiment_id": experiment, "name": "net", "source_run_id": "0" * 32})[0],
        bench.post("logged-models", {"experiment_id": experiment, "name": "net", "params": [{"key": "k"}]}),
        bench.post("logged-models", {"experiment_id": experiment, "name": "net", "tags": {"k": "v"}}),
    ]


@cases(["", "a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", "ä", " ", "x" * 500, "x" * 501, "a-b_c 1"])
def name(bench: Bench, name: str) -> Any:
    outcome = bench.ask(bench.client.create_logged_model, bench.experiment(), name=name)
    return (
        bool(outcome["info"]["name"] if "info" in outcome else outcome["name"])
        if isinstance(outcome, dict)
        else outcome
    )


@case
def finalized(bench: Bench) -> Any:
    made = bench.client.create_logged_model(bench.experiment(), name="net")
    before = bench.client.get_logged_model(made.model_id).status
    outcomes = [bench.client.finalize_logged_model(made.model_id, state).status for state in ("FAILED", "READY")]
    raw = [
        bench.send("PATCH", f"{API}/logged-models/{made.model_id}", {"model_id": made.model_id, **sent}).outcome
        for sent in ({"status": "LOGGED_MODEL_READY"}, {"status": 3}, {"status": "WRONG"}, {"status": 99}, {})
    ]
    return [before, outcomes, raw]


@case
def unknown(bench: Bench) -> Any:
    client, gone = bench.client, "m-" + "0" * 32
    path = f"{API}/logged-models/{gone}"
    return {
        "get": bench.ask(client.get_logged_model, gone),
        "finalize": bench.ask(client.finalize_logged_model, gone, "READY"),
        "delete": bench.ask(client.delete_logged_model, gone),
        "tags": bench.ask(client.set_logged_model_tags, gone, {"k": "v"}),
        "delete tag": bench.ask(client.delete_logged_model_tag, gone, "k"),
        "params": bench.ask(client.log_model_params, gone, {"k": "v"}),
        "artifacts": bench.send("GET", f"{path}/artifacts/directories").outcome,
        "odd id": bench.get("logged-models/x"),
    }


@case
def tags_and_params(bench: Bench) -> Any:
    client = bench.client
    made = client.create_logged_model(bench.experiment(), name="net", tags={"a": "1"}, params={"p": "1"}).model_id
    client.set_logged_model_tags(made, {"a": "2", "b": "3", "c": 4})
    client.delete_logged_model_tag(made, "b")
    again = bench.ask(client.delete_logged_model_tag, made, "b")
    outcomes = [bench.ask(client.log_model_params, made, given) for given in ({"q": "1"}, {"p": "1"}, {"p": "2"})]
    long = bench.ask(client.log_model_params, made, {"long": "x" * 7000})
    found = client.get_logged_model(made)
    return [found.tags, {key: len(value) for key, value in found.params.items()}, again, outcomes, long]


@cases({"tag key": ("k" * 251, "v"), "tag value": ("k", "v" * 8001), "odd key": ("a//b", "v"), "empty key": ("", "v")})
def tag_sent(bench: Bench, tag: tuple[str, str]) -> Any:
    made = bench.client.create_logged_model(bench.experiment(), name="net").model_id
    outcome = bench.ask(bench.client.set_logged_model_tags, made, dict([tag]))
    return [outcome, [[len(key), len(value)] for key, value in bench.client.get_logged_model(made).tags.items()]]


@case
def deleted(bench: Bench) -> Any:
    client, experiment = bench.client, bench.experiment()
    made = client.create_logged_model(experiment, name="net").model_id
    client.delete_logged_model(made)
    return [
        bench.ask(client.get_logged_model, made),
        bench.ask(client.delete_logged_model, made),
        len(client.search_logged_models([experiment])),
        bench.get(f"logged-models/{made}", allow_deleted="true")[0],
    ]


@case
def artifacts(bench: Bench) -> Any:
    client, experiment = bench.client, bench.experiment()
    made = client.create_logged_model(experiment, name="net")
    (bench.folder / "m" / "data").mkdir(parents=True)
    (bench.folder / "m" / "MLmodel").write_text("x: 1")
    (bench.folder / "m" / "data" / "weights").write_bytes(b"123")
    client.log_model_artifacts(made.model_id, str(bench.folder / "m"))
    client.log_model_artifact(made.model_id, str(bench.folder / "m" / "MLmodel"))
    listed = client.list_logged_model_artifacts(made.model_id)
    inner = client.list_logged_model_artifacts(made.model_id, "data")
    local = bench.mlflow.artifacts.download_artifacts(f"models:/{made.model_id}")
    root = made.artifact_location.removeprefix("mlflow-artifacts:/")
    return [
        listed,
        inner,
        bool(local),
        bench.send("GET", f"{FILES}/{root}/data/weights").body,
        bench.send("GET", f"{FILES}/{root}/../x").outcome,
        bench.get(f"logged-models/{made.model_id}/artifacts/directories"),
        bench.get(f"logged-models/{made.model_id}/artifacts/directories", artifact_directory_path="data"),
        bench.get(f"logged-models/{made.model_id}/artifacts/directories", artifact_directory_path="../x"),
    ]


def four(bench: Bench) -> list[str]:
    client, entities = bench.client, bench.mlflow.entities
    experiments = [bench.experiment(), bench.experiment()]
    for number, (name, params, tags, metrics) in enumerate(
        [
            ("a", {"lr": "0.1"}, {"team": "x"}, {"acc": 0.5}),
            ("b", {"lr": "0.2"}, {}, {"acc": float("nan")}),
            ("c", {}, {"team": "y"}, {"acc": 0.9}),
            ("a", {"lr": "0.1"}, {}, {}),
        ]
    ):
        experiment = experiments[number // 3]
        run = bench.run(experiment)
        made = client.create_logged_model(
            experiment, name=name, source_run_id=run, params=params, tags=tags, model_type="t"
        )
        if number:
            client.finalize_logged_model(made.model_id, "READY" if number % 2 else "FAILED")
        points = [entities.Metric(key, value, 1, 0, model_id=made.model_id) for key, value in metrics.items()]
        client.log_batch(run, metrics=points)
        if number == 2:
            client.log_metric(run, "acc", 0.1, step=1, model_id=made.model_id, dataset_name="d", dataset_digest="1")
        bench.tick()
    return experiments


def numbered(outcome: Any) -> Any:
    if not isinstance(outcome, dict):
        return outcome
    return [each["info"]["name"] if "info" in each else each["name"] for each in outcome["items"]]


@cases(
    [
        "name = 'a'",
        "name != 'a'",
        "name LIKE 'A%'",
        "name ILIKE 'A%'",
        "name IN ('a', 'b')",
        "name NOT IN ('a')",
        "attributes.name = 'a'",
        "attribute.name = 'a'",
        "params.lr = '0.1'",
        "params.lr != '0.1'",
        "params.lr LIKE '0.%'",
        "tags.team = 'x'",
        "tags.team IS NULL",
        "tags.`team` = 'x'",
        "metrics.acc > 0.4",
        "metrics.acc != 0.5",
        "metrics.acc < 0.4",
        "metrics.acc = 'x'",
        "status = 'READY'",
        "status = 'FAILED'",
        "attributes.status = 'PENDING'",
        "model_type = 't'",
        "source_run_id = 'x'",
        "model_id = 'x'",
        "creation_timestamp > 5",
        "creation_time > 5",
        "last_updated_timestamp < 5",
        "foo = 'x'",
        "name = 'a' AND params.lr = '0.1'",
        "name = 'a' OR name = 'b'",
        "(name = 'a')",
        "name = 5",
        "",
        " ",
        "name",
        "experiment_id = '0'",
    ]
)
def searched(bench: Bench, text: str) -> Any:
    return numbered(bench.ask(bench.client.search_logged_models, bench.once(four), filter_string=text))


@cases(
    {
        "none": None,
        "name": [{"field_name": "name", "ascending": True}],
        "name down": [{"field_name": "name", "ascending": False}],
        "created": [{"field_name": "creation_timestamp", "ascending": True}],
        "creation time": [{"field_name": "creation_time"}],
        "last updated": [{"field_name": "last_updated_timestamp", "ascending": False}],
        "metric": [{"field_name": "metrics.acc", "ascending": True}],
        "metric down": [{"field_name": "metrics.acc", "ascending": False}],
        "metric of a dataset": [{"field_name": "metrics.acc", "dataset_name": "d", "dataset_digest": "1"}],
        "param": [{"field_name": "params.lr"}],
        "unknown": [{"field_name": "foo"}],
        "dataset without metric": [{"field_name": "name", "dataset_name": "d"}],
    }
)
def ordered(bench: Bench, order: Any) -> Any:
    return numbered(bench.ask(bench.client.search_logged_models, bench.once(four), order_by=order))


@cases(
    {
        "dataset": [{"dataset_name": "d", "dataset_digest": "1"}],
        "dataset without digest": [{"dataset_name": "d"}],
        "unknown dataset": [{"dataset_name": "e"}],
    }
)
def searched_by_dataset(bench: Bench, datasets: Any) -> Any:
    found = bench.ask(
        bench.client.search_logged_models, bench.once(four), filter_string="metrics.acc > 0", datasets=datasets
    )
    return numbered(found)


@case
def pages(bench: Bench) -> Any:
    experiments = bench.once(four)
    seen: list[Any] = []
    token = None
    for _ in range(9):
        page = bench.client.search_logged_models(experiments, max_results=3, page_token=token)
        seen.append([each.name for each in page])
        token = page.token
        if not token:
            break
    wrong = [bench.ask(bench.client.search_logged_models, experiments, page_token=text) for text in ("x", "e30=")]
    most = [
        bench.post("logged-models/search", {"experiment_ids": experiments, "max_results": number})[0]
        for number in (0, -1, 50, 51, 1000)
    ]
    nothing = [bench.post("logged-models/search", {"experiment_ids": given})[0] for given in ([], None, ["987654"])]
    return [seen, wrong, most, nothing]


@case
def found_models_show_what_they_have(bench: Bench) -> Any:
    experiments = bench.once(four)
    return bench.client.search_logged_models(experiments[:1], filter_string="name = 'c'")[0].to_dictionary()
