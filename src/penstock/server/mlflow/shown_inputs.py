"""The datasets and models a run used and the models it made, as the protocol shows them."""

from __future__ import annotations

from penstock.server.mlflow.wire import Json, shown_pairs
from penstock.stores.metadata.datasets import Dataset, RunInputs


def shown_inputs(inputs: RunInputs) -> Json:
    """Return a run's ``inputs``."""
    shown: Json = {}
    if inputs.datasets:
        shown["dataset_inputs"] = [_shown_dataset(dataset) for dataset in inputs.datasets]
    if inputs.model_inputs:
        shown["model_inputs"] = [{"model_id": model_id} for model_id in inputs.model_inputs]
    return shown


def shown_outputs(inputs: RunInputs) -> Json:
    """Return a run's ``outputs``."""
    if not inputs.model_outputs:
        return {}
    return {"model_outputs": [{"model_id": model_id, "step": step} for model_id, step in inputs.model_outputs]}


def _shown_dataset(dataset: Dataset) -> Json:
    shown = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
    }
    if dataset.schema:
        shown["schema"] = dataset.schema
    if dataset.profile:
        shown["profile"] = dataset.profile
    answer: Json = {"dataset": shown}
    return {"tags": shown_pairs(dict(dataset.tags)), **answer} if dataset.tags else answer
