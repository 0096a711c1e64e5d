"""The texts of an exported deployment: how it is started, what it needs, how it becomes an image."""

from __future__ import annotations

from collections.abc import Sequence

SERVE_ONNX = '''"""Serve this model over HTTP: python serve.py [--host 127.0.0.1] [--port 5001]"""

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER / "runner"))
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from penstock.serving.standalone import main

sys.exit(main(FOLDER, sys.argv[1:]))
'''

SERVE_SCRIPT = '''"""Serve this score.py over HTTP: python serve.py [--host 127.0.0.1] [--port 5001] [--workers 1]"""

import argparse
import json
import os
import sys
import types
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
GIVEN = json.loads((FOLDER / "deployment.json").read_text("utf-8"))

parser = argparse.ArgumentParser(prog="serve.py", description="Serve this score.py over HTTP.")
parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
parser.add_argument("--port", type=int, default=5001, help="port to listen on")
parser.add_argument("--workers", type=int, default=1, help="scoring processes")
options = parser.parse_args()

for name, value in GIVEN["environment_variables"].items():
    os.environ.setdefault(name, value)
os.environ["AML_APP_ROOT"] = str(FOLDER / "code")
os.environ["AZUREML_ENTRY_SCRIPT"] = GIVEN["scoring_script"]
if GIVEN["model"]:
    os.environ["AZUREML_MODEL_DIR"] = str(FOLDER / "model")
sys.path.append(str(FOLDER / "runner" / "shim" / "site"))  # import penstock, where it is not installed
runner = types.ModuleType("penstock_shim")  # a name that is in nobody's way
runner.__path__ = [str(FOLDER / "runner" / "shim")]
sys.modules["penstock_shim"] = runner

from penstock_shim.score_server import main

script = FOLDER / "code" / GIVEN["scoring_script"]
main(
    json.dumps(
        {
            "script": str(script),
            "code": str(FOLDER / "code"),
            "app_root": str(FOLDER / "code"),
            "host": options.host,
            "ports": [options.port],
            "workers": options.workers,
            "scratch": "",
        }
    )
)
'''

DOCKERIGNORE = ".venv\n**/__pycache__\nREADME.md\nDockerfile\n"


def dockerfile(python: str) -> str:
    """Return a multi-stage Dockerfile whose image is of the Python the deployment ran on, and has no root."""
    return f"""# syntax=docker/dockerfile:1
FROM python:{python}-slim-bookworm AS build
RUN python -m venv /opt/venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /tmp/requirements.txt
RUN /opt/venv/bin/pip install --no-cache-dir --requirement /tmp/requirements.txt

FROM python:{python}-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin scoring
COPY --from=build /opt/venv /opt/venv
COPY --chown=10001:10001 . /app
WORKDIR /app
USER 10001
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 5001
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \\
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5001/', timeout=2)"]
CMD ["python", "serve.py", "--host", "0.0.0.0", "--port", "5001"]
"""


def readme(
    *,
    endpoint: str,
    deployment: str,
    revision: int,
    model: str,
    python: str,
    is_script: bool,
    is_docker: bool,
    variables: Sequence[str],
) -> str:
    """Return the page for whoever gets the folder."""
    what = "the `score.py`" if is_script else "the ONNX model"
    others = "" if is_script else " So are MLflow's `/invocations` and the Open Inference Protocol's `/v2`."
    secrets = ""
    if variables:
        shown = ", ".join(f"`{name}`" for name in variables)
        secrets = f"\n`deployment.json` holds the values of {shown}; take care who gets them.\n"
    image = ""
    if is_docker:
        tag = f"{endpoint}-{deployment}:{revision}"
        image = f"""
## As an image

```console
$ docker build -t {tag} .
$ docker run --rm -p 5001:5001 {tag}
```
"""
    return f"""# {endpoint}/{deployment}, revision {revision}

This folder serves {what} of deployment `{deployment}` (model {model}) without Penstock: `runner/` is the code that
answers, `model/` and `code/` are what was deployed, `requirements.txt` pins the packages it ran with, `serve.py` starts
it. It ran on Python {python}.
{secrets}
```console
$ python3 -m venv .venv
$ .venv/bin/pip install --requirement requirements.txt
$ .venv/bin/python serve.py --port 5001
$ curl http://127.0.0.1:5001/score -H 'Content-Type: application/json' -d @request.json
```

`/` says that it is healthy, `/swagger.json` what it takes.{others} There is no key: whoever reaches the port may ask.
It listens on 127.0.0.1 unless `--host` says otherwise.
{image}"""
