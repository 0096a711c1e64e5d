"""Autolog, models and their names, with scikit-learn and PyTorch, against a workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.client import run_program
from tests.mlflow.venvs import make_torch_venv
from tests.server.harness import House

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
Program = Callable[..., Any]


@pytest.fixture(scope="session")
def torch_python() -> Path:
    python = make_torch_venv()
    if python is None:
        pytest.skip("PyTorch is a large download; set CI=1 to install it into .venvs/mlflow-torch")
    return python


@pytest.fixture
def program(house: House, tmp_path: Path) -> Program:
    """Return a function that runs code in one of the foreign interpreters."""

    def run(python: Path, code: str, **variables: str) -> Any:
        place = {"MLFLOW_TRACKING_URI": house.url, "MLFLOW_TRACKING_TOKEN": house.token}
        return run_program(python, tmp_path, code, {**place, **variables}, 500)

    return run


def test_sklearn_logs_itself_and_its_model_comes_back(house: House, full_python: Path, program: Program) -> None:
    result = program(
        full_python,
        """
        import numpy as np
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV

        x, y = load_iris(return_X_y=True)
        mlflow.set_experiment("iris")
        mlflow.autolog(log_input_examples=True, silent=True)
        with mlflow.start_run(run_name="plain") as run:
            model = LogisticRegression(max_iter=200, C=0.5).fit(x, y)
            accuracy = model.score(x, y)
        with mlflow.start_run(run_name="grid") as grid:
            GridSearchCV(LogisticRegression(max_iter=200), {"C": [0.1, 1.0]}, cv=2).fit(x, y)
        found = client.get_run(run.info.run_id)
        mine = f"source_run_id = '{run.info.run_id}'"
        logged = client.search_logged_models([found.info.experiment_id], filter_string=mine)
        back = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
        children = client.search_runs(
            [found.info.experiment_id], f"tags.`mlflow.parentRunId` = '{grid.info.run_id}'"
        )
        result = {
            "params": [found.data.params["C"], found.data.params["max_iter"]],
            "metrics": sorted(found.data.metrics),
            "accuracy": accuracy,
            "files": sorted(each.path for each in client.list_artifacts(run.info.run_id)),
            "status": str(logged[0].status),
            "outputs": [each.model_id == logged[0].model_id for each in found.outputs.model_outputs],
            "model metrics": sorted({each.key for each in logged[0].metrics}),
            "dataset": [each.dataset.name for each in found.inputs.dataset_inputs],
            "same": bool((back.predict(x) == model.predict(x)).all()),
            "children": len(children),
            "best": "best_cv_score" in client.get_run(grid.info.run_id).data.metrics,
        }
        """,
    )
    assert result["params"] == ["0.5", "200"]
    assert {"training_accuracy_score", "training_f1_score", "training_log_loss"} <= set(result["metrics"])
    assert result["accuracy"] > 0.9
    assert "training_confusion_matrix.png" in result["files"]
    assert (result["status"], result["outputs"]) == ("READY", [True])
    assert "training_accuracy_score" in result["model metrics"]
    assert result["dataset"] == ["dataset"]
    assert result["same"]
    assert (result["children"], result["best"]) == (2, True)
    names = {item["name"] for item in house.ok("GET", "/api/v1/models")["items"]}
    assert "model" not in names, "a logged model is no registered one"


def test_model_is_registered_named_by_alias_and_loaded(house: House, full_python: Path, program: Program) -> None:
    result = program(
        full_python,
        """
        import numpy as np
        import pandas as pd
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression

        x, y = load_iris(return_X_y=True, as_frame=True)
        mlflow.set_experiment("registry")
        options = {"pip_requirements": ["scikit-learn"], "input_example": x[:2]}
        with mlflow.start_run() as run:
            model = LogisticRegression(max_iter=500).fit(x, y)
            info = mlflow.sklearn.log_model(model, name="lr", registered_model_name="iris", **options)
            mlflow.log_metric("acc", model.score(x, y), model_id=info.model_id)
        second = mlflow.register_model(f"runs:/{run.info.run_id}/lr", "iris", tags={"by": "run"})
        third = mlflow.register_model(f"models:/{info.model_id}", "iris")
        client.set_registered_model_alias("iris", "champion", second.version)
        client.transition_model_version_stage("iris", "1", "Production")
        wanted = model.predict(x)
        same = {}
        for uri in ("models:/iris@champion", "models:/iris/1", "models:/iris/latest", "models:/iris/Production",
                    f"models:/{info.model_id}", f"runs:/{run.info.run_id}/lr"):
            loaded = mlflow.pyfunc.load_model(uri)
            same[uri.split("/")[0] + "/" + uri.split("/", 1)[1][:4]] = bool((loaded.predict(x) == wanted).all())
        data = x.assign(target=y)
        evaluated = mlflow.models.evaluate(
            f"models:/{info.model_id}", data, targets="target", model_type="classifier",
            evaluator_config={"log_explainer": False, "log_model_explainability": False},
        )
        logged = client.get_logged_model(info.model_id)
        copied = client.copy_model_version("models:/iris@champion", "iris-prod")
        result = {
            "versions": [second.version, third.version],
            "same": same,
            "signature": mlflow.models.get_model_info("models:/iris@champion").signature is not None,
            "evaluated": evaluated.metrics["accuracy_score"] > 0.9,
            "metrics": sorted({each.key for each in logged.metrics})[:2],
            "sources": {info.model_id in client.get_model_version("iris", v).source for v in ("1", "2", "3")} == {True},
            "copied": copied.version,
            "found": len(client.search_model_versions(f"run_id = '{run.info.run_id}' AND name = 'iris'")),
            "pages": mlflow.artifacts.list_artifacts("models:/iris/1") != [],
        }
        """,
    )
    assert result["versions"] == ["2", "3"] or result["versions"] == [2, 3]
    assert set(result["same"].values()) == {True}
    assert result["signature"]
    assert result["evaluated"]
    assert "acc" in result["metrics"]
    assert result["sources"]
    assert str(result["copied"]) == "1"
    assert result["found"] == 3
    assert result["pages"]
    listed = house.ok("GET", "/api/v1/models")["items"]
    assert "iris" in {item["name"] for item in listed}


def test_torch_module_is_logged_and_comes_back(torch_python: Path, program: Program) -> None:
    result = program(
        torch_python,
        """
        import numpy as np
        import torch

        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        x, y = torch.randn(64, 4), torch.randint(0, 2, (64,))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        mlflow.set_experiment("torch")
        with mlflow.start_run() as run:
            mlflow.log_params({"lr": 0.1, "layers": 2})
            for epoch in range(5):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(net(x), y)
                loss.backward()
                optimizer.step()
                mlflow.log_metric("loss", loss.item(), step=epoch)
            info = mlflow.pytorch.log_model(
                net, name="net", pip_requirements=["torch"], input_example=x[:2].numpy(), registered_model_name="net"
            )
            mlflow.pytorch.log_state_dict(net.state_dict(), artifact_path="checkpoint")
        client.set_registered_model_alias("net", "best", "1")
        back = mlflow.pytorch.load_model("models:/net@best")
        scored = mlflow.pyfunc.load_model(info.model_uri).predict(x.numpy())
        state = mlflow.pytorch.load_state_dict(f"runs:/{run.info.run_id}/checkpoint")
        result = {
            "same": bool(torch.equal(back(x), net(x))),
            "scored": bool(np.allclose(scored, net(x).detach().numpy())),
            "steps": [each.step for each in client.get_metric_history(run.info.run_id, "loss")],
            "state": sorted(state) == sorted(net.state_dict()),
        }
        """,
    )
    assert result == {"same": True, "scored": True, "steps": [0, 1, 2, 3, 4], "state": True}


def test_lightning_logs_itself(torch_python: Path, program: Program) -> None:
    result = program(
        torch_python,
        """
        import warnings
        warnings.simplefilter("ignore")
        import pytorch_lightning as lightning
        import torch

        class Net(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(4, 1)

            def training_step(self, batch, _):
                x, y = batch
                loss = torch.nn.functional.mse_loss(self.layer(x), y)
                self.log("train_loss", loss, on_epoch=True, on_step=False)
                return loss

            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters(), lr=0.02)

        torch.manual_seed(0)
        data = torch.utils.data.TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
        loader = torch.utils.data.DataLoader(data, batch_size=8)
        mlflow.set_experiment("lightning")
        mlflow.pytorch.autolog(log_models=True)
        with mlflow.start_run() as run:
            quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
            lightning.Trainer(max_epochs=3, **quiet).fit(Net(), loader)
        found = client.get_run(run.info.run_id)
        models = client.search_logged_models([found.info.experiment_id])
        back = mlflow.pytorch.load_model(f"models:/{models[0].model_id}")
        result = {
            "params": [found.data.params["epochs"], found.data.params["optimizer_name"], found.data.params["lr"]],
            "steps": [each.step for each in client.get_metric_history(run.info.run_id, "train_loss")],
            "status": str(models[0].status),
            "model": type(back).__name__,
            "summary": [each.path for each in client.list_artifacts(run.info.run_id)],
        }
        """,
    )
    assert result["params"] == ["3", "Adam", "0.02"]
    assert result["steps"] == [0, 1, 2]
    assert (result["status"], result["model"]) == ("READY", "Net")
    assert "model_summary.txt" in result["summary"]
