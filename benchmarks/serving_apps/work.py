"""The user's code of every peer: W1, a class for 64 numbers, by scikit-learn; W2, five classes for a JPEG, by Pillow.

What a user writes by hand, the same for all. ``BENCH_MODELS`` names the folder with the models.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

MODELS = Path(os.environ.get("BENCH_MODELS", "."))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_digits():
    """Return what gives the classes of rows of 64 numbers."""
    import joblib
    import numpy as np

    model = joblib.load(MODELS / "digits.joblib")
    return lambda rows: model.predict(np.asarray(rows, np.float32)).tolist()


def load_photos():
    """Return what gives the best five (class, probability) of a JPEG's bytes."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    session = open_session(onnxruntime, MODELS / "mobilenet.onnx")
    name = session.get_inputs()[0].name
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)

    def score(body):
        picture = Image.open(io.BytesIO(body)).convert("RGB")
        scale = 256 / min(picture.size)
        picture = picture.resize([round(n * scale) for n in picture.size], Image.Resampling.BILINEAR)
        left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
        pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32) / 255
        batch = ((pixels - mean) / std).transpose(2, 0, 1)[None]
        return best_five(np, session.run(None, {name: np.ascontiguousarray(batch)})[0][0])

    return score


def open_session(onnxruntime, file):
    """Return a session with one thread a run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def best_five(np, logits):
    """Return the best five (class, probability)."""
    powers = np.exp(logits - logits.max())
    powers /= powers.sum()
    best = np.argpartition(-powers, 5)[:5]
    return [(int(i), float(powers[i])) for i in best[np.argsort(-powers[best])]]
