"""Model versions: sources, stages, tags, search, deletion."""

from __future__ import annotations

from typing import Any

from tests.mlflow.cases.base import API, Bench, case, cases
from tests.mlflow.cases.registry import version


@case
def created_from_a_run(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    run = bench.run()
    client.log_text(run, "x", "model/MLmodel")
    made = client.create_model_version(
        model, f"runs:/{run}/model", run, tags={"k": "v"}, description="what it is", run_link="http://x/y"
    )
    return [made, client.get_model_version(model, "1"), client.get_model_version_download_uri(model, "1")]


@case
def created_from_a_logged_model(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    experiment = bench.experiment()
    logged = client.create_logged_model(experiment, name="net", params={"p": "1"}, source_run_id=bench.run(experiment))
    client.finalize_logged_model(logged.model_id, "READY")
    made = client.create_model_version(model, logged.artifact_location, model_id=logged.model_id)
    found = client.get_logged_model(logged.model_id)
    return [made, client.get_model_version_download_uri(model, made.version), found.tags]


@case
def created_raw(bench: Bench) -> Any:
    model = bench.model()
    return [
        bench.post("model-versions/create", {"name": model, "source": "s3://b/m"}),
        bench.get("model-versions/get", name=model, version="1"),
        bench.post("model-versions/create", {"name": model}),
        bench.post("model-versions/create", {"source": "s3://b/m"}),
        bench.post("model-versions/create", {"name": model, "source": ""}),
        bench.post("model-versions/create", {"name": model, "source": 5}),
    ]


@cases(
    [
        "s3://bucket/a",
        "gs://bucket/a",
        "http://host/a",
        "https://host/a",
        "file:///etc",
        "file://host/etc",
        "/etc",
        "etc",
        "./etc",
        "../etc",
        "s3://bucket/../a",
        "s3://bucket/%2e%2e/a",
        "s3://bucket/a/..%2f..%2fb",
        "mlflow-artifacts:/0/x/artifacts/m",
        "mlflow-artifacts:/../x",
        "mlflow-artifacts://host/x",
        "mlflow-artifacts:/0/%2e%2e/x",
        "runs:/0123456789abcdef0123456789abcdef/m",
        "models:/m-0123456789abcdef0123456789abcdef",
        "models:/none/1",
        "dbfs:/a",
        "s3://bucket/a#b",
        "s3://bucket/a?b=..",
        "",
        " ",
    ]
)
def source(bench: Bench, source: str) -> Any:
    model = bench.model()
    status, answer = bench.post("model-versions/create", {"name": model, "source": source})
    return [status, answer if status >= 400 else answer["model_version"]["source"]]


@case
def source_inside_a_run(bench: Bench) -> Any:
    model, run, other = bench.model(), bench.run(), bench.run()
    root = bench.client.get_run(run).info.artifact_uri

    def sent(**content: Any) -> Any:
        status, answer = bench.post("model-versions/create", {"name": model, **content})
        return [status, answer if status >= 400 else answer["model_version"]["source"]]

    return [
        sent(source=f"{root}/model"),
        sent(source=f"{root}/model", run_id=run),
        sent(source=f"{root}/model", run_id=other),
        sent(source=root, run_id=run),
        sent(source=f"{root}/../x", run_id=run),
        sent(source=f"{root}/%2e%2e/x", run_id=run),
        sent(source=f"{root}x/model", run_id=run),
        sent(source=f"runs:/{run}/model", run_id=other),
        sent(source="s3://b/m", run_id="0" * 32),
    ]


@case
def source_inside_a_logged_model(bench: Bench) -> Any:
    model, experiment = bench.model(), bench.experiment()
    logged = [bench.client.create_logged_model(experiment, name=f"m{number}") for number in range(2)]

    def sent(**content: Any) -> Any:
        status, answer = bench.post("model-versions/create", {"name": model, **content})
        return [status, answer if status >= 400 else answer["model_version"]["source"]]

    place = logged[0].artifact_location
    return [
        sent(source=place),
        sent(source=place, model_id=logged[0].model_id),
        sent(source=place, model_id=logged[1].model_id),
        sent(source=f"models:/{logged[0].model_id}", model_id=logged[0].model_id),
        sent(source=f"models:/{logged[0].model_id}"),
        sent(source="s3://b/m", model_id="m-" + "0" * 32),
    ]


@case
def numbers_are_not_used_again(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    made = [version(bench, model) for _ in range(3)]
    client.delete_model_version(model, "2")
    client.delete_model_version(model, "3")
    made.append(version(bench, model))
    return [
        made,
        bench.ask(client.delete_model_version, model, "2"),
        bench.ask(client.get_model_version, model, "2"),
        [each.version for each in client.search_model_versions(f"name = '{model}'")],
    ]


@case
def unknown(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    return {
        number: {
            "get": bench.ask(client.get_model_version, model, number),
            "delete": bench.ask(client.delete_model_version, model, number),
            "update": bench.ask(client.update_model_version, model, number, "x"),
            "stage": bench.ask(client.transition_model_version_stage, model, number, "Staging"),
            "set tag": bench.ask(client.set_model_version_tag, model, number, "k", "v"),
            "delete tag": bench.ask(client.delete_model_version_tag, model, number, "k"),
            "download": bench.ask(client.get_model_version_download_uri, model, number),
        }
        for number in ("1", "x", "0", "-1", "1.0", "")
    }


@case
def described(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    version(bench, model)
    updated = [client.update_model_version(model, "1", text) for text in ("one", "")]
    return [[each.description for each in updated], updated[0]]


@cases(["Staging", "Production", "Archived", "None", "staging", "PRODUCTION", "Wrong", ""])
def stage(bench: Bench, stage: str) -> Any:
    model = bench.model()
    version(bench, model)
    outcome = bench.ask(bench.client.transition_model_version_stage, model, "1", stage)
    return outcome["current_stage"] if isinstance(outcome, dict) else outcome


@case
def stage_archives_the_others(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    for number in ("1", "2", "3"):
        version(bench, model)
        client.transition_model_version_stage(model, number, "Production")

    def stages() -> list[str]:
        return [client.get_model_version(model, number).current_stage for number in ("1", "2", "3")]

    before = stages()
    client.transition_model_version_stage(model, "3", "Production", archive_existing_versions=True)
    wrong = bench.ask(client.transition_model_version_stage, model, "3", "None", archive_existing_versions=True)
    return [before, stages(), wrong, client.get_model_version_stages(model, "1")]


@case
def tags_by_version_and_by_stage(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    version(bench, model, tags={"a": "1"})
    client.set_model_version_tag(model, "1", "b", 2)
    client.set_model_version_tag(model, "1", "a", "new")
    client.transition_model_version_stage(model, "1", "Staging")
    by_stage = bench.ask(client.set_model_version_tag, model, key="c", value="3", stage="Staging")
    client.delete_model_version_tag(model, "1", "b")
    again = bench.ask(client.delete_model_version_tag, model, "1", "b")
    return [client.get_model_version(model, "1").tags, by_stage, again]


@cases(["", "../a", "a//b", "ä b", "a#b"])
def tag_key(bench: Bench, key: str) -> Any:
    model = bench.model()
    version(bench, model)
    return [
        bench.ask(bench.client.set_model_version_tag, model, "1", key, "v"),
        bench.ask(bench.client.set_registered_model_tag, model, key, "v"),
    ]


def five(bench: Bench) -> dict[str, str]:
    run = bench.run()
    first, second = bench.model("one"), bench.model("Two")
    bench.client.log_text(run, "x", "m/a")
    for model, options in (
        (first, {"tags": {"k": "1"}}),
        (first, {"run_id": run, "tags": {"k": "2"}}),
        (second, {"tags": {"t": "x"}}),
        (second, {}),
        (first, {}),
    ):
        version(bench, model, **options)
        bench.tick()
    bench.client.transition_model_version_stage(second, "2", "Staging")
    bench.client.set_registered_model_alias(first, "champion", "1")
    return {"{}": bench.name(""), "{run}": run}


@cases(
    {
        "name": "name = '{}one'",
        "name like": "name LIKE '{}%'",
        "name ilike": "name ILIKE '{}t%'",
        "name in": "name IN ('{}one', '{}Two')",
        "name not": "name != '{}one' AND name LIKE '{}%'",
        "run": "run_id = '{run}'",
        "run in": "run_id IN ('{run}')",
        "run in none": "run_id IN () AND name LIKE '{}%'",
        "run in two": "run_id IN ('{run}', 'x')",
        "run not": "run_id != '{run}' AND name LIKE '{}%'",
        "run like": "run_id LIKE '{run}'",
        "source": "source_path = 's3://bucket/model' AND name LIKE '{}%'",
        "source like": "source_path LIKE 's3%' AND name LIKE '{}%'",
        "version": "version_number = 2 AND name LIKE '{}%'",
        "version greater": "version_number > 1 AND name LIKE '{}%'",
        "version text": "version_number = '2' AND name LIKE '{}%'",
        "version in": "version_number IN (1) AND name LIKE '{}%'",
        "tag": "tags.k = '1' AND name LIKE '{}%'",
        "tag not": "tags.k != '1' AND name LIKE '{}%'",
        "tag like": "tags.t LIKE 'x%' AND name LIKE '{}%'",
        "tag null": "tags.k IS NULL AND name LIKE '{}%'",
        "tag not null": "tags.k IS NOT NULL AND name LIKE '{}%'",
        "stage": "current_stage = 'Staging'",
        "status": "status = 'READY'",
        "alias": "alias = 'champion'",
        "time": "creation_timestamp > 1 AND name LIKE '{}%'",
        "or": "name = 'a' OR name = 'b'",
        "parentheses": "(name = '{}one')",
        "attribute": "attribute.name = '{}one'",
        "unknown": "foo = 'x'",
        "number": "name = 5",
        "blank": " ",
        "double quotes": 'name = "{}one"',
    }
)
def searched(bench: Bench, text: str) -> Any:
    for placeholder, value in five(bench).items():
        text = text.replace(placeholder, value)
    outcome = bench.ask(bench.client.search_model_versions, text)
    if not isinstance(outcome, dict):
        return outcome
    prefix = bench.name("")
    return [f"{each['name']}:{each['version']}" for each in outcome["items"] if each["name"].startswith(prefix)]


@cases(
    {
        "none": [],
        "name": ["name"],
        "name and version": ["name ASC", "version_number DESC"],
        "version": ["version_number"],
        "created": ["creation_timestamp DESC"],
        "updated": ["last_updated_timestamp"],
        "stage": ["current_stage"],
        "wrong": ["foo"],
        "twice": ["name", "name DESC"],
        "sideways": ["name SIDEWAYS"],
        "empty": [""],
    }
)
def ordered(bench: Bench, order: list[str]) -> Any:
    five(bench)
    outcome = bench.ask(bench.client.search_model_versions, f"name LIKE '{bench.name('')}%'", order_by=order)
    if not isinstance(outcome, dict):
        return outcome
    found = [f"{each['name']}:{each['version']}" for each in outcome["items"]]
    return found if order != ["version_number"] else [text[-1] for text in found]


@cases({"0": 0, "-1": -1, "2": 2, "200000": 200_000, "200001": 200_001, "words": "x"})
def most_results(bench: Bench, most: Any) -> Any:
    five(bench)
    status, answer = bench.get("model-versions/search", filter=f"name LIKE '{bench.name('')}%'", max_results=most)
    return [status, answer if status >= 400 else len(answer.get("model_versions", []))]


@case
def pages(bench: Bench) -> Any:
    five(bench)
    seen: list[Any] = []
    token = None
    for _ in range(9):
        page = bench.client.search_model_versions(f"name LIKE '{bench.name('')}%'", 2, page_token=token)
        seen.append([f"{each.name}:{each.version}" for each in page])
        token = page.token
        if not token:
            break
    return [seen, [bench.ask(bench.client.search_model_versions, page_token=text) for text in ("x", "e30=")]]


@case
def found_versions_show_what_they_have(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    version(bench, model, tags={"k": "v"}, description="d")
    client.set_registered_model_alias(model, "champion", "1")
    return [client.search_model_versions(f"name = '{model}'"), client.get_model_version(model, "1").aliases]


@case
def copied_to_another_model(bench: Bench) -> Any:
    client, model = bench.client, bench.model("from")
    run = bench.run()
    client.log_text(run, "x", "m/MLmodel")
    client.create_model_version(model, f"runs:/{run}/m", run, tags={"k": "v"}, description="d")
    made = client.copy_model_version(f"models:/{model}/1", bench.name("to"))
    again = client.copy_model_version(f"models:/{model}/1", bench.name("to"))
    return [made, again.version, client.get_model_version_download_uri(bench.name("to"), "1")]


@cases(
    [
        ("POST", "create"),
        ("GET", "get"),
        ("PATCH", "update"),
        ("DELETE", "delete"),
        ("POST", "transition-stage"),
        ("POST", "set-tag"),
        ("DELETE", "delete-tag"),
        ("GET", "get-download-uri"),
        ("GET", "search"),
    ]
)
def empty_request(bench: Bench, asked: tuple[str, str]) -> Any:
    reply = bench.send(asked[0], f"{API}/model-versions/{asked[1]}", {})
    return reply.outcome if asked[1] != "search" else reply.status
