"""Keep what the public scoring server answers: ``python -m tests.scoring.record [PYTHON]``.

Without the interpreter of a venv that has ``azureml-inference-server-http``, one is made under ``.venvs``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.mlflow.venvs import make_venv
from tests.scoring.cases import CASES, REFUSED, Case
from tests.scoring.driver import ask, lay_out, serving, status_of

from penstock.serving.launch import shim_command

RECORDED = Path(__file__).with_name("recorded.json")
PUBLIC = (
    "scoring-server",
    ("azureml-inference-server-http==1.5.1", "inference-schema[numpy-support,pandas-support]==1.8"),
)
"""The public server, of the version whose answers are recorded."""


def public_command(python: Path) -> list[str]:
    """Return what starts the public server on ``score.py`` in the folder it is started in."""
    return [str(python.with_name("azmlinfsrv")), "--entry_script", "score.py", "--model_dir", ".", "--port", "{port}"]


def our_command(python: Path, folder: Path) -> list[str]:
    """Return what starts our server on ``score.py`` in a folder, in any interpreter."""
    place = {"script": str(folder / "score.py"), "code": str(folder), "app_root": str(folder)}
    given = {**place, "host": "127.0.0.1", "ports": ["{port}"], "workers": 1, "scratch": ""}
    return shim_command(str(python), "score_server", given)


def answers(command: Sequence[str], case: Case, folder: Path) -> list[dict[str, Any]]:
    """Return the answers of a server to a case."""
    lay_out(case, folder)
    with serving(command, folder, case.environment) as port:
        return [ask(port, sent) for sent in case.asks]


def record(python: Path) -> dict[str, Any]:
    """Return what the public server answers to every case."""
    command = public_command(python)
    found: dict[str, Any] = {"cases": {}, "refused": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, case) in enumerate(CASES.items()):
            found["cases"][name] = answers(command, case, Path(scratch) / str(number))
        for name, script in REFUSED.items():
            folder = Path(scratch) / name
            lay_out(Case(script, ()), folder)
            found["refused"][name] = status_of(command, folder)[0]
    return found


def recorded() -> dict[str, Any]:
    """Return what was recorded."""
    found: dict[str, Any] = json.loads(RECORDED.read_text("utf-8"))
    return found


def write(found: dict[str, Any]) -> None:
    """Write an answer a line, so that a change of one shows as one."""
    lines = ["{", ' "cases": {']
    for number, (name, given) in enumerate(found["cases"].items()):
        lines.append(f"  {json.dumps(name)}: [")
        lines += [f"   {json.dumps(each, ensure_ascii=False)}{',' * (each is not given[-1])}" for each in given]
        lines.append("  ]" + "," * (number + 1 < len(found["cases"])))
    lines += [" },", f' "refused": {json.dumps(found["refused"])}', "}", ""]
    RECORDED.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    write(record(Path(os.path.abspath(sys.argv[1])) if len(sys.argv) > 1 else make_venv(*PUBLIC)))
