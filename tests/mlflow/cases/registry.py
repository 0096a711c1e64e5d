"""Registered models: names, tags, aliases, descriptions, search."""

from __future__ import annotations

from typing import Any

from tests.mlflow.cases.base import Bench, case, cases


def version(bench: Bench, model: str, **options: Any) -> str:
    """Create a version whose files lie outside the workspace."""
    return str(bench.client.create_model_version(model, "s3://bucket/model", **options).version)


@case
def created_and_read_back(bench: Bench) -> Any:
    made = bench.client.create_registered_model(bench.name("a"), tags={"k": "v", "n": 1}, description="what it is")
    return [made, bench.client.get_registered_model(bench.name("a"))]


@case
def created_raw(bench: Bench) -> Any:
    return [
        bench.post("registered-models/create", {"name": bench.name("a")}),
        bench.post("registered-models/create", {"name": bench.name("b"), "tags": [{"key": "k"}], "description": ""}),
        bench.get("registered-models/get", name=bench.name("a")),
    ]


@cases({"empty": "", "blank": " ", "number": 7, "null": None, "slash": "a/b", "colon": "a:b", "500": 500, "256": 256})
def name(bench: Bench, name: Any) -> Any:
    given = name
    if isinstance(name, str) and len(name) == 3:
        given = bench.name(name)
    elif name in (500, 256):
        given = bench.name("x" * (name - 11))
    status, answer = bench.post("registered-models/create", {"name": given})
    return [status, answer if status >= 400 else "made"]


@case
def name_is_taken(bench: Bench) -> Any:
    first, second = bench.model("a"), bench.model("b")
    return [
        bench.ask(bench.client.create_registered_model, first),
        bench.ask(bench.client.rename_registered_model, first, second),
        bench.ask(bench.client.rename_registered_model, first, first),
        bench.ask(bench.client.rename_registered_model, first, ""),
        bench.ask(bench.client.rename_registered_model, first, " "),
    ]


@case
def unknown(bench: Bench) -> Any:
    client, gone = bench.client, bench.name("gone")
    return {
        "get": bench.ask(client.get_registered_model, gone),
        "delete": bench.ask(client.delete_registered_model, gone),
        "rename": bench.ask(client.rename_registered_model, gone, bench.name("x")),
        "update": bench.ask(client.update_registered_model, gone, "x"),
        "set tag": bench.ask(client.set_registered_model_tag, gone, "k", "v"),
        "delete tag": bench.ask(client.delete_registered_model_tag, gone, "k"),
        "set alias": bench.ask(client.set_registered_model_alias, gone, "a", "1"),
        "delete alias": bench.ask(client.delete_registered_model_alias, gone, "a"),
        "by alias": bench.ask(client.get_model_version_by_alias, gone, "a"),
        "latest": bench.ask(client.get_latest_versions, gone),
        "version": bench.ask(client.get_model_version, gone, "1"),
        "create version": bench.ask(client.create_model_version, gone, "s3://b/m"),
        "search versions": bench.ask(client.search_model_versions, f"name = '{gone}'"),
        "download": bench.ask(client.get_model_version_download_uri, gone, "1"),
    }


@case
def renamed_with_all_it_has(bench: Bench) -> Any:
    client, model = bench.client, bench.model("old")
    version(bench, model, tags={"k": "v"})
    client.set_registered_model_alias(model, "champion", "1")
    client.set_registered_model_tag(model, "t", "1")
    renamed = client.rename_registered_model(model, bench.name("new"))
    return [
        renamed,
        bench.ask(client.get_registered_model, model),
        client.get_model_version_by_alias(bench.name("new"), "champion"),
        client.create_registered_model(model).name,
    ]


@case
def deleted_with_all_it_has(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    version(bench, model)
    client.set_registered_model_alias(model, "champion", "1")
    client.delete_registered_model(model)
    again = bench.ask(client.delete_registered_model, model)
    gone = bench.ask(client.get_model_version, model, "1")
    client.create_registered_model(model)
    return [again, gone, client.get_registered_model(model), version(bench, model)]


@case
def described(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    outcomes = [client.update_registered_model(model, text).description for text in ("one", "ü" * 5000, "")]
    raw = bench.send("PATCH", "/api/2.0/mlflow/registered-models/update", {"name": model}).outcome
    return [[len(text or "") for text in outcomes], raw]


@case
def tags_are_set_replaced_and_deleted(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    client.set_registered_model_tag(model, "a", "1")
    client.set_registered_model_tag(model, "a", "2")
    client.set_registered_model_tag(model, "b", "1")
    client.delete_registered_model_tag(model, "b")
    again = bench.ask(client.delete_registered_model_tag, model, "b")
    return [client.get_registered_model(model).tags, again]


@cases({"100000": (1, 100_000), "100001": (1, 100_001), "key 250": (250, 1), "key 251": (251, 1), "empty": (1, 0)})
def tag_of_size(bench: Bench, sizes: tuple[int, int]) -> Any:
    model, (key, value) = bench.model(), ("k" * sizes[0], "v" * sizes[1])
    version(bench, model)
    outcomes = [
        bench.ask(bench.client.set_registered_model_tag, model, key, value),
        bench.ask(bench.client.set_model_version_tag, model, "1", key, value),
    ]
    return [outcomes, [[len(k), len(v)] for k, v in bench.client.get_registered_model(model).tags.items()]]


@case
def alias_points_at_one_version(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    for _ in range(3):
        version(bench, model)
    client.set_registered_model_alias(model, "champion", "1")
    client.set_registered_model_alias(model, "champion", 2)
    client.set_registered_model_alias(model, "old", "2")
    found = client.get_model_version_by_alias(model, "champion")
    seen = [found.version, sorted(found.aliases), client.get_registered_model(model).aliases]
    client.delete_registered_model_alias(model, "champion")
    again = bench.ask(client.delete_registered_model_alias, model, "champion")
    gone = bench.ask(client.get_model_version_by_alias, model, "champion")
    client.delete_model_version(model, "2")
    return [seen, again, gone, client.get_registered_model(model).aliases]


@cases(
    [
        "latest",
        "LATEST",
        "v1",
        "v12",
        "V1",
        "v",
        "version",
        "a b",
        "a/b",
        "a:b",
        "ä",
        "",
        " ",
        "x" * 255,
        "x" * 256,
        "1",
        "a.b",
    ]
)
def alias(bench: Bench, alias: str) -> Any:
    model = bench.model()
    version(bench, model)
    return [
        bench.ask(bench.client.set_registered_model_alias, model, alias, "1"),
        bench.ask(bench.client.get_model_version_by_alias, model, alias) is not None,
    ]


@case
def alias_of_no_version(bench: Bench) -> Any:
    model = bench.model()
    version(bench, model)
    return [
        bench.ask(bench.client.set_registered_model_alias, model, "a", number) for number in ("2", "x", "0", "-1", "")
    ]


@case
def latest_versions(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    for _ in range(4):
        version(bench, model)
    for number, stage in (("1", "Production"), ("2", "Staging"), ("3", "Production")):
        client.transition_model_version_stage(model, number, stage)

    def latest(stages: list[str] | None = None) -> Any:
        outcome = bench.ask(client.get_latest_versions, model, stages)
        if outcome and isinstance(outcome[0], dict):
            return sorted([each["current_stage"], each["version"]] for each in outcome)
        return outcome

    return [latest(), latest(["Production"]), latest(["staging"]), latest(["None", "Archived"]), latest(["Wrong"])]


def four(bench: Bench) -> None:
    for name, tags in {"Abc": {"k": "1"}, "abd": {"k": "2", "t": "x"}, "b_e": {}, "bxe": {"k": "1", "t": "y"}}.items():
        bench.client.create_registered_model(bench.name(name), tags=tags)
        bench.tick()


@cases(
    {
        "equal": "name = '{}Abc'",
        "other case": "name = '{}abc'",
        "like": "name LIKE '{}b_e'",
        "ilike": "name ILIKE '{}AB%'",
        "like lower": "name LIKE '{}a%'",
        "not equal": "name != 'x' AND name LIKE '{}%'",
        "in": "name IN ('{}Abc', '{}abd')",
        "tag": "tags.k = '1' AND name LIKE '{}%'",
        "tag not": "tags.k != '1' AND name LIKE '{}%'",
        "tag like": "tags.t LIKE '_' AND name LIKE '{}%'",
        "two tags": "tags.k = '1' AND tags.t = 'y' AND name LIKE '{}%'",
        "tag spelt tag": "tag.k = '1' AND name LIKE '{}%'",
        "tag null": "tags.t IS NULL AND name LIKE '{}%'",
        "tag not null": "tags.t IS NOT NULL AND name LIKE '{}%'",
        "backticks": "tags.`k` = '1' AND name LIKE '{}%'",
        "or": "name = 'a' OR name = 'b'",
        "parentheses": "(name = 'a')",
        "number": "name = 5",
        "double quotes": 'name = "{}Abc"',
        "attribute": "attribute.name = '{}Abc'",
        "unknown": "foo = 'a'",
        "version": "version_number = 1",
        "greater": "name > 'a'",
        "words": "this is nothing",
        "blank": " ",
        "run": "run_id = 'x'",
        "time": "creation_timestamp > 5",
    }
)
def searched(bench: Bench, text: str) -> Any:
    four(bench)
    outcome = bench.ask(bench.client.search_registered_models, text.replace("{}", bench.name("")), 1000)
    mine = (
        [each for each in outcome["items"] if each["name"].startswith(bench.name(""))]
        if isinstance(outcome, dict)
        else []
    )
    return [each["name"] for each in mine] if isinstance(outcome, dict) else outcome


@cases(
    {
        "name": ["name"],
        "name down": ["name DESC"],
        "upper": ["NAME"],
        "time": ["timestamp"],
        "last updated": ["last_updated_timestamp DESC"],
        "created": ["creation_timestamp"],
        "version": ["version"],
        "twice": ["name", "name DESC"],
        "sideways": ["name SIDEWAYS"],
        "empty": [""],
        "tag": ["tags.k"],
    }
)
def ordered(bench: Bench, order: list[str]) -> Any:
    four(bench)
    mine = f"name LIKE '{bench.name('')}%'"
    outcome = bench.ask(bench.client.search_registered_models, mine, order_by=order)
    return [each["name"] for each in outcome["items"]] if isinstance(outcome, dict) else outcome


@cases({"0": 0, "-1": -1, "1": 1, "1000": 1000, "1001": 1001, "words": "x", "text": "3"})
def most_results(bench: Bench, most: Any) -> Any:
    four(bench)
    status, answer = bench.get("registered-models/search", filter=f"name LIKE '{bench.name('')}%'", max_results=most)
    return [status, answer if status >= 400 else len(answer.get("registered_models", []))]


@case
def pages(bench: Bench) -> Any:
    four(bench)
    seen: list[Any] = []
    token = None
    for _ in range(9):
        page = bench.client.search_registered_models(f"name LIKE '{bench.name('')}%'", 2, page_token=token)
        seen.append([each.name for each in page])
        token = page.token
        if not token:
            break
    wrong = [bench.ask(bench.client.search_registered_models, max_results=2, page_token=text) for text in ("x", "e30=")]
    return [seen, wrong]


@case
def found_models_show_what_they_have(bench: Bench) -> Any:
    client, model = bench.client, bench.model()
    version(bench, model)
    client.set_registered_model_alias(model, "champion", "1")
    client.set_registered_model_tag(model, "k", "v")
    return client.search_registered_models(f"name = '{model}'")


@cases(["create", "rename", "update", "delete", "get", "set-tag", "delete-tag", "alias", "get-latest-versions"])
def empty_request(bench: Bench, path: str) -> Any:
    method = {"update": "PATCH", "delete": "DELETE", "get": "GET", "delete-tag": "DELETE"}.get(path, "POST")
    return bench.send(method, f"/api/2.0/mlflow/registered-models/{path}", {}).outcome
