"""MLServer with two workers; W1 as a tensor of the Open Inference Protocol, W2 as base64 bytes in it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    from mlserver import MLModel
    from mlserver.codecs import NumpyCodec
    from mlserver.types import InferenceRequest, InferenceResponse
except ImportError:
    MLModel = object  # only its own server needs it
from work import load_digits, load_photos

KIND = os.environ["BENCH_KIND"]


class Bench(MLModel):
    async def load(self) -> bool:
        self.score = load_digits() if KIND == "w1" else load_photos()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        import numpy as np

        if KIND == "w1":
            answer = np.array(self.score(NumpyCodec.decode_input(payload.inputs[0])))
        else:
            content = payload.inputs[0].data[0]
            answer = np.array(self.score(base64.b64decode(content)))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("answer", answer)])


if __name__ == "__main__":
    port = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "http_port": port,
            "grpc_port": port - 1000 if port > 30000 else port + 1000,
            "metrics_port": port - 2000 if port > 30000 else port + 2000,
            "parallel_workers": 2,
            "host": "127.0.0.1",
            "debug": False,
            "metrics_endpoint": None,
        }
        (Path(folder) / "settings.json").write_text(json.dumps(settings))
        model = {"name": KIND, "implementation": "start_mlserver.Bench", "parameters": {"uri": "."}}
        (Path(folder) / "model-settings.json").write_text(json.dumps(model))
        sys.exit(subprocess.call([str(Path(sys.executable).with_name("mlserver")), "start", folder]))
