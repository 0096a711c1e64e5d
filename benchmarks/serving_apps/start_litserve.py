"""LitServe with two workers."""

from __future__ import annotations

import base64
import os
import sys

import litserve
from work import load_digits, load_photos

KIND = os.environ["BENCH_KIND"]


class Rows(litserve.LitAPI):
    def setup(self, device):
        self.score = load_digits()

    def decode_request(self, request):
        return request["data"]

    def predict(self, x):
        return self.score(x)

    def encode_response(self, output):
        return {"answer": output}


class Photos(litserve.LitAPI):
    def setup(self, device):
        self.score = load_photos()

    def decode_request(self, request):
        return base64.b64decode(request["image"])

    def predict(self, x):
        return self.score(x)

    def encode_response(self, output):
        return {"answer": output}


if __name__ == "__main__":
    server = litserve.LitServer(Rows() if KIND == "w1" else Photos(), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
