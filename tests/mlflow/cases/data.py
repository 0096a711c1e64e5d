"""Parameters, tags and batches of a run."""

from __future__ import annotations

from typing import Any

from tests.mlflow.cases.base import Bench, case, cases


def data(bench: Bench, run: str) -> Any:
    found = bench.client.get_run(run).data
    return [found.params, found.metrics, found.tags]


@case
def param_is_written_once(bench: Bench) -> Any:
    run = bench.run()
    outcomes = [bench.ask(bench.client.log_param, run, "p", value) for value in ("a", "a", "b", 1, None)]
    return [outcomes, data(bench, run)]


@cases({"0": 0, "500": 500, "6000": 6000, "6001": 6001, "7000": 7000})
def param_of_length(bench: Bench, length: int) -> Any:
    run, value = bench.run(), "ü" * length
    outcomes = [bench.ask(bench.client.log_param, run, "p", value) for _ in range(2)]
    return [[str(outcome)[:9] for outcome in outcomes], len(bench.client.get_run(run).data.params.get("p", ""))]


@cases({"7999": 7999, "8000": 8000, "8001": 8001, "9000": 9000, "0": 0})
def tag_of_length(bench: Bench, length: int) -> Any:
    run = bench.run()
    bench.client.set_tag(run, "t", "ü" * length)
    return len(bench.client.get_run(run).data.tags["t"])


@cases({"number": 1, "null": None, "true": True, "list": ["a"], "object": {"a": 1}, "missing": ...})
def param_sent(bench: Bench, value: Any) -> Any:
    run = bench.run()
    sent = {"run_id": run, "key": "p"} | ({} if value is ... else {"value": value})
    return [bench.post("runs/log-parameter", sent), bench.post("runs/set-tag", sent), data(bench, run)]


@case
def tags_are_set_replaced_and_deleted(bench: Bench) -> Any:
    client, run = bench.client, bench.run(tags={"a": "1", "b": "2"})
    client.set_tag(run, "a", "new")
    client.set_tag(run, "c", {"x": 1})
    client.delete_tag(run, "b")
    return [data(bench, run), bench.ask(client.delete_tag, run, "b"), bench.ask(client.delete_tag, run, "")]


@case
def batch_of_everything(bench: Bench) -> Any:
    run, entities = bench.run(), bench.mlflow.entities
    bench.client.log_batch(
        run,
        metrics=[entities.Metric("m", 1.5, 3, 2), entities.Metric("m", 2.5, 4, 3), entities.Metric("n", -1, 3, 0)],
        params=[entities.Param("p", "1"), entities.Param("q", "")],
        tags=[entities.RunTag("t", "1"), entities.RunTag("u", "")],
    )
    return data(bench, run)


@cases(
    {
        "param twice, equal": {"params": [("p", "1"), ("p", "1")]},
        "param twice, different": {"params": [("p", "1"), ("p", "2")]},
        "param changed": {"params": [("old", "2"), ("new", "1")]},
        "param repeated": {"params": [("old", "1"), ("new", "1")]},
        "tag twice": {"tags": [("t", "1"), ("t", "2")]},
        "bad metric key": {"params": [("new", "1")], "metrics": [("..", 1)]},
        "bad tag key": {"params": [("new", "1")], "tags": [("a//b", "1")]},
        "bad param key": {"tags": [("t", "1")], "params": [("", "1")]},
        "metric twice": {"metrics": [("m", 1), ("m", 1), ("m", 2)]},
        "metric is text": {"params": [("new", "1")], "metrics": [("m", "x")]},
        "changed param after a metric": {"metrics": [("m", 1)], "params": [("old", "9")], "tags": [("t", "1")]},
        "nothing": {},
        "nulls": {"metrics": None, "params": None, "tags": None},
        "not a list": {"metrics": {"key": "m"}},
        "param without value": {"params": [("p", None)]},
        "tag without value": {"tags": [("p", None)]},
        "metric without value": {"metrics": [("p", None)]},
    }
)
def batch(bench: Bench, content: dict[str, Any]) -> Any:
    run = bench.run()
    bench.client.log_param(run, "old", "1")

    def member(kind: str, pair: tuple[str, Any]) -> dict[str, Any]:
        sent = {"key": pair[0]} | ({} if pair[1] is None else {"value": pair[1]})
        return sent | ({"timestamp": 1, "step": 0} if kind == "metrics" else {})

    sent = {
        kind: [member(kind, pair) for pair in pairs] if isinstance(pairs, list) else pairs
        for kind, pairs in content.items()
    }
    return [bench.post("runs/log-batch", {"run_id": run, **sent}), data(bench, run)]


@cases(
    {
        "1000 metrics": (1000, 0, 0),
        "1001 metrics": (1001, 0, 0),
        "100 params": (0, 100, 0),
        "101 params": (0, 101, 0),
        "100 tags": (0, 0, 100),
        "101 tags": (0, 0, 101),
        "1000 in all": (900, 50, 50),
        "1001 in all": (900, 51, 50),
    }
)
def size_of_batch(bench: Bench, sizes: tuple[int, int, int]) -> Any:
    run = bench.run()
    metrics, params, tags = sizes
    sent = {
        "metrics": [{"key": f"m{n}", "value": n, "timestamp": 1, "step": 0} for n in range(metrics)],
        "params": [{"key": f"p{n}", "value": "x"} for n in range(params)],
        "tags": [{"key": f"t{n}", "value": "x"} for n in range(tags)],
    }
    return [bench.post("runs/log-batch", {"run_id": run, **sent}), [len(part) for part in data(bench, run)]]


@case
def client_splits_what_is_too_much(bench: Bench) -> Any:
    mlflow = bench.mlflow
    mlflow.set_experiment(bench.name("split"))
    with mlflow.start_run(run_name="r", log_system_metrics=False) as run:
        mlflow.log_params({f"p{number}": number for number in range(250)})
        mlflow.log_metrics({f"m{number}": number for number in range(1200)}, step=1)
        mlflow.set_tags({f"t{number}": number for number in range(150)})
    found = bench.client.get_run(run.info.run_id).data
    return [len(found.params), len(found.metrics), sum(key.startswith("t") for key in found.tags)]


@case
def datasets_and_their_tags(bench: Bench) -> Any:
    entities, run = bench.mlflow.entities, bench.run()
    first = entities.Dataset("a", "1", "local", '{"uri": "x"}', schema="{}", profile="{}")
    second = entities.Dataset("b", "2", "http", "s")
    bench.client.log_inputs(run, [entities.DatasetInput(first, [entities.InputTag("mlflow.data.context", "train")])])
    bench.client.log_inputs(run, [entities.DatasetInput(first, [entities.InputTag("mlflow.data.context", "eval")])])
    bench.client.log_inputs(run, [entities.DatasetInput(second, []), entities.DatasetInput(first, [])])
    found = bench.client.get_run(run).inputs
    shown = [[plain(each.dataset), sorted([tag.key, tag.value] for tag in each.tags)] for each in found.dataset_inputs]
    return sorted(shown, key=repr)


def plain(dataset: Any) -> Any:
    return [dataset.name, dataset.digest, dataset.source_type, dataset.source, dataset.schema, dataset.profile]


@cases(
    {
        "no name": {"digest": "1", "source_type": "a", "source": "b"},
        "no digest": {"name": "1", "source_type": "a", "source": "b"},
        "no source type": {"name": "1", "digest": "1", "source": "b"},
        "no source": {"name": "1", "digest": "1", "source_type": "a"},
        "name too long": {"name": "x" * 501, "digest": "1", "source_type": "a", "source": "b"},
        "longest name": {"name": "x" * 500, "digest": "1", "source_type": "a", "source": "b"},
        "digest too long": {"name": "x", "digest": "1" * 37, "source_type": "a", "source": "b"},
        "longest digest": {"name": "x", "digest": "1" * 36, "source_type": "a", "source": "b"},
        "empty name": {"name": "", "digest": "1", "source_type": "a", "source": "b"},
        "words": "x",
        "null": None,
        "unknown member": {"name": "1", "digest": "1", "source_type": "a", "source": "b", "colour": "red"},
        "schema too long": {"name": "1", "digest": "1", "source_type": "a", "source": "b", "schema": "x" * 1048576},
    }
)
def dataset_sent(bench: Bench, dataset: Any) -> Any:
    run = bench.run()
    sent = bench.post("runs/log-inputs", {"run_id": run, "datasets": [{"dataset": dataset, "tags": []}]})
    found = bench.client.get_run(run).inputs.dataset_inputs
    return [sent, [each.dataset.name for each in found]]


@cases(
    {
        "key too long": [{"key": "k" * 256, "value": "v"}],
        "longest key": [{"key": "k" * 255, "value": "v"}],
        "value too long": [{"key": "k", "value": "v" * 501}],
        "longest value": [{"key": "k", "value": "v" * 500}],
        "no key": [{"value": "v"}],
        "no value": [{"key": "k"}],
        "twice": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}],
    }
)
def dataset_tags_sent(bench: Bench, tags: Any) -> Any:
    run = bench.run()
    dataset = {"name": "d", "digest": "1", "source_type": "a", "source": "b"}
    sent = bench.post("runs/log-inputs", {"run_id": run, "datasets": [{"dataset": dataset, "tags": tags}]})
    found = bench.client.get_run(run).inputs.dataset_inputs
    return [sent, [[len(tag.key), len(tag.value)] for each in found for tag in each.tags]]


@case
def too_many_datasets(bench: Bench) -> Any:
    run = bench.run()
    datasets = [{"dataset": {"name": f"d{n}", "digest": "1", "source_type": "a", "source": "b"}} for n in range(1001)]
    return [
        bench.post("runs/log-inputs", {"run_id": run, "datasets": datasets}),
        bench.post("runs/log-inputs", {"run_id": run, "datasets": datasets[:1000]}),
        len(bench.client.get_run(run).inputs.dataset_inputs),
    ]


@case
def models_in_and_out(bench: Bench) -> Any:
    client, entities = bench.client, bench.mlflow.entities
    experiment = bench.experiment()
    run = bench.run(experiment)
    models = [client.create_logged_model(experiment, name=f"m{n}", source_run_id=run).model_id for n in range(2)]
    client.log_outputs(run, [entities.LoggedModelOutput(models[0], 3), entities.LoggedModelOutput(models[1], 4)])
    twice = bench.ask(client.log_outputs, run, [entities.LoggedModelOutput(models[0], 3)])
    client.log_inputs(run, models=[entities.LoggedModelInput(models[1])])
    found = client.get_run(run)
    return [
        twice,
        sorted([models.index(each.model_id), each.step] for each in found.outputs.model_outputs),
        [models.index(each.model_id) for each in found.inputs.model_inputs],
    ]


@case
def odd_models_in_and_out(bench: Bench) -> Any:
    run = bench.run()
    return [
        bench.post("runs/outputs", {"run_id": run, "models": [{"model_id": "m-" + "0" * 32, "step": 1}]}),
        bench.post("runs/log-inputs", {"run_id": run, "models": [{"model_id": "m-" + "0" * 32}]}),
        bench.post("runs/outputs", {"run_id": run, "models": [{"step": 1}]}),
        bench.post("runs/outputs", {"run_id": run, "models": "x"}),
        bench.post("runs/outputs", {"run_id": run}),
        bench.post("runs/log-inputs", {"run_id": run}),
    ]


@case
def model_recorded_as_a_tag(bench: Bench) -> Any:
    run = bench.run()
    model = '{"artifact_path": "m", "flavors": {}, "utc_time_created": "x", "run_id": "y"}'
    outcomes = [
        bench.post("runs/log-model", {"run_id": run, "model_json": model}),
        bench.post("runs/log-model", {"run_id": run, "model_json": "{}"}),
        bench.post("runs/log-model", {"run_id": run, "model_json": "x"}),
        bench.post("runs/log-model", {"run_id": run}),
    ]
    return [outcomes, bench.client.get_run(run).data.tags.get("mlflow.log-model.history")]
