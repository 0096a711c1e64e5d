"""A process with the real client that runs cases by name: one line of JSON in, one line of JSON out.

Starting an interpreter and importing mlflow costs seconds, so one process runs all cases of a session.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Answer requests until the pipe closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path.insert(0, str(ROOT))
    import mlflow
    from tests.mlflow.cases import all_cases

    cases = all_cases()
    for line in sys.stdin:
        asked = json.loads(line)
        mlflow.set_tracking_uri(asked["url"])
        os.environ["MLFLOW_TRACKING_TOKEN"] = asked["token"]
        if not asked["token"]:
            del os.environ["MLFLOW_TRACKING_TOKEN"]
        try:
            answer: dict[str, Any] = {"outcome": _run(cases, asked)}
        except BaseException:
            answer = {"failure": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _run(cases: dict[str, Any], asked: dict[str, Any]) -> Any:
    from tests.mlflow.cases.base import Bench

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        bench = Bench(asked["url"], asked["token"], Path(folder))
        try:
            return bench.normal(cases[asked["case"]](bench))
        finally:
            os.chdir("/")


if __name__ == "__main__":
    main()
