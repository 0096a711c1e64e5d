"""Metrics: the latest one, the history, and what may be a number."""

from __future__ import annotations

import itertools
import urllib.parse
from typing import Any

from tests.mlflow.cases.base import Bench, case, cases

INF = float("inf")
NAN = float("nan")


def log(bench: Bench, run: str, points: list[tuple[float, int, int]], key: str = "m") -> None:
    for value, timestamp, step in points:
        bench.client.log_metric(run, key, value, timestamp=timestamp, step=step)


@cases(
    {
        "later step wins": [(1.0, 1, 0), (2.0, 1, 5), (3.0, 9, 4)],
        "later time wins at one step": [(1.0, 5, 0), (2.0, 9, 0), (3.0, 4, 0)],
        "greater value wins a tie": [(1.0, 1, 0), (3.0, 1, 0), (2.0, 1, 0)],
        "negative step loses": [(1.0, 1, -1), (2.0, 1, -5)],
        "nan competes as zero against less": [(-1.0, 1, 0), (NAN, 1, 0)],
        "nan competes as zero against more": [(1.0, 1, 0), (NAN, 1, 0)],
        "nan first, then less": [(NAN, 1, 0), (-1.0, 1, 0)],
        "nan first, then more": [(NAN, 1, 0), (1.0, 1, 0)],
        "nan and zero": [(NAN, 1, 0), (0.0, 1, 0)],
        "zero and nan": [(0.0, 1, 0), (NAN, 1, 0)],
        "infinite": [(1.0, 1, 0), (INF, 1, 0)],
        "less than infinite": [(-INF, 1, 0), (1.0, 1, 0)],
        "exact duplicates": [(1.0, 1, 0), (1.0, 1, 0), (1.0, 2, 0), (1.0, 1, 0)],
        "duplicate nan": [(NAN, 1, 0), (NAN, 1, 0)],
        "minus zero": [(-0.0, 1, 0), (0.0, 1, 0)],
    }
)
def latest_and_history(bench: Bench, points: list[tuple[float, int, int]]) -> Any:
    outcomes = []
    for together in (False, True):
        run = bench.run()
        if together:
            metric = bench.mlflow.entities.Metric
            bench.client.log_batch(run, metrics=[metric("m", *point) for point in points])
        else:
            log(bench, run, points)
        history = bench.client.get_metric_history(run, "m")
        shown = sorted([[each.timestamp, each.step, repr(each.value)] for each in history])
        outcomes.append([bench.client.get_run(run).data.metrics, shown])
    return outcomes


@case
def order_of_the_history(bench: Bench) -> Any:
    run = bench.run()
    points = [
        (float(value), timestamp, step) for step, timestamp, value in itertools.product([2, 0, 1], [3, 1], [5, 4])
    ]
    log(bench, run, points)
    return [[each.timestamp, each.step, each.value] for each in bench.client.get_metric_history(run, "m")]


@cases(
    {
        "integer": 1,
        "text": "0.5",
        "word": "x",
        "nan": "NaN",
        "lower nan": "nan",
        "infinity": "Infinity",
        "inf": "inf",
        "minus infinity": "-Infinity",
        "empty": "",
        "null": None,
        "true": True,
        "list": [1],
        "exponent": "1e3",
        "large": 1e308,
        "beyond": "1e999",
        "long integer": 123456789012345678901234567890,
        "tiny": 5e-324,
    }
)
def value_sent(bench: Bench, value: Any) -> Any:
    run = bench.run()
    sent = bench.post("runs/log-metric", {"run_id": run, "key": "m", "value": value, "timestamp": 1, "step": 1})
    raw = bench.get("runs/get", run_id=run)[1]["run"]["data"].get("metrics")
    return [sent, raw, bench.get("metrics/get-history", run_id=run, metric_key="m")]


@cases(
    {
        "no step": {"timestamp": 1},
        "no timestamp": {"step": 1},
        "text": {"timestamp": "12", "step": "3"},
        "float": {"timestamp": 1.0, "step": 2.0},
        "fraction": {"timestamp": 1.5, "step": 0},
        "words": {"timestamp": "x", "step": 0},
        "negative": {"timestamp": -1, "step": -2},
        "zero": {"timestamp": 0, "step": 0},
        "null step": {"timestamp": 1, "step": None},
        "largest": {"timestamp": 1, "step": 2**63 - 1},
        "too large": {"timestamp": 1, "step": 2**63},
        "true": {"timestamp": True, "step": 0},
        "seconds": {"timestamp": 1.7e9, "step": 0},
    }
)
def time_and_step_sent(bench: Bench, times: dict[str, Any]) -> Any:
    run = bench.run()
    sent = bench.post("runs/log-metric", {"run_id": run, "key": "m", "value": 1, **times})
    return [sent, bench.get("metrics/get-history", run_id=run, metric_key="m")]


@cases(["a/b c:d.e-f_", "ä/ß", "", " ", ".", "./a", "a//b", "/a", "..", "a/../b", "a#b", "a\nb", "x" * 250, "x" * 251])
def key(bench: Bench, key: str) -> Any:
    return (
        bench.ask(bench.client.log_metric, bench.run(), key, 1, timestamp=1)
        if len(key) < 251
        else bench.post("runs/log-metric", {"run_id": bench.run(), "key": key, "value": 1, "timestamp": 1})
    )


@cases(["", " ", "./a", "a//b", "/a", "..", "a#b", "a\nb", "x" * 251])
def key_sent_raw(bench: Bench, key: str) -> Any:
    run, sent = bench.run(), {"key": key, "value": "1", "timestamp": 1}
    return [
        bench.post("runs/log-metric", {"run_id": run, **sent, "value": 1}),
        bench.post("runs/log-parameter", {"run_id": run, **sent}),
        bench.post("runs/set-tag", {"run_id": run, **sent}),
        bench.post("runs/log-batch", {"run_id": run, "metrics": [sent | {"value": 1}]}),
        bench.post("runs/log-batch", {"run_id": run, "params": [sent]}),
        bench.post("runs/log-batch", {"run_id": run, "tags": [sent]}),
        bench.get("metrics/get-history", run_id=run, metric_key=key),
    ]


@case
def history_in_pages(bench: Bench) -> Any:
    run = bench.run()
    metric = bench.mlflow.entities.Metric
    bench.client.log_batch(run, metrics=[metric("m", step / 2, step + 1, step) for step in range(7)])
    seen: list[Any] = []
    query: dict[str, Any] = {"run_id": run, "metric_key": "m", "max_results": 3}
    for _ in range(5):
        status, answer = bench.get("metrics/get-history", **query)
        seen.append([status, [each["step"] for each in answer.get("metrics", [])]])
        if not answer.get("next_page_token"):
            break
        query["page_token"] = answer["next_page_token"]
    whole = bench.get("metrics/get-history", run_id=run, metric_key="m", max_results=7)[1]
    return [seen, len(whole["metrics"]), "next_page_token" in whole]


@cases({"0": "0", "-1": "-1", "25000": "25000", "25001": "25001", "100001": "100001", "words": "x", "empty": ""})
def history_of_at_most(bench: Bench, most: str) -> Any:
    run = bench.run()
    log(bench, run, [(1.0, 1, 1)])
    return bench.get("metrics/get-history", run_id=run, metric_key="m", max_results=most)


@cases(["x", "!!", "eyJvZmZzZXQiOiAwfQ==", "eyJvZmZzZXQiOiAiYSJ9"])
def history_with_page_token(bench: Bench, token: str) -> Any:
    run = bench.run()
    log(bench, run, [(1.0, 1, 1)])
    return bench.get("metrics/get-history", run_id=run, metric_key="m", max_results=1, page_token=token)


@case
def history_of_other_keys(bench: Bench) -> Any:
    run = bench.run()
    log(bench, run, [(1.0, 1, 1)])
    return [
        bench.ask(bench.client.get_metric_history, run, "none"),
        bench.get("metrics/get-history", run_id=run),
        bench.get("metrics/get-history", metric_key="m"),
    ]


def bulk(bench: Bench) -> list[str]:
    experiment = bench.experiment()
    runs = [bench.run(experiment) for _ in range(3)]
    metric = bench.mlflow.entities.Metric
    for number, run in enumerate(runs[:2]):
        points = [metric("m", number + step / 10, 100 - step, step) for step in range(0, 40, 2 + number)]
        bench.client.log_batch(run, metrics=[*points, metric("other", 1, 1, 1)])
    return runs


@case
def history_of_several_runs(bench: Bench) -> Any:
    runs = bulk(bench)

    def ask(**query: Any) -> Any:
        text = urllib.parse.urlencode(query, doseq=True)
        # MLflow has it for its own pages only.
        outcomes = [
            bench.send("GET", f"{root}/metrics/get-history-bulk?{text}").outcome
            for root in ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow")
        ]
        status, answer = outcomes[0] if outcomes[0] != [404, None] else outcomes[1]
        points = answer.get("metrics", []) if status < 400 else []
        # Who comes first of several runs is nobody's promise; at most so many points come of each.
        return [status, sorted([runs.index(each["run_id"]), each["step"], each["value"]] for each in points)]

    return [
        ask(run_id=runs, metric_key="m"),
        ask(run_id=runs, metric_key="none"),
        ask(run_id=["1"] * 101, metric_key="m"),
        ask(metric_key="m"),
        ask(run_id=runs),
    ]


@cases(
    {
        "all": {},
        "few": {"max_results": 5},
        "one": {"max_results": 1},
        "part": {"start_step": 6, "end_step": 21, "max_results": 4},
        "part without points": {"start_step": 1000, "end_step": 2000},
        "one step": {"start_step": 6, "end_step": 6},
        "no end": {"start_step": 6},
        "no start": {"end_step": 6},
        "backwards": {"start_step": 9, "end_step": 6},
        "none": {"max_results": 0},
        "most": {"max_results": 2500},
        "too many": {"max_results": 2501},
        "words": {"max_results": "x"},
    }
)
def sampled_history(bench: Bench, query: dict[str, Any]) -> Any:
    path = "metrics/get-history-bulk-interval"
    return bench.get(path, run_ids=bulk(bench), metric_key="m", **query)


@case
def sampled_history_of_odd_runs(bench: Bench) -> Any:
    path, runs = "metrics/get-history-bulk-interval", bulk(bench)
    return [
        bench.get(path, run_ids=runs, metric_key="none"),
        bench.get(path, run_ids=["0" * 32], metric_key="m"),
        bench.get(path, metric_key="m"),
        bench.get(path, run_ids=runs),
        bench.get(path, run_ids=["0" * 32] * 101, metric_key="m"),
    ]


@case
def with_model_and_dataset(bench: Bench) -> Any:
    experiment = bench.experiment()
    run = bench.run(experiment)
    model = bench.client.create_logged_model(experiment, name="net", source_run_id=run)
    entities = bench.mlflow.entities
    dataset = entities.Dataset("d", "7", "local", "{}")
    bench.client.log_inputs(run, [entities.DatasetInput(dataset, [])])
    bench.client.log_metric(
        run, "acc", 0.5, timestamp=1, step=2, dataset_name="d", dataset_digest="7", model_id=model.model_id
    )
    bench.client.log_batch(run, metrics=[entities.Metric("loss", 0.1, 1, 0, model_id=model.model_id)])
    found = bench.client.get_logged_model(model.model_id)
    return [
        sorted([each.key, each.value, each.step, each.dataset_name, each.run_id == run] for each in found.metrics),
        bench.client.get_run(run).data.metrics,
        bench.get("metrics/get-history", run_id=run, metric_key="acc"),
    ]
