"""Virtual environments of foreign programs: made once by uv under ``.venvs``, then kept."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CLIENT = ("mlflow", ("mlflow-skinny>=3.17,<4",))
"""The client alone, in any version that this server promises to understand."""

FULL = ("mlflow-full", ("mlflow==3.17.2",))
"""Server, flavours and scikit-learn; of one version, because its answers are recorded."""


def make_venv(name: str, requirements: tuple[str, ...]) -> Path:
    """Return the interpreter of a venv that holds what is required."""
    folder = ROOT / ".venvs" / name
    stamp, wanted = folder / "requirements.json", list(requirements)
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or json.loads(stamp.read_text()) != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            python = str(folder / "bin" / "python")
            uv = [sys.executable, "-m", "uv"]
            environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
            subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
            install = [*uv, "pip", "install", "-q", "--compile-bytecode", "--python", python, *wanted]
            subprocess.run(install, check=True, env=environment)
            stamp.write_text(json.dumps(wanted))
    return folder / "bin" / "python"
