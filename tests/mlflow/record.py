"""Ask a real MLflow server every case and store its answers: ``python -m tests.mlflow.record URL [group …]``.

With ``ours`` in place of a URL, ask this server and store what it answers otherwise on purpose
(``tests/mlflow/differences.py``). The stored answers are what the fast tests expect of our server; the long tests
ask a real server again and see that the store still says what it says.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.mlflow.cases import GROUPS, all_cases
from tests.mlflow.client import ClientProcess
from tests.mlflow.differences import agrees, reason_of
from tests.mlflow.venvs import CLIENT, make_venv
from tests.server.harness import open_house

RECORDED = Path(__file__).parent / "recorded"
OURS = "ours"


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


def main_of_ours() -> None:
    """Record what this server answers otherwise than MLflow's, where a reason is given."""
    theirs = {name: outcome for group in GROUPS for name, outcome in read_recorded(group).items()}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_house(Path(folder)) as house,
        ClientProcess(make_venv(*CLIENT)) as client,
    ):
        ours = {name: client.run(name, house.url, house.token) for name in theirs if reason_of(name)}
    different = {name: outcome for name, outcome in ours.items() if not agrees(theirs[name], outcome)}
    write_recorded(OURS, different)
    print(f"{len(different)} cases differ")


if __name__ == "__main__":
    if sys.argv[1] == OURS:
        main_of_ours()
    else:
        main(sys.argv[1], sys.argv[2:])
