"""The worker for models of MLflow behind the promise of every runtime: a real process in MLflow's own interpreter."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse
from penstock.serving.desired import DesiredDeployment, FileEntry
from penstock.serving.launch import Place, launch_mlflow
from penstock.shim import frames
from penstock.testing.runtimes import RuntimeConformance

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

WORKERS = 2
MAKE = """
import sys, mlflow, pandas

class Roots(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        if (model_input["a"] < 0).any():
            raise ValueError("secret")
        print("asked", len(model_input))
        return model_input["a"].to_numpy() ** (params or {"power": 0.5})["power"]

columns = mlflow.types.Schema([mlflow.types.ColSpec("double", "a")])
params = mlflow.types.ParamSchema([mlflow.types.ParamSpec("power", "double", 0.5)])
signature = mlflow.models.ModelSignature(inputs=columns, params=params)
example = pandas.DataFrame({"a": [4.0, 9.0]})
mlflow.pyfunc.save_model(
    sys.argv[1], python_model=Roots(), signature=signature, input_example=example, pip_requirements=[]
)
"""


class PyfuncProcess:
    """A replica, asked as the gateway does."""

    def __init__(self, python, model, tree, folder):
        deployment = DesiredDeployment("blue", 1, runtime="mlflow", model_tree=tree, interpreter=str(python))
        self.place = Place("r1", folder / "r1.sock", folder / "log")
        self.parent, self.keep = os.pipe()
        self.sockets = []
        self.links: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self.process = launch_mlflow(
            self.place, self.parent, deployment, model=model, identity={"replica_id": "r1"}, workers=WORKERS
        )

    def load(self):
        control = self.connect("control")
        while True:
            _, meta, _ = frames.read_frame(control) or (0, b"{}", b"")
            self.state = json.loads(meta)
            if self.state["state"] in ("ready", "failed"):
                break
        for _ in range(WORKERS if self.state["state"] == "ready" else 0):
            self.links.put(self.connect("work"))
        return self

    def connect(self, role):
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(self.place.socket_path))
        link.sendall(frames.pack_json(frames.HELLO, {"role": role}))
        self.sockets.append(link)
        return link

    def warm_up(self):
        assert self.state["state"] == "ready", self.state

    def score(self, request):
        meta = {"content_type": request.content_type, "method": request.method, "path": request.path}
        link = self.links.get()
        try:
            frames.send(
                link, frames.pack_head(frames.REQUEST, json.dumps(meta).encode(), len(request.body)), request.body
            )
            _, said, body = frames.read_frame(link) or (0, b"", b"")
        finally:
            self.links.put(link)
        reply = json.loads(said) if said else {}
        return ScoreResponse(body, reply.get("content_type", "application/json"), reply.get("status", 200))

    def describe(self):
        return self.state["describe"]

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for link in self.sockets:
            link.close()
        os.close(self.parent)
        os.close(self.keep)


def files_of(model):
    files = [path for path in sorted(model.rglob("*")) if path.is_file()]
    return [FileEntry(str(f.relative_to(model)), hashlib.sha256(f.read_bytes()).hexdigest()) for f in files]


@pytest.fixture(scope="module")
def model(full_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "roots"
    subprocess.run([full_python, "-c", MAKE, folder], check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture
def start(full_python, tmp_path):
    started = []

    def begin(folder, tree=None):
        started.append(PyfuncProcess(full_python, folder, tree or files_of(folder), tmp_path))
        return started[-1].load()

    yield begin
    for process in started:
        process.end()


class TestPyfunc(RuntimeConformance):
    @pytest.fixture
    def runtime(self, start, model):
        return start(model)

    @pytest.fixture
    def good(self):
        return ScoreRequest(b'{"dataframe_split": {"columns": ["a"], "data": [[4], [25]]}}')

    @pytest.fixture
    def mistakes(self):
        return [
            ScoreRequest(b'{"dataframe_split": {"columns": ["b"], "data": [[4]]}}'),
            ScoreRequest(b'{"inputs": {"a": [1.0]}, "params": {"power": "high"}}'),
            ScoreRequest(b'{"input_data": [], "more": 1}'),
            ScoreRequest(b"{"),
            ScoreRequest(b"", method="GET"),
            ScoreRequest(b"", path="/nowhere"),
        ]

    @pytest.fixture
    def failing(self):
        return ScoreRequest(b'{"inputs": {"a": [-1.0]}}')


def test_its_doors(start, model):
    runtime = start(model)

    def ask(body, path="/invocations", method="POST"):
        said = runtime.score(ScoreRequest(json.dumps(body).encode(), path=path, method=method))
        return said.status, json.loads(said.body)

    assert ask({"inputs": {"a": [4.0, 9.0]}}) == (200, {"predictions": [2.0, 3.0]})
    assert ask({"inputs": {"a": [4.0]}, "params": {"power": 2.0}}) == (200, {"predictions": [16.0]})
    assert ask({"input_data": {"columns": ["a"], "data": [[4]]}, "params": {"power": 2.0}}, "/score") == (200, [16.0])
    assert ask({"input_data": [[4], [9]]}, "/score") == (200, [2.0, 3.0])
    status, said = ask({"inputs": {"b": [4.0]}})
    assert (status, said["schema"]) == (400, [{"type": "double", "name": "a", "required": True}])
    status, said = ask({"inputs": {"a": [-1.0]}})
    assert (status, "secret" in json.dumps(said)) == (500, False)
    assert "ValueError: secret" in runtime.place.log.read_text()
    status, said = ask({}, "/openapi.json", "GET")
    assert (status, said["openapi"]) == (200, "3.1.0")
    sample = said["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert ask(sample["input_example"]["value"], "/score") == (200, [2.0, 3.0])
    assert ask({}, "/swagger.json", "GET")[1]["swagger"] == "2.0"
    status, said = ask({}, "/v2/models/m/infer")
    assert (status, "MLflow: /invocations" in said["error"]) == (404, True)


def test_a_model_whose_files_changed_is_not_loaded(start, model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    tree = files_of(copy)
    (copy / "python_model.pkl").write_bytes(b"another")
    state = start(copy, tree).state
    assert state["state"] == "failed"
    assert state["message"] == "python_model.pkl is not what was registered; the model is not loaded"
