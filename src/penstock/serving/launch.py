"""Start a replica's process: which command, environment, log and inherited descriptors it gets.

The gateway binds the replica's socket and hands it over listening, so it can connect at once and the first message
waits in the socket until the process has come up.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.compute import limits, originals
from penstock.rules.quantities import ResourceLimits, read_limits
from penstock.serving.desired import ENV_MODEL_DIR, DesiredDeployment
from penstock.shim import score_worker

MARK = "PENSTOCK_REPLICA"
TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
_SHIM_BOOT = (
    "import sys,types;p=types.ModuleType('penstock_shim');p.__path__=[sys.argv[1]];sys.modules['penstock_shim']=p;"
    "a=sys.argv.pop();del sys.argv[1:];from penstock_shim.{module} import main;sys.exit(main(a))"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a replica listens and logs."""

    replica_id: str
    socket_path: Path
    log: Path


def launch_onnx(place: Place, parent_fd: int, cores: frozenset[int] = frozenset()) -> subprocess.Popen[bytes]:
    """Start a replica for ONNX models; it waits for its assignment. Without ``cores`` it may use all."""
    with _listener(place.socket_path) as listener:
        command = [sys.executable, "-P", "-m", "penstock.serving.replica", str(listener.fileno())]
        return _spawn(command, place, parent_fd, listener, _environment(place, parent_fd), None, cores)


def launch_script(
    place: Place,
    parent_fd: int,
    deployment: DesiredDeployment,
    *,
    code: Path,
    model: Path | None,
    identity: Mapping[str, Any],
    workers: int,
    cores: frozenset[int] = frozenset(),
) -> subprocess.Popen[bytes]:
    """Start a deployment's ``score.py`` in its own interpreter."""
    script = deployment.scoring_script or ""
    environment = _foreign_environment(
        place, parent_fd, deployment, {"AML_APP_ROOT": str(code), "AZUREML_ENTRY_SCRIPT": script}
    )
    if model is not None:
        environment[ENV_MODEL_DIR] = str(model)
    with _listener(place.socket_path) as listener:
        assignment = {
            "fd": listener.fileno(),
            "identity": dict(identity),
            "code": str(code),
            "script": script,
            "workers": workers,
        }
        command = shim_command(deployment.interpreter or sys.executable, "score_worker", assignment)
        return _spawn(command, place, parent_fd, listener, environment, code, cores)


def launch_mlflow(
    place: Place,
    parent_fd: int,
    deployment: DesiredDeployment,
    *,
    model: Path,
    identity: Mapping[str, Any],
    workers: int,
    cores: frozenset[int] = frozenset(),
) -> subprocess.Popen[bytes]:
    """Start a model of MLflow in its own interpreter, with the digests of its files to check before it loads them."""
    environment = _foreign_environment(place, parent_fd, deployment, {ENV_MODEL_DIR: str(model.parent)})
    environment.setdefault("PYTHONDONTWRITEBYTECODE", "1")  # a model's folder may hold code, and stays as it is
    digests = os.memfd_create("digests")
    try:
        with os.fdopen(os.dup(digests), "w", encoding="utf-8") as listed:
            json.dump({entry.path: entry.digest for entry in deployment.model_tree}, listed)
        os.lseek(digests, 0, os.SEEK_SET)
        with _listener(place.socket_path) as listener:
            assignment = {
                "fd": listener.fileno(),
                "identity": dict(identity),
                "model": str(model),
                "digests": digests,
                "workers": workers,
            }
            command = shim_command(deployment.interpreter or sys.executable, "mlflow_worker", assignment)
            return _spawn(command, place, parent_fd, listener, environment, model, cores, (digests,))
    finally:
        os.close(digests)


def shim_command(interpreter: str, module: str, argument: Mapping[str, Any]) -> list[str]:
    """Return what runs a module's ``main`` of the shim in any interpreter, under a name that is in nobody's way."""
    folder = str(Path(score_worker.__file__).parent)
    return [interpreter, "-c", _SHIM_BOOT.format(module=module), folder, json.dumps(argument)]


def _foreign_environment(
    place: Place, parent_fd: int, deployment: DesiredDeployment, given: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a process in a deployment's own interpreter."""
    environment = _environment(place, parent_fd)
    environment.update(_limiting_variables(read_limits(deployment.resources)))
    environment.update({**given, **deployment.environment_variables})
    if deployment.path_prepend:
        environment["PATH"] = os.pathsep.join([*deployment.path_prepend, environment.get("PATH", os.defpath)])
    if deployment.shim:
        own = deployment.environment_variables.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([deployment.shim, own] if own else [deployment.shim])
    return environment


def _limiting_variables(wanted: ResourceLimits) -> dict[str, str]:
    """Return what keeps libraries within a deployment's cores, and away from GPUs where it wants none."""
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if wanted.gpus == 0 else {}
    return hidden if wanted.cores is None else {**hidden, **limits.thread_variables(wanted.cores)}


def _environment(place: Place, parent_fd: int) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    environment.setdefault(TELEMETRY_OFF, "1")  # for score.py scripts that import onnxruntime themselves
    environment.update({"PENSTOCK_PARENT_FD": str(parent_fd), MARK: place.replica_id, "PYTHONUNBUFFERED": "1"})
    return environment


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(256)
    except OSError:
        listener.close()
        raise
    return listener


def _spawn(
    command: list[str],
    place: Place,
    parent_fd: int,
    listener: socket.socket,
    environment: Mapping[str, str],
    folder: Path | None,
    cores: frozenset[int],
    descriptors: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a process; one with a folder of its own runs the user's code, with the user's umask and limits."""
    place.log.parent.mkdir(parents=True, exist_ok=True)
    with place.log.open("ab") as log, limits.on_cores(cores):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
            pass_fds=(listener.fileno(), parent_fd, *descriptors),
            start_new_session=True,
            umask=originals.UNCHANGED if folder is None else originals.umask(),
        )
    if folder is not None:
        originals.restore_open_files(process.pid)
    return process
