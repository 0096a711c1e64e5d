"""``runs/log-inputs``: the datasets and models a run used.

They are kept as one tag of the run that no answer shows as a tag. Tables of their own come with the search over
datasets; until then nothing that was acknowledged is lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection

from penstock.entities.errors import UsageError
from penstock.entities.run import Run
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.wire import Json, LogInputs
from penstock.stores.metadata import runs

HIDDEN_TAG = "penstock.inputs"
MAX_DATASETS = 1000


async def log_inputs(call: Call) -> Json:
    """Add datasets and models to a run; those it has already stay once."""
    sent = await call.read(LogInputs)
    if len(sent.datasets) > MAX_DATASETS:
        raise UsageError(f"A request can contain at most {MAX_DATASETS} datasets. Got {len(sent.datasets)}.")
    for index, item in enumerate(sent.datasets):
        _check_dataset(item, f"datasets[{index}]")

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run)
        kept = _read(runs.get_run(connection, sent.run).tags)
        datasets = {_dataset_key(item): item for item in [*kept.get("dataset_inputs", []), *sent.datasets]}
        models = {str(item.get("model_id")): item for item in [*kept.get("model_inputs", []), *sent.models]}
        merged = {"dataset_inputs": list(datasets.values()), "model_inputs": list(models.values())}
        text = msgspec.json.encode({name: items for name, items in merged.items() if items}).decode()
        runs.set_tag(connection, sent.run, HIDDEN_TAG, text)

    await call.write(operation)
    return {}


def shown_inputs(run: Run) -> Json:
    """Return a run's ``inputs``."""
    return _read(run.tags)


def shown_tags(run: Run) -> dict[str, str]:
    """Return a run's tags without the one that holds its inputs."""
    return {key: value for key, value in run.tags.items() if key != HIDDEN_TAG}


def _read(tags: Mapping[str, str]) -> Json:
    text = tags.get(HIDDEN_TAG)
    return msgspec.json.decode(text, type=Json) if text else {}


def _check_dataset(item: Json, path: str) -> None:
    dataset = item.get("dataset")
    if not isinstance(dataset, dict):
        raise UsageError(f"Missing value for required parameter '{path}.dataset'.")
    for name in ("name", "digest", "source_type", "source"):
        if not dataset.get(name) or not isinstance(dataset[name], str):
            raise UsageError(f"Missing value for required parameter '{path}.dataset.{name}'.")


def _dataset_key(item: Json) -> tuple[str, str]:
    return item["dataset"]["name"], item["dataset"]["digest"]
