"""Searching runs: orderings, pages, views, and the traps of the filter grammar."""

from __future__ import annotations

from typing import Any

from tests.mlflow.cases.base import Bench, case, cases

NAN, INF = float("nan"), float("inf")


def populate(bench: Bench) -> str:
    """Make eight runs with odd values and return their experiment; `filters.py` describes them to hypothesis."""
    entities, experiment = bench.mlflow.entities, bench.experiment()
    for number, (metrics, params, tags) in enumerate(RUNS):
        run = bench.run(experiment, name=f"run {number}", start_time=1000 + number // 2 * 10)
        bench.client.log_batch(
            run,
            metrics=[entities.Metric(key, value, 1, 0) for key, value in metrics.items()],
            params=[entities.Param(key, value) for key, value in params.items()],
            tags=[entities.RunTag(key, value) for key, value in tags.items()],
        )
        if number < 4:
            bench.client.set_terminated(run, "FINISHED" if number % 2 else "FAILED", end_time=5000 - number)
    return experiment


RUNS: list[tuple[dict[str, float], dict[str, str], dict[str, str]]] = [
    ({"acc": 0.5, "a b": 1.0}, {"lr": "0.1", "model": "net"}, {"team": "x", "dotted.key": "1"}),
    ({"acc": 0.5}, {"lr": "0.01", "model": "Net"}, {"team": "X"}),
    ({"acc": NAN}, {"lr": "1e-3"}, {"team": ""}),
    ({"acc": INF}, {"model": "a%b"}, {}),
    ({"acc": -INF, "loss": 3.0}, {"lr": ""}, {"note": "it's"}),
    ({"loss": NAN}, {}, {"team": "y", "note": 'say "hi"'}),
    ({"acc": 0.0, "loss": 3.0}, {"lr": "0.1"}, {"team": "x_y"}),
    ({}, {"lr": "10", "größe": "ü"}, {"note": "x%y"}),
]


def found(bench: Bench, filter_string: str = "", order: list[str] | None = None, **options: Any) -> Any:
    experiment = bench.once(populate)
    outcome = bench.ask(bench.client.search_runs, [experiment], filter_string, order_by=order, **options)
    return [item["info"]["run_name"][4:] for item in outcome["items"]] if isinstance(outcome, dict) else outcome


@cases(
    [
        "metrics.acc > 0",
        "metrics.acc >= 0.5",
        "metrics.acc != 0.5",
        "metrics.acc = 0.5",
        "metrics.acc == 0.5",
        "metrics.acc <> 0.5",
        "metric.acc < 1e10",
        "metrics.acc > -1.5",
        "metrics.acc > +0.5",
        "metrics.acc > .5",
        "metrics.acc > 5.",
        "metrics.acc > 1_0",
        "metrics.acc > 0x1",
        "metrics.acc > 1e-3",
        "metrics.acc > NaN",
        "metrics.acc = nan",
        "metrics.acc > inf",
        "metrics.acc > '0.5'",
        "metrics.acc > 1e308",
        "metrics.acc > 1e999",
        "metrics.acc LIKE '%'",
        "metrics.acc IS NULL",
        "metrics.acc IN (1)",
        "metrics.`a b` = 1",
        'metrics."a b" = 1',
        "metrics.'a b' = 1",
        "metrics.a b = 1",
        "metrics.none > 0",
        "metrics.none != 0",
        "metrics.ACC > 0",
        "Metrics.acc > 0",
        "params.lr = '0.1'",
        "param.lr = '0.1'",
        "parameter.lr = '0.1'",
        "parameters.lr = '0.1'",
        "params.lr != '0.1'",
        "params.lr = ''",
        "params.lr > '0'",
        "params.lr = 0.1",
        'params.lr = "0.1"',
        "params.lr LIKE '0.%'",
        "params.model LIKE 'N%'",
        "params.model ILIKE 'N%'",
        "params.model like 'n_t'",
        "params.model LIKE 'a\\%b'",
        "params.model IN ('net', 'Net')",
        "params.model IS NULL",
        "params.model IS NOT NULL",
        "params.model is not null",
        "params.größe = 'ü'",
        "params.`größe` = 'ü'",
        "tags.team = 'x'",
        "tag.team = 'x'",
        "tags.team != 'x'",
        "tags.team = ''",
        "tags.team LIKE 'x_y'",
        "tags.team ILIKE 'X%'",
        "tags.team IS NULL",
        "tags.team IS NOT NULL",
        "tags.dotted.key = '1'",
        "tags.`dotted.key` = '1'",
        "tags.note = 'it''s'",
        'tags.note = "it\'s"',
        "tags.note = 'say \"hi\"'",
        "tags.note LIKE '%\"%'",
        "tags.note = 'x%y'",
        "tags.team NOT LIKE 'x'",
        "tags.mlflow.runName = 'run 1'",
        "tags.`mlflow.runName` LIKE 'run%'",
        "attributes.run_name = 'run 1'",
        "attribute.run_name = 'run 1'",
        "attr.run_name = 'run 1'",
        "run.run_name = 'run 1'",
        "run_name = 'run 1'",
        "run_name LIKE '%1'",
        "run_name ILIKE 'RUN%'",
        "run_name != 'run 1'",
        "run_name IN ('run 1', 'run 2')",
        "run_name IS NULL",
        "attributes.`run name` = 'run 1'",
        "attributes.\"run name\" = 'run 1'",
        "attributes.`Run name` = 'run 1'",
        "attributes.name = 'run 1'",
        "status = 'FINISHED'",
        "status = 'finished'",
        "status != 'RUNNING'",
        "status LIKE 'F%'",
        "status IN ('FAILED')",
        "attributes.status > 'A'",
        "start_time > 1010",
        "start_time = 1010",
        "start_time >= '1010'",
        "start_time LIKE '1'",
        "created > 1010",
        "attributes.created > 1010",
        "attributes.Created > 1010",
        "end_time > 4998",
        "end_time != 5000",
        "end_time IS NULL",
        "run_id = 'x'",
        "run_id IN ('x', 'y')",
        "run_id NOT IN ('x', 'y')",
        "run_id IN ()",
        "run_id IN ('x',)",
        "run_id IN ('x' 'y')",
        "run_id IN (1)",
        "run_id IN 'x'",
        "run_id LIKE '%'",
        "run_id != 'x'",
        "user_id = 'unknown'",
        "artifact_uri LIKE 'mlflow%'",
        "lifecycle_stage = 'active'",
        "experiment_id = '0'",
        "attributes.foo = 'x'",
        "foo.bar = 'x'",
        "dataset.name = 'd'",
        "datasets.name = 'd'",
        "dataset.name IN ('d')",
        "dataset.name LIKE 'd'",
        "dataset.context = 'train'",
        "dataset.foo = 'x'",
        "metrics.acc > 0 AND params.lr = '0.1'",
        "metrics.acc > 0 and params.lr = '0.1' AND tags.team = 'x'",
        "metrics.acc > 0 AND metrics.acc < 0.7 AND metrics.acc != 0.6",
        "metrics.acc > 0 AND",
        "AND metrics.acc > 0",
        "metrics.acc > 0 params.lr = '0.1'",
        "metrics.acc > 0 OR params.lr = '0.1'",
        "NOT metrics.acc > 0",
        "(metrics.acc > 0)",
        "metrics.acc > 0;",
        "metrics.acc > 0; metrics.acc > 1",
        "metrics.acc > 0 -- comment",
        "0 < metrics.acc",
        "metrics.acc > metrics.loss",
        "metrics.acc BETWEEN 0 AND 1",
        "metrics > 0",
        "metrics. > 0",
        ".acc > 0",
        "acc > 0",
        "metrics.acc",
        "metrics.acc >",
        "metrics.acc ! = 1",
        "metrics.acc>0.4",
        "  metrics.acc   >   0.4  ",
        "metrics.acc\n>\n0.4",
        "params.lr='0.1'",
        "params.`lr = '0.1'",
        "params.lr = '0.1",
        "params.lr = `0.1`",
        "params.lr = lr",
        " ",
        "",
        "true",
        "1 = 1",
        "tags.team = 'AND'",
        "tags.team = 'x AND y'",
        "tags.and = 'x'",
        "params.select = 'x'",
        "params.order = 'x'",
        "params.in = 'x'",
        "tags.like = 'x'",
        "metrics.from > 1",
        "metrics.a/b > 1",
        "metrics.a-b > 1",
        "metrics.`a/b` > 1",
        "metrics.1 > 1",
        "metrics.1a > 1",
        "tags.a.b.c = 'x'",
    ]
)
def filtered(bench: Bench, filter_string: str) -> Any:
    return found(bench, filter_string, ["attributes.run_name"])


@cases(
    {
        "nothing": [],
        "metric": ["metrics.acc"],
        "metric down": ["metrics.acc DESC"],
        "metric up": ["metrics.acc ASC"],
        "lower asc": ["metrics.acc asc"],
        "metric with ties": ["metrics.loss"],
        "metric with ties down": ["metrics.loss DESC"],
        "quoted": ["metrics.`a b` DESC"],
        "double quoted": ['metrics."a b" DESC'],
        "unknown metric": ["metrics.none"],
        "param": ["params.lr"],
        "param down": ["params.lr DESC"],
        "param of letters": ["params.model"],
        "tag": ["tags.team"],
        "tag down": ["tags.team DESC"],
        "two": ["metrics.loss DESC", "params.lr"],
        "three": ["params.model", "tags.team DESC", "metrics.acc"],
        "start time": ["attributes.start_time"],
        "start time down": ["start_time DESC"],
        "start time up and name": ["attributes.start_time ASC", "attributes.run_name DESC"],
        "end time": ["attributes.end_time", "run_name"],
        "end time down": ["end_time DESC", "run_name"],
        "status": ["attributes.status", "attributes.run_name"],
        "name": ["attributes.run_name"],
        "name down": ["run_name DESC"],
        "Run name": ["attributes.`Run name`"],
        "created": ["attributes.created"],
        "Created": ["attributes.Created DESC"],
        "duration": ["attributes.duration"],
        "user": ["attributes.user_id", "run_name"],
        "lifecycle": ["attributes.lifecycle_stage"],
        "experiment": ["attributes.experiment_id"],
        "twice": ["metrics.acc", "metrics.acc DESC"],
        "twice otherwise spelt": ["metric.acc", "metrics.acc DESC"],
        "sideways": ["metrics.acc SIDEWAYS"],
        "two words": ["metrics.acc DESC ASC"],
        "empty": [""],
        "blank": [" "],
        "bare word": ["foo"],
        "dataset": ["dataset.name"],
        "comma": ["metrics.acc, metrics.loss"],
        "no key": ["metrics."],
        "only kind": ["metrics"],
        "unclosed": ["metrics.`acc"],
        "spaces": ["  metrics.acc   DESC  "],
        "key with desc": ["metrics.desc"],
        "nulls last": ["metrics.acc DESC NULLS LAST"],
    }
)
def ordered(bench: Bench, order: list[str]) -> Any:
    # Equal keys go by start time downwards, then by the run's id, which is random: pairs are sorted here.
    outcome = found(bench, "", order)
    return outcome if len(outcome) < 8 else pairs_sorted(outcome)


def pairs_sorted(numbers: list[str]) -> list[Any]:
    """Sort neighbours that started at one time, which no order key told apart."""
    seen: list[list[str]] = []
    for number in numbers:
        if seen and int(seen[-1][-1]) // 2 == int(number) // 2:
            seen[-1] = sorted([*seen[-1], number])
        else:
            seen.append([number])
    return seen


@cases(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"])
def viewed(bench: Bench, view: str) -> Any:
    experiment = bench.experiment()
    kept, gone = bench.run(experiment, "kept"), bench.run(experiment, "gone")
    bench.client.delete_run(gone)
    kind = getattr(bench.mlflow.entities.ViewType, view)
    names = [run.info.run_name for run in bench.client.search_runs([experiment], run_view_type=kind)]
    return [sorted(names), kept != gone]


@case
def several_experiments(bench: Bench) -> Any:
    experiments = [bench.experiment() for _ in range(3)]
    for number, experiment in enumerate(experiments):
        bench.client.log_metric(bench.run(experiment, f"run {number}"), "m", number)
    bench.client.delete_experiment(experiments[2])
    both = bench.client.search_runs(experiments, order_by=["metrics.m DESC"])
    return [
        [run.info.run_name for run in both],
        [len(bench.client.search_runs(given)) for given in ([experiments[0]], [], ["987654"])],
        [bench.ask(bench.client.search_runs, experiment_ids=given) for given in (["abc"], [""])],
    ]


@cases({"nan ties": "metrics.loss", "missing": "metrics.acc DESC", "param": "params.lr", "name": "run_name DESC"})
def pages_in_order(bench: Bench, key: str) -> Any:
    experiment = bench.once(populate)
    whole = [run.info.run_id for run in bench.client.search_runs([experiment], order_by=[key])]
    for size in (1, 3, 8):
        seen: list[str] = []
        token, sizes = None, list[int]()
        while len(sizes) < 20:
            page = bench.client.search_runs([experiment], order_by=[key], max_results=size, page_token=token)
            seen += [run.info.run_id for run in page]
            sizes.append(len(page))
            token = page.token
            if not token:
                break
        assert seen == whole, (size, seen, whole)
    return sizes


@cases(
    {"0": 0, "-1": -1, "1": 1, "50000": 50000, "50001": 50001, "text": "2", "words": "x", "float": 1.5, "null": None}
)
def most_results(bench: Bench, most: Any) -> Any:
    experiment = bench.once(populate)
    status, answer = bench.post("runs/search", {"experiment_ids": [experiment], "max_results": most})
    return [status, answer if status >= 400 else len(answer["runs"])]


@cases(
    ["x", "!!", "eyJvZmZzZXQiOiAwfQ==", "e30=", "eyJvZmZzZXQiOiAiYSJ9", "eyJvZmZzZXQiOiAtMX0=", "eyJvZmZzZXQiOiA5OX0="]
)
def page_token(bench: Bench, token: str) -> Any:
    experiment = bench.once(populate)
    status, answer = bench.post("runs/search", {"experiment_ids": [experiment], "page_token": token})
    return [status, answer if status >= 400 else len(answer.get("runs", []))]


@cases(
    {
        "ids as text": {"experiment_ids": "1"},
        "ids as numbers": {"experiment_ids": [987654321]},
        "filter as number": {"filter": 5},
        "order as text": {"order_by": "metrics.acc"},
        "view as number": {"run_view_type": 2},
        "view as text": {"run_view_type": "3"},
        "view unknown": {"run_view_type": "SOME"},
        "view beyond": {"run_view_type": 9},
        "unknown member": {"colour": "red"},
        "token null": {"page_token": None},
        "token empty": {"page_token": ""},
    }
)
def sent_raw(bench: Bench, content: dict[str, Any]) -> Any:
    experiment = bench.once(populate)
    status, answer = bench.post("runs/search", {"experiment_ids": [experiment], **content})
    return [status, answer if status >= 400 else len(answer.get("runs", []))]


@case
def datasets_of_runs(bench: Bench) -> Any:
    entities, experiment = bench.mlflow.entities, bench.experiment()
    for number, (name, digest, context) in enumerate([("a", "1", "train"), ("b", "2", "eval"), ("a", "3", "eval")]):
        run = bench.run(experiment, f"run {number}")
        tags = [entities.InputTag("mlflow.data.context", context)]
        dataset = entities.Dataset(name, digest, "local", "{}")
        bench.client.log_inputs(run, [entities.DatasetInput(dataset, tags)])
    bench.run(experiment, "run 3")
    filters = [
        "dataset.name = 'a'",
        "dataset.name != 'a'",
        "dataset.name LIKE 'A'",
        "dataset.name ILIKE 'A'",
        "dataset.name IN ('a', 'b')",
        "dataset.digest = '2'",
        "dataset.digest IN ('2', '3')",
        "dataset.context = 'eval'",
        "datasets.context = 'eval' AND dataset.name = 'a'",
        "dataset.context IN ('train')",
        "dataset.context != 'train'",
        "dataset.source = 'x'",
        "dataset.name = 1",
        "dataset.name IS NULL",
    ]
    outcomes = {}
    for text in filters:
        outcome = bench.ask(bench.client.search_runs, [experiment], text)
        outcomes[text] = (
            sorted(item["info"]["run_name"] for item in outcome["items"]) if isinstance(outcome, dict) else outcome
        )
    return outcomes


@case
def by_run_id(bench: Bench) -> Any:
    experiment = bench.experiment()
    runs = [bench.run(experiment, f"run {number}") for number in range(3)]
    filters = [
        f"run_id = '{runs[0]}'",
        f"attributes.run_id != '{runs[0]}'",
        f"run_id IN ('{runs[0]}', '{runs[2]}')",
        f"attributes.run_id NOT IN ('{runs[0]}', '{runs[2]}')",
        f"run_id LIKE '{runs[0][:30]}%'",
        f"run_id ILIKE '{runs[0][:30].upper()}%'",
    ]
    outcomes = []
    for text in filters:
        outcome = bench.ask(bench.client.search_runs, [experiment], text)
        is_found = isinstance(outcome, dict)
        outcomes.append(sorted(item["info"]["run_name"] for item in outcome["items"]) if is_found else outcome)
    return outcomes


@case
def whole_runs_come_back(bench: Bench) -> Any:
    entities, run = bench.mlflow.entities, bench.run(start_time=3, tags={"mlflow.user": "ann"})
    bench.client.log_batch(
        run, [entities.Metric("m", 1, 2, 3)], [entities.Param("p", "v")], [entities.RunTag("t", "w")]
    )
    dataset = entities.Dataset("d", "1", "local", "{}")
    bench.client.log_inputs(run, [entities.DatasetInput(dataset, [entities.InputTag("k", "v")])])
    bench.client.set_terminated(run, end_time=9)
    experiment = bench.client.get_run(run).info.experiment_id
    found = bench.client.search_runs([experiment])[0]
    same = found.to_dictionary() == bench.client.get_run(run).to_dictionary()
    return [same, found]
