"""What an idle server and the client may load: watched in the real processes, by the interpreter's own report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from penstock.home import Home

PENSTOCK = Path(sys.executable).with_name("penstock")
HEAVY = {"numpy", "scipy", "pandas", "optuna", "onnxruntime", "alembic", "sklearn", "PIL", "onnx"}
SERVER_ONLY = {"fastapi", "starlette", "uvicorn", "sqlalchemy", "msgspec", "httptools", "uvloop"}
REPORT = {"PYTHONPROFILEIMPORTTIME": "1"}


def loaded(report: str) -> set[str]:
    """Return the top-level modules in what the interpreter reports with PYTHONPROFILEIMPORTTIME."""
    names = re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s+([\w.]+)$", report, re.MULTILINE)
    return {name.partition(".")[0] for name in names}


def test_an_idle_server_loads_no_heavy_library(tmp_path):
    environment = {**os.environ, **REPORT, "PENSTOCK_WORKSPACE": str(tmp_path)}
    home = Home(tmp_path)
    try:
        subprocess.run([PENSTOCK, "up", "--background"], env=environment, check=True, capture_output=True, timeout=60)
        record = home.read_server_record()
        assert record is not None
        request = urllib.request.Request(
            f"{record.url}/openapi.json", headers={"Authorization": f"Bearer {home.read_token()}"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status == 200
    finally:
        subprocess.run([PENSTOCK, "down"], env=environment, check=False, capture_output=True, timeout=60)
    modules = loaded((home.logs / "server.log").read_text("utf-8", "replace"))
    assert {"fastapi", "sqlalchemy", "penstock"} <= modules, "the report was not read"
    assert not modules & HEAVY


def test_the_client_loads_no_server_library():
    program = "import penstock; penstock.Workspace; penstock.command; penstock.Input; penstock.Estimator"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **REPORT}, check=True, capture_output=True, text=True
    )
    modules = loaded(done.stderr)
    assert "penstock" in modules
    assert not modules & (HEAVY | SERVER_ONLY)


def test_help_loads_neither_server_nor_entities():
    done = subprocess.run(
        [PENSTOCK, "--help"], env={**os.environ, **REPORT}, check=True, capture_output=True, text=True
    )
    modules = loaded(done.stderr)
    assert "penstock" in modules
    assert not modules & (HEAVY | SERVER_ONLY | {"pydantic", "yaml"})
