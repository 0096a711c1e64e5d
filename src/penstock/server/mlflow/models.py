"""Logged models: this server keeps none yet, and says so in the protocol's words.

The client asks for a run's logged models whenever it lists or downloads ``runs:/…`` artifacts, so the true answer,
that there are none, must be an answer. Creating one is refused until they are kept.
"""

from __future__ import annotations

from penstock.server.mlflow.call import Call
from penstock.server.mlflow.wire import Json, SearchModels


async def search_models(call: Call) -> Json:
    """Return no models."""
    sent = await call.read(SearchModels)
    for experiment_id in sent.experiment_ids:
        call.actor.check_experiment(experiment_id)
    return {}
