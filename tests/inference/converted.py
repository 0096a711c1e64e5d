"""What is common to the tests of converted models: recorded ones, and one case asked and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from penstock.inference.protocols.answering import answer
from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.converted import ConvertedRuntime

RECORDED = Path(__file__).with_name("recorded_conversions")
TOLERANCE = 1e-5


def check_case(runtime: ConvertedRuntime, case: dict[str, Any]) -> None:
    """Ask what was asked of MLflow's scoring server: right answers are equal, wrong requests are refused."""
    said = answer(runtime, ScoreRequest(case["body"].encode(), case["content_type"], path="/invocations"))
    is_missing = b"takes no missing values" in said.body and "null" in case["body"]
    if case["status"] == 200 and not (is_missing and not runtime.layout.takes_missing):  # as the guide says
        assert said.status == 200, (case, said.body)
        assert is_equal(json.loads(said.body), case["answer"]), (case, said.body)
    else:
        assert 400 <= said.status < 500, (case, said.body)


def is_equal(mine: Any, wanted: Any) -> bool:
    """Return whether answers are of the same types and equal, numbers within the tolerance."""
    if type(mine) is not type(wanted):
        return False
    if isinstance(mine, list):
        return len(mine) == len(wanted) and all(is_equal(one, other) for one, other in zip(mine, wanted, strict=True))
    if isinstance(mine, dict):
        return mine.keys() == wanted.keys() and all(is_equal(mine[key], wanted[key]) for key in mine)
    if isinstance(mine, float):
        return bool(abs(mine - wanted) <= TOLERANCE * max(1.0, abs(wanted)))
    return bool(mine == wanted)
