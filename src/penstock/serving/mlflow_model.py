"""What a registered model folder's ``MLmodel`` says that a deployment needs: how it is run, and in which environment.

Read from the blob store; nothing of the model is loaded here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.entities.asset import EnvironmentSpec, Tree
from penstock.entities.errors import PenstockError, UsageError
from penstock.plugins import load_module
from penstock.stores.blobs.base import BlobStore

MLMODEL = "MLmodel"
MAX_BYTES = 4 * 2**20
MAX_EXAMPLE_ROWS = 1000
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HAS_MLFLOW = frozenset({"mlflow", "mlflow-skinny"})
NO_ENVIRONMENT = "the model does not say what it needs: it has no conda.yaml, python_env.yaml or requirements.txt"


@dataclass(frozen=True, slots=True)
class SklearnModel:
    """What a conversion needs of a scikit-learn model; ``columns`` is None for a tensor [-1, ``width``].

    ``problem`` says why it cannot be converted, "" where nothing speaks against trying.
    """

    flavor: Mapping[str, Any]
    predict_fn: str
    columns: tuple[Mapping[str, Any], ...] | None
    width: int
    example: tuple[Any, ...]
    problem: str = ""

    @property
    def version(self) -> str:
        """Return the version of scikit-learn that it was saved with."""
        return str(self.flavor.get("sklearn_version", ""))


@dataclass(frozen=True, slots=True)
class MlflowModel:
    """An ``MLmodel`` folder.

    ``environment`` is what its own files ask for, None with ``problem`` where they ask for nothing that can be built.
    """

    is_onnx: bool
    environment: EnvironmentSpec | None
    problem: str
    sklearn: SklearnModel | None


def read_model(blobs: BlobStore, tree: Tree) -> MlflowModel | None:
    """Return what a model folder says, None where it is none of MLflow.

    Raises
    ------
    UsageError
        If its ``MLmodel`` is damaged.
    """
    files = _Files(blobs, tree)
    if MLMODEL not in files.digests:
        return None
    data = files.yaml(MLMODEL)
    flavors = data.get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        raise UsageError(f"{MLMODEL} names no flavors")
    environment, problem = None, ""
    try:
        environment = _environment(files, data)
        if environment is None:
            problem = NO_ENVIRONMENT
    except PenstockError as error:
        problem = error.message
    return MlflowModel("onnx" in flavors, environment, problem, _sklearn(files, data, flavors))


class _Files:
    """A model's small files."""

    def __init__(self, blobs: BlobStore, tree: Tree) -> None:
        self._blobs = blobs
        self.digests = {entry.path: entry.digest for entry in tree.entries}

    def read(self, path: str) -> str:
        digest = self.digests[path]
        if self._blobs.size(digest) > MAX_BYTES:
            raise UsageError(f"{path} has more than {MAX_BYTES} bytes")
        try:
            return self._blobs.read(digest).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is no text: {error}") from error

    def yaml(self, path: str) -> Mapping[str, Any]:
        yaml = load_module("yaml")
        try:
            data = yaml.safe_load(self.read(path))
        except (yaml.YAMLError, RecursionError) as error:
            raise UsageError(f"{path} is no YAML: {str(error)[:200]}") from error
        if not isinstance(data, dict):
            raise UsageError(f"{path} is no YAML mapping")
        return data


def _environment(files: _Files, data: Mapping[str, Any]) -> EnvironmentSpec | None:
    """Return the environment of ``conda.yaml``, else of ``python_env.yaml`` and ``requirements.txt``.

    Of the Python version the first two numbers are wanted: packages and pickles are made for those.
    """
    if "conda.yaml" in files.digests:
        conda = files.yaml("conda.yaml")
        items = conda.get("dependencies")
        dependencies = list(items) if isinstance(items, list) else []
    elif "requirements.txt" in files.digests:
        lines = [line.partition(" #")[0].strip() for line in files.read("requirements.txt").splitlines()]
        pip = [line for line in lines if line and not line.startswith("#")]
        python = None
        if "python_env.yaml" in files.digests:
            python = files.yaml("python_env.yaml").get("python")
        python = python or data.get("flavors", {}).get("python_function", {}).get("python_version")
        dependencies = [*([f"python={python}"] if python else []), {"pip": pip}]
    else:
        return None
    dependencies = [_minor(item) for item in dependencies]
    pip_lines = next((item["pip"] for item in dependencies if isinstance(item, dict) and "pip" in item), None)
    if pip_lines is None:
        pip_lines = []
        dependencies.append({"pip": pip_lines})
    there = {_name(line) for line in [*pip_lines, *(item for item in dependencies if isinstance(item, str))]}
    if not there & _HAS_MLFLOW:  # as MLflow does itself before it serves
        version = data.get("mlflow_version")
        pip_lines.append(f"mlflow=={version}" if version else "mlflow")
    return EnvironmentSpec(conda_file={"dependencies": dependencies})


def _minor(item: Any) -> Any:
    if isinstance(item, str) and item.replace(" ", "").startswith("python="):
        number = item.partition("=")[2].lstrip("= ").split("=")[0]
        return f"python={'.'.join(number.split('.')[:2])}"
    return item


def _name(line: Any) -> str:
    match = _NAME.match(str(line).strip())
    return match.group().lower().replace("_", "-") if match else ""


def _sklearn(files: _Files, data: Mapping[str, Any], flavors: Mapping[str, Any]) -> SklearnModel | None:
    flavor, pyfunc = flavors.get("sklearn"), flavors.get("python_function")
    if not isinstance(flavor, dict) or not isinstance(pyfunc, dict) or pyfunc.get("loader_module") != "mlflow.sklearn":
        return None
    function = str(pyfunc.get("predict_fn", "predict"))
    columns, width, problem = _columns(data.get("signature"))
    example: tuple[Any, ...] = ()
    if not problem:
        example = _example(files, data.get("saved_input_example_info"), columns, width)
        if not example:
            problem = (
                "it has no input example that fits its signature; log it with input_example=…, "
                "or autolog with log_input_examples=True"
            )
    return SklearnModel(flavor, function, columns, width, example, problem)


def _columns(signature: Any) -> tuple[tuple[Mapping[str, Any], ...] | None, int, str]:
    """Return (columns, width, problem) of a signature."""
    try:
        inputs = json.loads(signature["inputs"])
        params = json.loads(signature.get("params") or "null")
    except (TypeError, KeyError, ValueError):
        return None, 0, "it has no signature"
    if params:
        return None, 0, "its signature has params"
    if all(isinstance(one, dict) and isinstance(one.get("type"), str) and one["type"] != "tensor" for one in inputs):
        if not inputs or not all(one.get("name") for one in inputs):
            return None, 0, "its signature has columns without names"
        columns = [{"name": one["name"], "type": one["type"], "required": one.get("required", True)} for one in inputs]
        return tuple(columns), len(inputs), ""
    spec = inputs[0].get("tensor-spec") if len(inputs) == 1 and isinstance(inputs[0], dict) else None
    shape = spec.get("shape") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or inputs[0].get("name") or spec.get("dtype") != "float64":
        return None, 0, "its signature is neither of columns nor of one tensor of float64"
    if (
        not isinstance(shape, list)
        or len(shape) != 2
        or shape[0] != -1
        or not isinstance(shape[1], int)
        or shape[1] < 1
    ):
        return None, 0, f"its signature's tensor has the shape {shape}"
    return None, shape[1], ""


def _example(
    files: _Files, info: Any, columns: tuple[Mapping[str, Any], ...] | None, width: int
) -> tuple[list[Any], ...]:
    """Return the input example's rows in the signature's order; none where it does not fit."""
    if not isinstance(info, dict):
        return ()
    for path in (info.get("serving_input_path"), info.get("artifact_path")):
        if path not in files.digests:
            continue
        try:
            content = json.loads(files.read(path), parse_constant=lambda _: None)
        except (ValueError, RecursionError, PenstockError):
            continue
        rows = _rows(content, columns)
        if rows and all(isinstance(row, list) and len(row) == width for row in rows):
            return tuple(rows[:MAX_EXAMPLE_ROWS])
    return ()


def _rows(content: Any, columns: tuple[Mapping[str, Any], ...] | None) -> list[Any]:
    if isinstance(content, dict):
        content = content.get("dataframe_split", content.get("inputs", content))
    if columns is None:
        return content if isinstance(content, list) else []
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        return []
    names = content.get("columns") or []
    order = [names.index(column["name"]) for column in columns if column["name"] in names]
    is_whole = len(order) == len(columns) and all(isinstance(r, list) and len(r) == len(names) for r in content["data"])
    return [[row[at] for at in order] for row in content["data"]] if is_whole else []
