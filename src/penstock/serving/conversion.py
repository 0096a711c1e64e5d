"""Convert scikit-learn models of MLflow to ONNX where the result is proven equal, and keep what came of it.

Pickles are loaded in a short-lived process, never here: ``shim/convert_worker`` in an interpreter that fits the model,
then ``inference/proving`` in ours. The outcome is kept by the model's content and by the versions that decide it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from penstock.compute.environments.base import EnvironmentBackend
from penstock.compute.environments.building import locked, run_builder
from penstock.entities.asset import EnvironmentSpec, Tree, TreeEntry
from penstock.entities.errors import PenstockError
from penstock.serving.launch import TELEMETRY_OFF, shim_command
from penstock.serving.mlflow_model import MlflowModel, SklearnModel
from penstock.stores.blobs.base import BlobStore

FORMAT = 1
SAMPLES = 1000
MAX_MODEL_BYTES = 512 * 2**20
TIMEOUT_S = 600.0
REPORT_FILE = "conversion.json"
SERVED = ("model.onnx", "MLmodel", REPORT_FILE)
EQUAL, REFUSED, FAILED = "equal", "refused", "failed"
CONVERTERS = ("skl2onnx>=1.18", "onnx>=1.17")
_LOADERS = {"skops": "skops", "cloudpickle": "cloudpickle", "pickle": "pickle"}
_DECISIVE = ("onnxruntime", "onnxruntime-gpu", "skl2onnx")

Report = Mapping[str, Any]


class Conversions:
    """What came of each model; safe to call from several threads.

    Parameters
    ----------
    blobs : BlobStore
        Holds the models' files, and gets the converted ones.
    environments : EnvironmentBackend
        Builds an interpreter where ours does not fit the model.
    folder : Path
        Where outcomes are kept; may be deleted, they are made again.
    """

    def __init__(self, blobs: BlobStore, environments: EnvironmentBackend, folder: Path) -> None:
        self._blobs = blobs
        self._environments = environments
        self._folder = folder
        self._versions = {name: _version(name) for name in _DECISIVE}
        self._passing: dict[str, Report] = {}
        self._served: dict[str, Tree] = {}
        self._lock = threading.Lock()

    def find(self, tree: Tree, model: SklearnModel, environment: EnvironmentSpec | None) -> Report | None:
        """Return the report on a model, None where it was not tried yet."""
        key = self._key(tree, environment)
        with self._lock:
            if key in self._passing:
                return self._passing[key]
        try:
            kept = msgspec.json.decode((self._folder / key / REPORT_FILE).read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        report: Report = kept["report"]
        return report

    def served_tree(self, tree: Tree, environment: EnvironmentSpec | None) -> Tree:
        """Return the converted model as a folder of blobs; those that a collection removed are put back."""
        key = self._key(tree, environment)
        with self._lock:
            known = self._served.get(key)
        if known is not None and not self._blobs.missing(entry.digest for entry in known.entries):
            return known
        place = self._folder / key
        entries = []
        for name, (digest, size) in zip(SERVED, self._blobs.put_files([place / name for name in SERVED]), strict=True):
            entries.append(TreeEntry(path=name, digest=digest, size=size))
        served = Tree(entries=tuple(sorted(entries, key=lambda entry: entry.path)))
        with self._lock:
            self._served[key] = served
        return served

    def convert(
        self, tree: Tree, model: MlflowModel, environment: EnvironmentSpec | None, log: Callable[[str], None]
    ) -> Report:
        """Try to convert a model and return the report; takes seconds, or minutes where an environment is built."""
        assert model.sklearn is not None
        key = self._key(tree, environment)
        reason = model.sklearn.problem
        if not reason and tree.size > MAX_MODEL_BYTES:
            reason = f"it has more than {MAX_MODEL_BYTES >> 20} MB"
        if not reason and find_spec("onnxruntime") is None:
            reason = "onnxruntime is not installed here (extra onnx)"
        if reason:
            return self._pass(key, {"verdict": REFUSED, "reason": reason})
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._folder / f"{key}.lock", None) as lock:
            known = self.find(tree, model.sklearn, environment)
            if known is not None:
                return known
            building = Path(tempfile.mkdtemp(prefix=".building-", dir=self._folder))
            try:
                _Attempt(self._blobs, self._environments, building, lock, log).run(tree, model, environment)
                kept = msgspec.json.decode((building / REPORT_FILE).read_bytes())
                report: dict[str, Any] = kept["report"]
                if report["verdict"] == FAILED:
                    return self._pass(key, report)
                result = building / "result"
                result.mkdir()
                for name in SERVED if report["verdict"] == EQUAL else (REPORT_FILE,):
                    (building / name).rename(result / name)
                shutil.rmtree(self._folder / key, ignore_errors=True)
                result.rename(self._folder / key)
            except (PenstockError, OSError, msgspec.DecodeError) as error:
                return self._pass(key, {"verdict": FAILED, "reason": str(error)[:1000]})
            finally:
                shutil.rmtree(building, ignore_errors=True)
        log(f"conversion to ONNX: {describe(report)}")
        return report

    def _pass(self, key: str, report: Report) -> Report:
        """Keep a report as long as this process lives: what it says may be different tomorrow."""
        with self._lock:
            self._passing[key] = report
        return report

    def _key(self, tree: Tree, environment: EnvironmentSpec | None) -> str:
        content = {
            "format": FORMAT,
            "model": sorted((entry.path, entry.digest) for entry in tree.entries),
            "environment": None if environment is None else environment.conda_file,
            "versions": self._versions,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


class _Attempt:
    """One conversion in a folder of its own."""

    def __init__(
        self,
        blobs: BlobStore,
        environments: EnvironmentBackend,
        folder: Path,
        lock: int,
        log: Callable[[str], None],
    ) -> None:
        self._blobs = blobs
        self._environments = environments
        self._folder = folder
        self._lock = lock
        self._log = log

    def run(self, tree: Tree, model: MlflowModel, environment: EnvironmentSpec | None) -> None:
        """Leave ``conversion.json``, and ``model.onnx`` where it is equal."""
        assert model.sklearn is not None
        place = self._folder / "model"
        for entry in tree.entries:
            file = place / entry.path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as copy:
                for chunk in self._blobs.open(entry.digest):
                    copy.write(chunk)
        self._write_task(tree, model.sklearn)
        is_own = environment is None or environment == model.environment
        if is_own and _fits(model.sklearn):
            self._log("converting the model to ONNX, in Penstock's own interpreter")
            self._convert(sys.executable)
            if "failed" not in self._expected():
                self._prove()
                return
        wanted = environment or model.environment
        if wanted is None:
            raise PenstockError(f"{model.problem}; and scikit-learn {model.sklearn.version} is not installed here")
        if not isinstance(wanted.conda_file, dict):
            raise PenstockError("the deployment's environment is no conda_file, to which the converter could be added")
        self._log("converting the model to ONNX, in an environment of its versions and skl2onnx")
        built = self._environments.prepare(_with_converters(wanted.conda_file), log=self._log)
        self._convert(str(built.interpreter))
        self._prove()

    def _write_task(self, tree: Tree, model: SklearnModel) -> None:
        content = hashlib.sha256(json.dumps(sorted((e.path, e.digest) for e in tree.entries)).encode()).hexdigest()
        task = {
            "model": str(self._folder / "model"),
            "digests": {entry.path: entry.digest for entry in tree.entries},
            "flavor": model.flavor,
            "predict_fn": model.predict_fn,
            "columns": model.columns,
            "width": model.width,
            "example": model.example,
            "samples": SAMPLES,
            "seed": int(content[:8], 16),
        }
        (self._folder / "task.json").write_text(json.dumps(task), "utf-8")

    def _expected(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads((self._folder / "expected.json").read_text("utf-8"))
        return found

    def _convert(self, interpreter: str) -> None:
        self._run(shim_command(interpreter, "convert_worker", {"folder": str(self._folder)}))

    def _prove(self) -> None:
        self._run([sys.executable, "-P", "-m", "penstock.inference.proving", str(self._folder)])

    def _run(self, command: list[str]) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        environment |= {TELEMETRY_OFF: "1", "PYTHONUNBUFFERED": "1"}
        lines: list[str] = []

        def keep(line: str) -> None:
            lines[:] = [*lines[-8:], line]
            self._log(line)

        ends_at = time.monotonic() + TIMEOUT_S

        def is_late() -> bool:
            if time.monotonic() > ends_at:
                raise PenstockError(f"the conversion took longer than {TIMEOUT_S:g} s")
            return False

        status = run_builder(command, environment=environment, lock=self._lock, log=keep, should_stop=is_late)
        if status:
            raise PenstockError(f"the converter ended with status {status}: " + "\n".join(lines)[-800:])


def describe(report: Report) -> str:
    """Return a report as one sentence."""
    if report["verdict"] != EQUAL:
        return f"{report['verdict']}: {report.get('reason', '')}"
    compared = f"{report['samples']} samples and {report['example_rows']} rows of the input example"
    return f"equal on {compared}; greatest difference {report['greatest_difference']:.3g}"


def _fits(model: SklearnModel) -> bool:
    """Return whether our own interpreter can load and convert a model."""
    modules = ["skl2onnx", _LOADERS.get(str(model.flavor.get("serialization_format", "pickle")), "?")]
    if model.columns is not None:
        modules.append("pandas")
    has_them = all(find_spec(name) is not None for name in modules)
    return has_them and not model.flavor.get("code") and _version("scikit-learn") == model.version


def _with_converters(conda: Mapping[str, Any]) -> EnvironmentSpec:
    dependencies = []
    for item in conda.get("dependencies", []):
        dependencies.append({"pip": [*item["pip"], *CONVERTERS]} if isinstance(item, dict) and "pip" in item else item)
    if not any(isinstance(item, dict) for item in dependencies):
        dependencies.append({"pip": list(CONVERTERS)})
    return EnvironmentSpec(conda_file={"dependencies": dependencies})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
