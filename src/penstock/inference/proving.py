"""``python -m penstock.inference.proving FOLDER``: whether a converted model answers as the model does.

``shim/convert_worker`` left candidates and what the model answers to every sample. Each candidate is asked through the
runtime that would serve it; the first that agrees becomes ``model.onnx``. Agreeing means: labels (whole numbers,
truths, texts) identical, probabilities within 1e-5, other numbers within 1e-5 of the greater of 1 and their size.
``conversion.json`` records the verdict with its numbers.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from penstock.entities.errors import PenstockError
from penstock.inference.protocols.invocations import parse
from penstock.inference.runtimes.converted import CONVERSION_FILE, ConvertedRuntime
from penstock.shim.convert_worker import EXPECTED_FILE
from penstock.version import __version__

TOLERANCE = 1e-5
ALONE = 20
"""So many rows are asked one by one too: a row's answer must not depend on its neighbours."""

EQUAL, DIFFERENT, REFUSED, FAILED = "equal", "different", "refused", "failed"


def main(arguments: Sequence[str]) -> int:
    """Judge the candidates of a folder and write ``conversion.json``."""
    folder = Path(arguments[0])
    task = msgspec.json.decode((folder / "task.json").read_bytes())
    found = msgspec.json.decode((folder / EXPECTED_FILE).read_bytes())
    report: dict[str, Any] = {
        "samples": task["samples"],
        "example_rows": len(task["example"]),
        "seed": task["seed"],
        "tolerance": TOLERANCE,
        "versions": found["versions"] | _own_versions(),
    }
    kept: dict[str, Any] = {"report": report}
    if "failed" in found or "refused" in found:
        verdict = FAILED if "failed" in found else REFUSED
        report |= {"verdict": verdict, "reason": found[verdict]}
    else:
        report["ranges"] = found["ranges"]
        report |= _judge(folder, task, found, kept)
    (folder / CONVERSION_FILE).write_bytes(msgspec.json.encode(kept))
    return 0


def _judge(folder: Path, task: Mapping[str, Any], found: Mapping[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    attempts = []
    for number, candidate in enumerate(found["candidates"]):
        attempt = {"precision": candidate["precision"], "layout": candidate["layout"]}
        if "file" not in candidate:
            attempts.append(attempt | {"verdict": REFUSED, "reason": candidate["reason"]})
            continue
        layout: dict[str, Any] = {
            "width": task["width"],
            "columns": task["columns"],
            "layout": candidate["layout"],
            "output": candidate["output"],
            "dtype": found["dtype"],
            "ndim": found["ndim"],
            "categories": found["categories"],
        }
        place = folder / f"try-{number}"
        place.mkdir()
        (folder / candidate["file"]).rename(place / "model.onnx")
        shutil.copyfile(Path(task["model"]) / "MLmodel", place / "MLmodel")
        for takes_missing in _missing(task, found):
            layout["takes_missing"] = takes_missing
            (place / CONVERSION_FILE).write_bytes(msgspec.json.encode({"layout": layout}))
            seen = found if takes_missing else _without_missing(found)
            try:
                compared = compare(ConvertedRuntime(place), task, seen, candidate["outputs"])
            except (PenstockError, ValueError, KeyError, TypeError) as error:
                compared = {"verdict": FAILED, "reason": str(error)[:300]}
            attempts.append(attempt | {"takes_missing": takes_missing} | compared)
            if compared["verdict"] == EQUAL:
                (place / "model.onnx").rename(folder / "model.onnx")
                (place / "MLmodel").rename(folder / "MLmodel")
                kept["layout"] = layout
                return {"verdict": EQUAL, "attempts": attempts, **attempts[-1]}
    best = next((one for one in attempts if one["verdict"] == DIFFERENT), attempts[0])
    return {"verdict": best["verdict"], "reason": best["reason"], "attempts": attempts}


def _missing(task: Mapping[str, Any], found: Mapping[str, Any]) -> Sequence[bool]:
    """Return which ways to try: with missing values where the model takes them, without where none are declared.

    They are declared by an optional column of the signature, or by one in the input example. Trees take them however
    they were trained, and answer them in their own way.
    """
    if not found["takes_missing"]:
        return (False,)
    is_declared = any(not column.get("required", True) for column in task["columns"] or ())
    return (True,) if is_declared or any(None in row for row in task["example"]) else (True, False)


def _without_missing(found: Mapping[str, Any]) -> Mapping[str, Any]:
    clean, probabilities = found["clean"], found["probabilities"]
    return {
        **found,
        "rows": found["rows"][:clean],
        "answers": found["answers"][:clean],
        "probabilities": None if probabilities is None else probabilities[:clean],
    }


def compare(
    runtime: ConvertedRuntime, task: Mapping[str, Any], found: Mapping[str, Any], outputs: Sequence[str]
) -> dict[str, Any]:
    """Return a verdict with its numbers on all samples of a candidate."""
    rows, wanted = found["rows"], found["answers"]
    answers = runtime.predict(parse(_body(task, rows), "application/json"))
    for number in range(min(ALONE, len(rows))):
        answers[number] = runtime.predict(parse(_body(task, rows[number : number + 1]), "application/json"))[0]
    is_number = np.dtype(found["dtype"]).kind == "f" if found["dtype"] != "str" else False
    numbers: dict[str, Any] = {"labels_seen": None if is_number else len({str(answer) for answer in wanted})}
    greatest, different = 0.0, 0
    if is_number:
        greatest = _distance(wanted, answers, is_relative=found["probabilities"] is None)
    else:
        different = sum(
            1 for one, other in zip(wanted, answers, strict=True) if one != other or type(one) is not type(other)
        )
    if found["probabilities"] is not None and len(outputs) > 1:
        feeds = runtime.feeds(parse(_body(task, rows), "application/json"))
        greatest = max(greatest, _distance(found["probabilities"], runtime.run(feeds)[outputs[1]]))
    numbers |= {"labels_different": different, "greatest_difference": greatest}
    if different:
        return numbers | {"verdict": DIFFERENT, "reason": f"{different} of {len(rows)} labels differ"}
    if not greatest <= TOLERANCE:
        return numbers | {"verdict": DIFFERENT, "reason": f"answers differ by {greatest:.3g}, more than {TOLERANCE:g}"}
    return numbers | {"verdict": EQUAL}


def _distance(wanted: Any, got: Any, *, is_relative: bool = False) -> float:
    first, second = np.asarray(wanted, dtype=np.float64), np.asarray(got, dtype=np.float64)
    if first.shape != second.shape:
        return float("inf")
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        distance = np.abs(first - second)
    if is_relative:
        distance = distance / np.maximum(1.0, np.abs(first))
    distance = np.where(same, 0.0, distance)
    return float("inf") if np.isnan(distance).any() else float(distance.max(initial=0.0))


def _body(task: Mapping[str, Any], rows: Sequence[Any]) -> bytes:
    if task["columns"] is None:
        return msgspec.json.encode({"inputs": rows})
    names = [column["name"] for column in task["columns"]]
    return msgspec.json.encode({"dataframe_split": {"columns": names, "data": rows}})


def _own_versions() -> dict[str, str]:
    found = {"penstock": __version__}
    for package in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
