"""Requests to ``/invocations`` that MLflow's own scoring server has answered, and how to ask it again.

``python -m tests.protocols.mlflow_cases`` writes ``recorded/mlflow.json`` anew, with MLflow in a venv of its own.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from onnx import TensorProto
from tests.mlflow.venvs import make_venv
from tests.protocols.models import echo, house, scores

SERVER = ("mlflow-onnx", ("mlflow==3.17.2", "onnx==1.22.0", "onnxruntime==1.29.0"))
"""MLflow's scoring server with what its ONNX flavour needs; of one version, because its answers are recorded."""
RECORDED = Path(__file__).parent / "recorded" / "mlflow.json"
JSON, CSV = "application/json", "text/csv"


def models() -> dict[str, bytes]:
    return {"house": house(is_flat=True), "rows": echo(TensorProto.FLOAT, ["n", 4]), "scores": scores()}


def sent(model: str, body: Any, content_type: str = JSON) -> dict[str, str]:
    return {"model": model, "body": body if isinstance(body, str) else json.dumps(body), "content_type": content_type}


HOUSE = {"columns": ["area", "rooms"], "data": [[50.5, 3.5], [60.5, 2.5]]}
ROW = [1.5, 2, 3, 4]
CASES = [
    sent("house", {"dataframe_split": HOUSE}),
    sent("house", {"dataframe_split": {**HOUSE, "index": [4, 5]}}),
    sent("house", {"dataframe_split": {"columns": ["rooms", "area"], "data": [[3.5, 50.5]]}}),
    sent("house", {"dataframe_split": {"columns": ["rooms", "age", "area"], "data": [[3.5, 9, 50.5]]}}),
    sent("house", {"dataframe_split": HOUSE, "params": {}}),
    sent("house", {"dataframe_split": HOUSE, "unknown": 1}),
    sent("house", {"dataframe_records": [{"area": 50.5, "rooms": 3.5}, {"rooms": 2.5, "area": 60.5}]}),
    sent("house", {"inputs": {"area": [50.5, 60.5], "rooms": [3.5, 2.5]}}),
    sent("house", {"instances": [{"area": 50.5, "rooms": 3.5}, {"area": 60.5, "rooms": 2.5}]}),
    sent("house", "area,rooms\n50.5,3.5\n60.5,2.5\n", CSV),
    sent("house", "rooms,area\n3.5,50.5\n", f"{CSV}; charset=utf-8"),
    sent("house", 'area,"rooms"\r\n 50.5,3.5\r\n', CSV),
    sent("house", {"dataframe_split": HOUSE}, f"{JSON}; charset=UTF-8"),
    sent("house", {"dataframe_split": HOUSE}, f"{JSON}; charset=latin-1"),
    sent("house", {"dataframe_split": HOUSE}, f"{JSON}; format=pandas-split"),
    sent("house", {"dataframe_split": HOUSE}, "text/plain"),
    sent("house", {"dataframe_split": {"columns": ["area"], "data": [[50]]}}),
    sent("house", {"dataframe_split": {"columns": ["area", "rooms"], "data": [[50]]}}),
    sent("house", {"dataframe_split": {"columns": ["area", "rooms"]}}),
    sent("house", {"dataframe_split": {**HOUSE, "rows": 1}}),
    sent("house", {"dataframe_split": [1]}),
    sent("house", {"dataframe_records": {"area": 1}}),
    sent("house", {"dataframe_split": HOUSE, "inputs": {}}),
    sent("house", {"data": [[1, 2]]}),
    sent("house", {}),
    sent("house", [[1, 2]]),
    sent("house", "7"),
    sent("house", "{"),
    sent("house", "", CSV),
    sent("rows", {"inputs": [ROW, ROW]}),
    sent("rows", {"inputs": {"x": [ROW]}}),
    sent("rows", {"instances": [ROW, ROW]}),
    sent("rows", {"instances": [{"x": ROW}, {"x": ROW}]}),
    sent("rows", {"inputs": [ROW], "params": {"top_k": 3}}),
    sent("rows", {"inputs": [[1, 2, 3]]}),
    sent("rows", {"inputs": {"z": [ROW]}}),
    sent("house", {"inputs": {"area": [50.5], "room": [3.5]}}),
    sent("house", {"instances": [{"area": 50.5, "rooms": 3.5}, {"area": 1.5}]}),
    sent("house", {"instances": {"area": 1}}),
    sent("rows", {"inputs": [["a", "b", "c", "d"]]}),
    sent("rows", {"inputs": "text"}),
    sent("scores", {"inputs": [ROW]}),
    sent("scores", {"instances": [ROW, [9, 0, 0, 0]]}),
]

_PROGRAM = """
import json, sys, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
import mlflow, onnx, mlflow.onnx
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import invocations
folder, cases = sys.argv[1], json.load(sys.stdin)
loaded, answers = {}, []
for case in cases:
    name = case["model"]
    if name not in loaded:
        mlflow.onnx.save_model(onnx.load(f"{folder}/{name}.onnx"), f"{folder}/{name}")
        loaded[name] = mlflow.pyfunc.load_model(f"{folder}/{name}")
    model = loaded[name]
    try:
        found = invocations(case["body"].encode(), case["content_type"], model, model.metadata.get_input_schema())
        answers.append([found.status, found.mimetype, found.response])
    except MlflowException as error:  # as the server's own wrapper does
        answers.append([error.get_http_status_code(), "application/json", error.serialize_as_json()])
print("answers" + json.dumps(answers))
"""


def ask_mlflow(folder: Path, cases: list[dict[str, str]]) -> list[list[Any]]:
    """Return MLflow's (status, content type, text) for each case."""
    for name, content in models().items():
        (folder / f"{name}.onnx").write_bytes(content)
    command = [str(make_venv(*SERVER)), "-c", _PROGRAM, str(folder)]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=True, timeout=300)
    answers: list[list[Any]] = json.loads(done.stdout.rpartition("answers")[2])
    return [[status, kind, without_trace(text) if kind == JSON else text] for status, kind, text in answers]


def without_trace(text: str) -> str:
    """Return an answer without the server's traceback: it names places of one machine and lines of others' code."""
    said = json.loads(text)
    if not isinstance(said, dict) or "stack_trace" not in said:
        return text
    return json.dumps({key: value for key, value in said.items() if key != "stack_trace"})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        answers = ask_mlflow(Path(name), CASES)
    lines = [json.dumps({**case, "answer": answer}) for case, answer in zip(CASES, answers, strict=True)]
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text("[\n" + ",\n".join(lines) + "\n]\n")
