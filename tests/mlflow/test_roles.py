"""The real client with the tokens of a reader and a contributor."""

from __future__ import annotations

from tests.mlflow.conftest import Client
from tests.server.harness import House

READ = """
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

client = MlflowClient()

def refused(call, *arguments):
    try:
        call(*arguments)
    except MlflowException as error:
        return [error.error_code, error.get_http_status_code(), str(error)]
    return None

(experiment,) = [e for e in client.search_experiments() if e.name == "shared"]
(run,) = client.search_runs([experiment.experiment_id])
run_id = run.info.run_id
result = {
    "metric": run.data.metrics,
    "history": len(client.get_metric_history(run_id, "m")),
    "text": mlflow.artifacts.load_text(run.info.artifact_uri + "/note.txt"),
    "models": [m.name for m in client.search_registered_models()],
    "refused": [
        refused(client.log_metric, run_id, "m", 1),
        refused(client.set_tag, run_id, "a", "b"),
        refused(client.create_run, experiment.experiment_id),
        refused(client.delete_run, run_id),
        refused(client.create_experiment, "mine"),
        refused(client.create_registered_model, "mine"),
        refused(client.delete_registered_model, "shared"),
    ],
}
try:
    client.log_text(run_id, "x", "b.txt")
except Exception as error:  # the client passes on what its HTTP library raises
    result["upload"] = str(error)
"""

WRITE = """
import mlflow
from mlflow import MlflowClient

mlflow.set_experiment("shared")
with mlflow.start_run():
    mlflow.log_metric("m", 0.5)
    mlflow.log_text("hello", "note.txt")
MlflowClient().create_registered_model("shared")
result = True
"""


def test_a_reader_sees_what_a_contributor_made_and_changes_nothing(house: House, client: Client) -> None:
    tokens = {
        role: house.ok("POST", "/api/v1/tokens", {"name": f"a-{role}", "role": role})["secret"]
        for role in ("reader", "contributor")
    }
    assert client(WRITE, token=tokens["contributor"]) is True
    result = client(READ, token=tokens["reader"])
    assert (result["metric"], result["history"], result["text"]) == ({"m": 0.5}, 1, "hello")
    assert result["models"] == ["shared"]
    for code, status, text in result["refused"]:
        assert (code, status) == ("PERMISSION_DENIED", 403)
        assert "It needs the role contributor. Ask ann, who made this token" in text
    assert result["upload"].startswith("403 ")
    by_password = client(
        READ,
        token=" ",
        MLFLOW_TRACKING_TOKEN="",
        MLFLOW_TRACKING_USERNAME="anybody",
        MLFLOW_TRACKING_PASSWORD=tokens["reader"],
    )
    assert by_password["metric"] == {"m": 0.5}
    actors = {event["actor"] for event in house.ok("GET", "/api/v1/events?ref=experiment:*")["items"]}
    assert actors == {"a-contributor"}
