"""Request bodies that ``tritonclient`` writes; ``python -m tests.protocols.triton_cases`` records them anew."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.mlflow.venvs import make_venv

CLIENT = ("tritonclient", ("tritonclient[http]==2.63.0", "numpy>=2.1"))
RECORDED = Path(__file__).parent / "recorded" / "tritonclient.json"

_PROGRAM = """
import base64, json
import numpy as np
import tritonclient.http as http
from tritonclient.utils import np_to_triton_dtype

values = [np.array([[0, 1, 1]], dtype) for dtype in (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64")]
values += [np.array([["a", "gr\\u00fcn", ""]], dtype=object), np.array([[b"raw", b"bytes"]], dtype=np.bytes_)]
cases = []

def add(value, outputs, is_raw=True, **more):
    tensor = http.InferInput("x", list(value.shape), np_to_triton_dtype(value.dtype))
    tensor.set_data_from_numpy(value, binary_data=is_raw)
    body, length = http.InferenceServerClient.generate_request_body([tensor], outputs=outputs, **more)
    data = [item.decode() if isinstance(item, bytes) else item for item in value.flatten().tolist()]
    cases.append({"datatype": tensor.datatype(), "shape": list(value.shape), "data": data,
                  "body": base64.b64encode(body).decode(), "length": length})

for value in values:
    add(value, None)
    add(value, [http.InferRequestedOutput("y", binary_data=True)], request_id="seven", timeout=5, priority=1)
    if value.dtype != np.float16:
        add(value, [http.InferRequestedOutput("y", binary_data=False)], is_raw=False, parameters={"mine": 1})
        add(value, None, is_raw=False, sequence_id=3, sequence_start=True, sequence_end=True)
print(json.dumps(cases))
"""


def ask_client() -> list[dict[str, Any]]:
    """Return what the client writes."""
    command = [str(make_venv(*CLIENT)), "-c", _PROGRAM]
    cases: list[dict[str, Any]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return cases


if __name__ == "__main__":
    RECORDED.write_text("[\n" + ",\n".join(json.dumps(case) for case in ask_client()) + "\n]\n")
