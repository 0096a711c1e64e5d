"""A score.py behind the promise of every runtime."""

from __future__ import annotations

import sys

import pytest

from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse
from penstock.shim.score_answers import Scorer
from penstock.shim.score_inputs import Request
from penstock.shim.score_script import load_script
from penstock.shim.score_settings import read_settings
from penstock.testing.runtimes import RuntimeConformance

SCRIPT = """
import json
def init():
    global factor
    factor = 3
def run(raw):
    return {"tripled": [factor * value for value in json.loads(raw)["data"]]}
"""


class ScriptRuntime:
    """A script in this process; its ``init`` is its warm-up."""

    def __init__(self, folder):
        path = folder / "conforming_score.py"
        path.write_text(SCRIPT)
        script = load_script(str(path), str(folder))
        script.init()
        self._scorer = Scorer(script, read_settings({}, str(folder), str(path)))

    def warm_up(self):
        pass

    def score(self, request):
        headers = {"Content-Type": request.content_type}
        reply = self._scorer(Request(request.method, request.path, request.query, headers, request.body))
        return ScoreResponse(reply.body, reply.content_type, reply.status, dict(reply.headers))

    def describe(self):
        return self._scorer.describe()


class TestScript(RuntimeConformance):
    @pytest.fixture
    def runtime(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
        yield ScriptRuntime(tmp_path)
        sys.modules.pop("conforming_score", None)

    @pytest.fixture
    def good(self):
        return ScoreRequest(b'{"data": [1, 2]}')

    @pytest.fixture
    def mistakes(self):
        return [
            ScoreRequest(b"\xff\xfe"),
            ScoreRequest(b"", method="PUT"),
            ScoreRequest(b"", method="GET", path="/nowhere"),
            ScoreRequest(b"", method="GET", path="/swagger.json", query="version=9"),
        ]

    @pytest.fixture
    def failing(self):
        return ScoreRequest(b'{"other": 1}')
