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

CLIENT = ("mlflow", ("mlflow-skinny==3.17.2",))
"""The client alone, of the version whose answers are recorded: a release of MLflow's fails no test here."""

NEWEST = ("mlflow-newest", ("mlflow-skinny>=3.17,<4",))
"""The client alone, in any version that this server promises to understand; for the long tests."""

FULL = ("mlflow-full", ("mlflow==3.17.2",))
"""Server, flavours and scikit-learn; of one version, because its answers are recorded."""

TORCH = "torch==2.13.0"
"""Its CPU build, ``+cpu``, is 0.2 GB to fetch; what an index without that build gives is several GB."""

INSTALLING_S = 400
TORCH_PARTS = ("mlflow-skinny==3.17.2", "numpy", "pandas", "scipy", "pytorch-lightning")


def make_torch_venv() -> Path | None:
    """Return the interpreter of a venv with PyTorch, or None where nobody asked for so large a download.

    It is fetched in continuous integration only (``CI`` is set), by pip, with the machine's own settings: the CPU
    build where an index offers it, else whatever there is, if that comes in time. Elsewhere the venv is used if it is
    there.
    """
    folder = ROOT / ".venvs" / "mlflow-torch"
    if not os.environ.get("CI") and not (folder / "requirements.json").exists():
        return None
    return make_venv("mlflow-torch", TORCH_PARTS, by_pip=TORCH)


def make_venv(name: str, requirements: tuple[str, ...], by_pip: str = "") -> Path:
    """Return the interpreter of a venv that holds what is required; ``by_pip`` is PyTorch's own, or nothing."""
    folder = ROOT / ".venvs" / name
    stamp, wanted = folder / "requirements.json", [*([by_pip] if by_pip else []), *requirements]
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or json.loads(stamp.read_text()) != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            python = str(folder / "bin" / "python")
            uv = [sys.executable, "-m", "uv"]
            environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
            seed = ["--seed"] if by_pip else []
            subprocess.run([*uv, "venv", "-q", *seed, "--python", sys.executable, str(folder)], check=True)
            if by_pip:
                _install_by_pip(python, by_pip)
            install = [*uv, "pip", "install", "-q", "--compile-bytecode", "--python", python, *wanted]
            subprocess.run(install, check=True, env=environment)
            stamp.write_text(json.dumps(wanted))
    return folder / "bin" / "python"


def _install_by_pip(python: str, requirement: str) -> None:
    """Install the CPU build, or what there is where no index has one; raises TimeoutExpired after a while."""
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, f"{requirement}+cpu"], check=False, timeout=INSTALLING_S).returncode:
        subprocess.run([*pip, requirement], check=True, timeout=INSTALLING_S)
