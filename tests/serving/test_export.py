"""Exported deployments: the folder answers as the endpoint does, with nothing of this installation."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from penstock.entities.errors import RefusedError, UsageError
from penstock.serving import pinned
from penstock.serving.desired import DesiredDeployment
from penstock.serving.export import write_export
from penstock.stores.blobs.local import LocalBlobStore

SCRIPT = """
import json, os, sys
import numpy as np
from helper import offset
from penstock import log_metric

def init():
    global weights
    weights = np.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "weights.npy"))

def run(data):
    sent = json.loads(data)
    if sent.get("fail"):
        raise ValueError("as asked")
    return {"y": (np.asarray(sent["x"]) @ weights + offset).tolist(), "said": os.environ["GREETING"]}
"""
BODIES = [
    b'{"data": [[1, 2]]}',
    b'{"data": [[1, 2], [3, 4.5]]}',
    b'{"data": [[1]]}',
    b"{",
    b'{"inputs": {"x": [[0, 7]]}}',
]


def export(bench, deployment, folder: Path, target: str = "folder") -> Path:
    packed = io.BytesIO()
    wanted = msgspec.convert(deployment, DesiredDeployment)
    blobs = LocalBlobStore(bench.home.blobs)
    write_export(packed, "sums", wanted, blobs, target=target, interpreter=sys.executable)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        archive.extractall(folder)  # our own
    return folder


@contextmanager
def serving(folder: Path, interpreter: str = sys.executable) -> Iterator[http.client.HTTPConnection]:
    """Start ``serve.py`` in an environment that knows nothing of this one; its first line names the port."""
    command = [interpreter, "-I", "serve.py", "--port", "0"]
    environment = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)/score", said)
        assert match is not None, said + process.stderr.read()
        connection = http.client.HTTPConnection("127.0.0.1", int(match.group(1)), timeout=60)
        yield connection
        connection.close()
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


def ask(connection, body, path="/score", method="POST"):
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def deploy_script(bench):
    deployment = bench.script(
        SCRIPT, environment_variables={"GREETING": "hello"}, model_name="model", model_ref="azureml:weights:3"
    )
    deployment["code"] += bench.files(helper_py="offset = 0.5\n")
    buffer = io.BytesIO()
    import numpy as np

    np.save(buffer, np.array([[1.0], [2.0]]))
    deployment["model_tree"] = bench.files(weights_npy=buffer.getvalue())
    return deployment


def compare_onnx(bench, folder, interpreter=sys.executable):
    with serving(folder, interpreter) as connection:
        for body in BODIES:
            theirs = bench.ask(body=body, content_type="application/json")
            assert ask(connection, body) == (theirs.status, theirs.body)
        for path, body in (
            ("/invocations", b'{"inputs": [[1, 2]]}'),
            ("/v2/models/sums/infer", b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'),
            ("/v2/models/absent/infer", b"{}"),
        ):
            theirs = bench.ask(f"/endpoints/sums{path}", body, content_type="application/json")
            status, content = ask(connection, body, path)
            assert status == theirs.status
            if status == 200:
                assert json.loads(content) == theirs.data
        assert ask(connection, None, "/", "GET")[0] == 200
        assert ask(connection, None, "/ping", "GET")[0] == 200
        assert ask(connection, b"", "/ping")[0] == 405
        assert ask(connection, b"", "/elsewhere")[0] == 404


def compare_script(bench, folder, interpreter=sys.executable):
    with serving(folder, interpreter) as connection:
        for body in (b'{"x": [[1, 2]]}', b'{"x": [[0.25, -1], [3, 4]]}'):
            theirs = bench.ask(body=body, content_type="application/json")
            assert theirs.status == 200
            assert ask(connection, body) == (200, theirs.body)
        assert ask(connection, b'{"fail": true}')[0] == 500
        assert bench.ask(body=b'{"fail": true}').status == 424  # the gateway's word for the same


def test_an_onnx_model_answers_alone_as_it_does_behind_the_gateway(bench, tmp_path):
    bench.start_gateway()
    deployment = bench.adding(1.5, model_name="model")
    assert bench.deploy("sums", deployment)["state"] == "ready"
    folder = export(bench, deployment, tmp_path / "out")
    assert (folder / "model" / "model" / "model.onnx").is_file()
    lines = (folder / "requirements.txt").read_text().splitlines()
    names = {line.partition("==")[0].lower() for line in lines}
    assert {"numpy", "pydantic", "pydantic_core", "msgspec", "pyyaml", "pillow"} <= names | {"pydantic_core"}
    assert any(name.startswith("onnxruntime") for name in names)
    assert not names & {"fastapi", "sqlalchemy", "penstock", "pytest", "uvicorn"}
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", line) for line in lines)
    compare_onnx(bench, folder)


def test_a_script_answers_alone_as_it_does_behind_the_gateway(bench, tmp_path):
    bench.start_gateway()
    deployment = deploy_script(bench)
    assert bench.deploy("sums", deployment)["state"] == "ready"
    folder = export(bench, deployment, tmp_path / "out")
    names = {line.partition("==")[0].lower() for line in (folder / "requirements.txt").read_text().splitlines()}
    assert "numpy" in names
    assert not names & {"fastapi", "sqlalchemy", "penstock", "pytest"}
    assert "`GREETING`" in (folder / "README.md").read_text()
    compare_script(bench, folder)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["onnx", "script"])
def test_the_folder_answers_in_a_clean_environment(bench, tmp_path, kind):
    bench.start_gateway()
    deployment = bench.adding(1.5, model_name="model") if kind == "onnx" else deploy_script(bench)
    assert bench.deploy("sums", deployment)["state"] == "ready"
    folder = export(bench, deployment, tmp_path / "out")
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, ".venv"], cwd=folder, check=True)
    python = str(folder / ".venv" / "bin" / "python")
    subprocess.run([uv, "pip", "install", "-q", "--python", python, "-r", "requirements.txt"], cwd=folder, check=True)
    (compare_onnx if kind == "onnx" else compare_script)(bench, folder, python)


def test_the_dockerfile_builds_in_stages_and_runs_as_nobody(bench, tmp_path):
    folder = export(bench, bench.adding(1.0, model_name="model"), tmp_path / "out", "docker")
    instructions: list[tuple[str, str]] = []
    text = (folder / "Dockerfile").read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            instructions.append((word, rest.strip()))
    assert {word for word, _ in instructions} <= {
        "FROM", "RUN", "ENV", "COPY", "WORKDIR", "USER", "EXPOSE", "HEALTHCHECK", "CMD"
    }  # fmt: skip
    bases = [rest.split()[0] for word, rest in instructions if word == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-bookworm", base) for base in bases)
    assert [rest for word, rest in instructions if word == "USER"] == ["10001"]
    assert instructions[-1][0] == "CMD"
    assert json.loads(instructions[-1][1])[:2] == ["python", "serve.py"]
    (health,) = [rest for word, rest in instructions if word == "HEALTHCHECK"]
    assert json.loads(health.partition("CMD ")[2])[0] == "python"
    assert (folder / ".dockerignore").is_file()


def test_what_cannot_be_exported_says_why(bench):
    blobs = LocalBlobStore(bench.home.blobs)
    cases = [
        (DesiredDeployment("blue", 1, is_held=True), "folder", RefusedError, "not built yet"),
        (DesiredDeployment("blue", 1, runtime="mlflow"), "folder", RefusedError, "mlflow models serve"),
        (DesiredDeployment("blue", 1), "zip", UsageError, "docker"),
    ]
    for deployment, target, kind, words in cases:
        with pytest.raises(kind) as caught:
            write_export(io.BytesIO(), "e", deployment, blobs, target=target, interpreter=sys.executable)
        assert words in f"{caught.value} {caught.value.hint}"


def test_modules_are_found_in_code_and_in_pickles():
    import pickle
    from decimal import Decimal
    from fractions import Fraction

    code = b"import a.b as c, d\ndef f():\n    from e.f import g\n    from . import h\n"
    assert set(pinned.imported_modules(code)) == {"a", "d", "e"}
    assert set(pinned.imported_modules(b"def (")) == set()
    for protocol in range(6):
        content = pickle.dumps([Decimal(1), Fraction(1, 2)], protocol)
        pieces = [content[:5], content[5:]]
        assert pinned.mentioned_modules(pieces, ["decimal", "fractions", "json"]) == {"decimal", "fractions"}
    around = [b"x" * ((1 << 20) - 3) + b"deci", b"mal.D", b"x" * pinned.MOST_SCANNED_BYTES, b"fractions.F"]
    assert pinned.mentioned_modules(around, ["decimal", "fractions"]) == {"decimal"}


@pytest.mark.parametrize(
    ("name", "start", "is_it"),
    [("model.pkl", b"(l", True), ("data", b"\x80\x05", True), ("big.npy", b"\x93N", False), ("MLmodel", b"fl", False)],
)
def test_only_what_may_be_a_pickle_is_looked_through(name, start, is_it):
    assert pinned.is_pickle(name, start) is is_it


def test_an_interpreter_tells_what_it_has():
    installed = pinned.read_installed(sys.executable)
    assert installed.python == "{}.{}.{}".format(*sys.version_info)
    lines = installed.pin(installed.owners(["pydantic"]))
    names = [line.partition("==")[0] for line in lines]
    assert {"pydantic", "pydantic_core", "typing_extensions"} <= set(names)
    assert "numpy" not in names
    with pytest.raises(RefusedError):
        pinned.read_installed("/bin/false")
