"""Ask a real MLflow server every case and store its answers: ``python -m tests.mlflow.record URL [group …]``.

The stored answers are what the fast tests expect of our server; the long tests ask a real server again and see that
the store still says what it says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.mlflow.cases import GROUPS, all_cases
from tests.mlflow.client import ClientProcess
from tests.mlflow.venvs import CLIENT, make_venv

RECORDED = Path(__file__).parent / "recorded"


def read_recorded(group: str) -> dict[str, Any]:
    """Return the outcomes of a group by the case's name."""
    path = RECORDED / f"{group}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_recorded(group: str, outcomes: dict[str, Any]) -> None:
    """Store the outcomes of a group, one line for each case."""
    lines = (f"{json.dumps(name)}: {json.dumps(outcome, ensure_ascii=False)}" for name, outcome in outcomes.items())
    (RECORDED / f"{group}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main(url: str, groups: list[str]) -> None:
    """Record groups of cases."""
    names = list(all_cases())
    with ClientProcess(make_venv(*CLIENT)) as client:
        for group in groups or GROUPS:
            outcomes = {name: client.run(name, url, "") for name in names if name.startswith(f"{group}.")}
            write_recorded(group, outcomes)
            print(f"{group}: {len(outcomes)} cases")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
