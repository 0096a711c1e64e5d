"""Experiments: their lives, tags, names and search."""

from __future__ import annotations

from typing import Any

from tests.mlflow.cases.base import Bench, case, cases


@case
def created_with_tags_and_read_back(bench: Bench) -> Any:
    made = bench.experiment(tags={"k": "v", "größe": "ü", "empty": ""})
    return bench.client.get_experiment(made)


@case
def created_with_a_location_of_its_own(bench: Bench) -> Any:
    made = [
        bench.ask(bench.client.create_experiment, bench.name(str(number)), location)
        for number, location in enumerate(["s3://bucket/folder", "s3://bucket/x?y=1", "s3://bucket/a/../b"])
    ]
    return [bench.client.get_experiment(each) if isinstance(each, str) else each for each in made]


@case
def location_with_a_fragment_is_refused(bench: Bench) -> Any:
    return [
        bench.ask(bench.client.create_experiment, bench.name(str(number)), location)
        for number, location in enumerate(["s3://bucket/x#frag", "s3://b?x=../y", "http://x/%2e%2e/y"])
    ]


@case
def found_by_name(bench: Bench) -> Any:
    bench.experiment("a")
    return [bench.client.get_experiment_by_name(bench.name(name)) for name in ("a", "b")]


@case
def unknown(bench: Bench) -> Any:
    client, gone = bench.client, "987654321"
    return {
        "get": bench.ask(client.get_experiment, gone),
        "delete": bench.ask(client.delete_experiment, gone),
        "restore": bench.ask(client.restore_experiment, gone),
        "rename": bench.ask(client.rename_experiment, gone, bench.name("x")),
        "set tag": bench.ask(client.set_experiment_tag, gone, "k", "v"),
        "delete tag": bench.ask(client.delete_experiment_tag, gone, "k"),
        "create run": bench.ask(client.create_run, gone),
        "search runs": bench.ask(client.search_runs, [gone]),
        "words": bench.ask(client.get_experiment, "abc"),
        "empty": bench.get("experiments/get", experiment_id=""),
    }


@case
def name_is_taken(bench: Bench) -> Any:
    first = bench.experiment("a")
    bench.experiment("b")
    taken = bench.ask(bench.client.create_experiment, bench.name("a"))
    renamed = bench.ask(bench.client.rename_experiment, first, bench.name("b"))
    itself = bench.ask(bench.client.rename_experiment, first, bench.name("a"))
    bench.client.delete_experiment(first)
    return [taken, renamed, itself, bench.ask(bench.client.create_experiment, bench.name("a"))]


@cases({"empty": "", "number": 7, "500": "x" * 500, "501": "x" * 501, "slash": "/a", "null": None})
def name(bench: Bench, name: Any) -> Any:
    given = (bench.name("") + name)[: max(len(name), 12)] if isinstance(name, str) and name else name
    status, answer = bench.post("experiments/create", {"name": given})
    return [status, answer if status >= 400 else "made"]


@case
def renamed(bench: Bench) -> Any:
    made = bench.experiment("a")
    bench.client.rename_experiment(made, bench.name("b"))
    outcomes = bench.ask(bench.client.rename_experiment, made, "")
    missing = bench.post("experiments/update", {"experiment_id": made})
    bench.client.delete_experiment(made)
    deleted = bench.ask(bench.client.rename_experiment, made, bench.name("c"))
    return [outcomes, missing, deleted, bench.client.get_experiment(made).name]


@case
def deleted_and_restored(bench: Bench) -> Any:
    client, made = bench.client, bench.experiment("a")
    run, gone = bench.run(made), bench.run(made)
    client.delete_run(gone)
    client.delete_experiment(made)
    during = {
        "stage": client.get_experiment(made).lifecycle_stage,
        "by name": client.get_experiment_by_name(bench.name("a")).lifecycle_stage,
        "runs": [client.get_run(each).info.lifecycle_stage for each in (run, gone)],
        "again": bench.ask(client.delete_experiment, made),
        "create run": bench.ask(client.create_run, made),
        "tag": bench.ask(client.set_experiment_tag, made, "k", "v"),
        "log": bench.ask(client.log_metric, run, "m", 1),
        "search": bench.ask(client.search_runs, [made]),
    }
    client.restore_experiment(made)
    after = {
        "again": bench.ask(client.restore_experiment, made),
        "runs": [client.get_run(each).info.lifecycle_stage for each in (run, gone)],
        "log": bench.ask(client.log_metric, run, "m", 1),
    }
    return [during, after]


@case
def default_experiment(bench: Bench) -> Any:
    found = bench.client.get_experiment("0")
    return [found.name, found.lifecycle_stage, bench.client.get_experiment_by_name("Default").experiment_id]


@case
def tags_are_set_replaced_and_deleted(bench: Bench) -> Any:
    client, made = bench.client, bench.experiment(tags={"a": "1", "b": "2"})
    client.set_experiment_tag(made, "a", "new")
    client.set_experiment_tag(made, "c", 3)
    client.delete_experiment_tag(made, "b")
    return [client.get_experiment(made).tags, bench.ask(client.delete_experiment_tag, made, "b")]


@cases({"20000": (1, 20000), "20001": (1, 20001), "key 250": (250, 1), "key 251": (251, 1), "empty value": (1, 0)})
def tag_of_size(bench: Bench, sizes: tuple[int, int]) -> Any:
    made, (key, value) = bench.experiment(), ("k" * sizes[0], "v" * sizes[1])
    outcome = bench.ask(bench.client.set_experiment_tag, made, key, value)
    return [outcome, {name: len(text) for name, text in bench.client.get_experiment(made).tags.items()}]


@cases(["", " ", "../a", "a//b", "/a", "a#b", "ä:b c/d.e-f_"])
def tag_key(bench: Bench, key: str) -> Any:
    return bench.ask(bench.client.set_experiment_tag, bench.experiment(), key, "v")


def three(bench: Bench) -> None:
    for name, tags in {"abc": {"k": "1", "t": "x"}, "ABD": {"k": "2"}, "b_e": {"k": "3", "T": "x"}}.items():
        bench.tick()
        bench.experiment(name, tags=tags)
    bench.client.delete_experiment(bench.experiment("deleted", tags={"k": "1"}))


def names_found(bench: Bench, filter_string: str, **options: Any) -> Any:
    """Return what a search finds among this bench's own experiments, in order."""
    mine = f"name LIKE '{bench.name('')}%'"
    whole = f"{mine} AND {filter_string}" if filter_string else mine
    outcome = bench.ask(bench.client.search_experiments, filter_string=whole, **options)
    return [item["name"] for item in outcome["items"]] if isinstance(outcome, dict) else outcome


@cases(
    [
        "",
        "name LIKE '%ab%'",
        "name ILIKE '%ab%'",
        "name LIKE '%b_e'",
        "attribute.name LIKE '%c'",
        "attr.name LIKE '%c'",
        "name IN ('x')",
        "name != 'x'",
        "name > 'a'",
        "tags.k = '1'",
        "tag.k = '1'",
        "tags.k != '1'",
        "tags.`k` LIKE '_'",
        "tags.\"k\" ILIKE '%'",
        "tags.t = 'x'",
        "tags.T IS NULL",
        "tags.T IS NOT NULL",
        "tags.k IN ('1')",
        "creation_time > 0",
        "creation_time < 5",
        "creation_time >= '5'",
        "last_update_time > 1000",
        "last_update_time LIKE '5'",
        "experiment_id = '0'",
        "experiment_id IN ('0')",
        "lifecycle_stage = 'active'",
        "metrics.a > 1",
        "foo = 'x'",
        "tags.k = 1",
        "name = 'x' OR name = 'y'",
        "NOT name = 'x'",
        "(name = 'x')",
        "name",
        "name = ",
        "name == 'x'",
    ]
)
def searched(bench: Bench, filter_string: str) -> Any:
    three(bench)
    return names_found(bench, filter_string)


@cases(
    {
        "name": ["name"],
        "name down": ["name DESC"],
        "name up": ["name ASC"],
        "creation": ["creation_time"],
        "last update down": ["last_update_time DESC", "name"],
        "id": ["experiment_id"],
        "id down": ["experiment_id desc"],
        "tag": ["tags.k"],
        "attribute": ["attribute.name"],
        "unknown": ["foo"],
        "twice": ["name", "name DESC"],
        "sideways": ["name SIDEWAYS"],
        "empty": [""],
        "none": [],
    }
)
def ordered(bench: Bench, order: list[str]) -> Any:
    three(bench)
    return names_found(bench, "", order_by=order)


@cases(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"])
def viewed(bench: Bench, view: str) -> Any:
    three(bench)
    return names_found(bench, "", view_type=getattr(bench.mlflow.entities.ViewType, view), order_by=["name"])


@case
def pages(bench: Bench) -> Any:
    for number in range(5):
        bench.experiment(str(number))
    seen, token = [], None
    for _ in range(9):
        page = bench.client.search_experiments(
            filter_string=f"name LIKE '{bench.name('')}%'", order_by=["name"], max_results=2, page_token=token
        )
        seen.append([each.name for each in page])
        token = page.token
        if not token:
            break
    exact = bench.client.search_experiments(filter_string=f"name LIKE '{bench.name('')}%'", max_results=5)
    return [seen, bool(exact.token)]


@cases({"0": 0, "-1": -1, "50000": 50000, "50001": 50001, "text": "5", "none": None, "words": "x", "float": 1.5})
def most_results(bench: Bench, most: Any) -> Any:
    sent = {"filter": f"name = '{bench.name('x')}'"} | ({} if most is None else {"max_results": most})
    return bench.post("experiments/search", sent)


@case
def bad_page_token(bench: Bench) -> Any:
    tokens = ["x", "!!", "eyJvZmZzZXQiOiAwfQ==", "e30=", "eyJvZmZzZXQiOiAiYSJ9"]
    outcomes = [
        bench.post("experiments/search", {"max_results": 1, "page_token": token, "filter": "name = 'none'"})
        for token in tokens
    ]
    return outcomes


@case
def searched_with_get(bench: Bench) -> Any:
    bench.experiment("a")
    found = bench.get("experiments/search", max_results=5, filter=f"name = '{bench.name('a')}'")
    return [found[0], [each["name"] for each in found[1].get("experiments", [])]]
