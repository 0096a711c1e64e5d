"""The same model behind a script of one's own, the way Azure ML's ``score.py`` is written.

Nothing here is Penstock's: ``init`` runs once, ``run`` once per request, ``AZUREML_MODEL_DIR`` holds the model.
"""

import base64
import io
import json
import os

import numpy as np
import onnxruntime
from PIL import Image


def init() -> None:
    """Load the model once."""
    global session
    folder = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model")
    session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"])


def run(raw_data: str) -> dict:
    """Answer one request: ``{"image": base64 PNG}``, ``{"images": [...]}`` or ``{"data": rows of 64 values}``."""
    request = json.loads(raw_data)
    if "data" in request:
        rows = np.asarray(request["data"], dtype=np.float32).reshape(-1, 64)
    else:
        pictures = request["images"] if "images" in request else [request["image"]]
        rows = np.stack([decode(picture) for picture in pictures])
    probabilities = session.run(["probabilities"], {session.get_inputs()[0].name: rows})[0]
    return {
        "predictions": [
            {"label": str(index), "index": int(index), "probability": float(row[index])}
            for index, row in zip(probabilities.argmax(axis=1), probabilities, strict=True)
        ]
    }


def decode(text: str) -> np.ndarray:
    """Return a base64 picture as 64 values in 0 ... 1."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        return np.asarray(picture.convert("L"), dtype=np.float32).reshape(64) / 240
