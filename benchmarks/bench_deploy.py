"""How long from asking for a deployment of an ONNX model to the first correct score over HTTP?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from benchmarks.measuring import Result, fetch, lab, print_results
from penstock import Workspace
from penstock.entities.endpoint import OnlineDeploymentSpec

LIMIT_S = 1.0
ROUNDS = 7
GIVE_UP_S = 30.0


def measure() -> Iterator[Result]:
    """Yield the time of the first deployment of a workspace, which also starts the gateway, and of later ones."""
    with lab() as place:
        row, label = write_model(place.folder.parent / "model")
        workspace = Workspace(place.folder)
        workspace.models.create("digits", place.folder.parent / "model")
        workspace.endpoints.create("bench")
        times = [deploy_and_score(workspace, f"try-{number}", row, label) for number in range(ROUNDS + 1)]
        yield Result("deploy to first correct score, first of a workspace", times[:1], "s", LIMIT_S)
        yield Result("deploy to first correct score, later ones", times[1:], "s", LIMIT_S)


def write_model(folder: Path) -> tuple[list[float], str]:
    """Write a small real classifier; return one input row and the label the model itself gives it."""
    rows, digits = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=100, tol=1e-2).fit(rows / 16, digits)
    folder.mkdir()
    onnx = to_onnx(model, np.zeros((1, 64), np.float32), options={"zipmap": False})
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    row = (rows[0] / 16).astype(np.float32)
    return row.tolist(), str(model.predict(row[None])[0])


def deploy_and_score(workspace: Workspace, name: str, row: list[float], label: str) -> float:
    """Return seconds from asking for the deployment to its first correct answer."""
    url = workspace.endpoints.get("bench").scoring_uri
    key = workspace.endpoints.get_keys("bench").primary_key
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "azureml-model-deployment": name,
    }
    body = json.dumps({"data": [row]}).encode()
    began = time.perf_counter()
    workspace.endpoints.deploy(
        OnlineDeploymentSpec(name=name, endpoint_name="bench", model="azureml:digits@latest"), wait=False
    )
    while time.perf_counter() - began < GIVE_UP_S:
        code, answer = fetch(url, body=body, headers=headers)
        if code == 200:
            took_s = time.perf_counter() - began
            given = json.loads(answer)["predictions"][0]["label"]
            if str(given) != label:
                raise RuntimeError(f"the endpoint says {given}, the model {label}")
            return took_s
        time.sleep(0.002)
    raise RuntimeError(f"deployment {name} did not answer in {GIVE_UP_S:.0f} s")


if __name__ == "__main__":
    print_results(list(measure()))
