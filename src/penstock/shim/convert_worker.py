"""Convert a scikit-learn model of MLflow to ONNX, in an interpreter that can load it, and write down what it answers.

A short-lived process. Standard library only, Python >= 3.9, besides what the interpreter has for the model. It reads
``task.json`` in a folder, checks the model's files, writes ``candidate-N.onnx`` and ``expected.json`` there; whether
a candidate is equal, another process decides, with the runtime that would serve it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .convert_samples import Refused, Samples, make_frame
from .mlflow_worker import ChangedModel, check_digests

EXPECTED_FILE = "expected.json"
FUNCTIONS = ("predict", "predict_proba")
PACKAGES = ("scikit-learn", "skl2onnx", "onnx", "numpy", "pandas", "mlflow")
OPSETS = {"": 18, "ai.onnx.ml": 3}
_NUMERIC = ("double", "float", "integer", "long", "boolean")


def main(argument: str) -> int:
    """Convert what ``task.json`` in a folder names; a refusal with its reason is an outcome, not a failure.

    Parameters
    ----------
    argument : str
        JSON: ``folder``.
    """
    folder = json.loads(argument)["folder"]
    with open(os.path.join(folder, "task.json"), encoding="utf-8") as file:
        task = json.load(file)
    found: dict[str, Any] = {"versions": _versions(), "candidates": []}
    try:
        check_digests(task["model"], task["digests"])
        found.update(convert(task, folder))
    except Refused as error:
        found["refused"] = str(error)
    except ChangedModel as error:
        found["refused"] = str(error)
    except Exception as error:
        traceback.print_exc()
        found["failed"] = "%s: %s" % (type(error).__name__, str(error)[:500])
    with open(os.path.join(folder, EXPECTED_FILE), "w", encoding="utf-8") as file:
        json.dump(found, file)
    return 0


def convert(task: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return samples and what the model answers to them, and the layout of each candidate that was written."""
    estimator = load_estimator(task["model"], task["flavor"])
    function = task["predict_fn"]
    if function not in FUNCTIONS:
        raise Refused("its pyfunc_predict_fn is %s; %s can be converted" % (function, " and ".join(FUNCTIONS)))
    if not callable(getattr(estimator, function, None)):
        raise Refused("it has no %s" % function)
    samples = Samples(task["columns"], task["width"], task["example"], task["seed"])
    samples.learn(estimator, getattr(estimator, function))
    clean = samples.rows(task["samples"])
    rows = clean + samples.rows_with_missing()
    frame = make_frame(task["columns"], rows)
    try:
        answers = getattr(estimator, function)(frame)
    except Exception as error:
        raise Refused("it refuses a sample within the declared ranges: %s" % str(error)[:300]) from error
    numpy = import_module("numpy")
    if not isinstance(answers, numpy.ndarray) or answers.dtype.kind not in "biufUO" or answers.ndim > 2:
        raise Refused("its answer is a %s, no array of numbers or texts" % type(answers).__name__)
    if answers.dtype.kind == "O" and not all(isinstance(value, str) for value in answers.ravel()):
        raise Refused("its answer holds objects of Python")
    probabilities = None
    if callable(getattr(estimator, "predict_proba", None)):
        probabilities = estimator.predict_proba(frame)
        if not isinstance(probabilities, numpy.ndarray):
            raise Refused("it gives probabilities for several outputs")
    candidates = list(_candidates(estimator, task, function, folder))
    if not any("file" in candidate for candidate in candidates):
        raise Refused("skl2onnx cannot convert it: %s" % candidates[0]["reason"])
    return {
        "rows": rows,
        "clean": len(clean),
        "answers": answers.tolist(),
        "probabilities": None if probabilities is None else probabilities.tolist(),
        "dtype": "str" if answers.dtype.kind in "UO" else str(answers.dtype),
        "ndim": int(answers.ndim),
        "ranges": samples.describe(),
        "takes_missing": samples.takes_missing,
        "categories": samples.closed_categories,
        "candidates": candidates,
    }


def load_estimator(folder: str, flavor: dict[str, Any]) -> Any:
    """Return the estimator of a model folder whose files were checked, with MLflow where there is one."""
    try:
        loader = import_module("mlflow.sklearn")
    except ImportError:
        pass
    else:
        return loader.load_model(folder)
    path = os.path.join(folder, flavor["pickled_model"])
    form = flavor.get("serialization_format", "pickle")
    if form == "skops":
        return import_module("skops.io").load(path, trusted=flavor.get("skops_trusted_types"))
    with open(path, "rb") as file:
        return import_module("cloudpickle" if form == "cloudpickle" else "pickle").load(file)


def _candidates(estimator: Any, task: dict[str, Any], function: str, folder: str) -> Any:
    """Convert with numbers of 32 bits, then of 64; with one input for all columns where they are all numbers."""
    classes = getattr(estimator, "classes_", None) is not None
    options = {id(estimator): {"zipmap": False}} if classes and _is_classifier(estimator) else None
    columns = task["columns"]
    is_numeric = columns is None or all(column["type"] in _NUMERIC for column in columns)
    layouts = (["matrix"] if is_numeric else []) + (["columns"] if columns is not None else [])
    skl2onnx = import_module("skl2onnx")
    for number, (precision, layout) in enumerate((p, one) for p in ("float32", "float64") for one in layouts):
        made: dict[str, Any] = {"precision": precision, "layout": layout}
        try:
            graph = skl2onnx.to_onnx(
                estimator,
                initial_types=_initial_types(columns, task["width"], precision, layout),
                options=options,
                target_opset=_opsets(skl2onnx),
            )
            made["file"] = "candidate-%d.onnx" % number
            made["outputs"] = [output.name for output in graph.graph.output]
            made["output"] = made["outputs"][1 if function == "predict_proba" else 0]
            with open(os.path.join(folder, made["file"]), "wb") as file:
                file.write(graph.SerializeToString())
        except Exception as error:
            made.pop("file", None)
            made["reason"] = "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:300])
        yield made


def _is_classifier(estimator: Any) -> bool:
    return bool(import_module("sklearn.base").is_classifier(estimator))


def _opsets(skl2onnx: Any) -> dict[str, int]:
    most = getattr(skl2onnx, "__max_supported_opset__", OPSETS[""])
    return {"": min(OPSETS[""], most), "ai.onnx.ml": OPSETS["ai.onnx.ml"]}


def _initial_types(columns: Any, width: int, precision: str, layout: str) -> list[Any]:
    types = import_module("skl2onnx.common.data_types")
    number = types.FloatTensorType if precision == "float32" else types.DoubleTensorType
    if layout == "matrix":
        return [("X", number([None, width]))]
    return [
        (column["name"], (types.StringTensorType if column["type"] == "string" else number)([None, 1]))
        for column in columns
    ]


def _versions() -> dict[str, str]:
    found = {"python": "%d.%d.%d" % sys.version_info[:3]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
