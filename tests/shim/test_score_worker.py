"""The process that hosts a score.py, started as the supervisor starts it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.shim.score_answers import Reply
from penstock.shim.score_worker import write_meta

START = "import sys; from penstock.shim import score_worker; score_worker.main(sys.argv[1])"
WAIT = "print('loading', flush=True)\nimport signal\nwhile True: signal.pause()\n"


@pytest.mark.parametrize("where", ["import", "init"])
def test_a_replica_stopped_while_it_loads_ends_quietly(tmp_path: Path, where: str) -> None:
    indented = "".join(f"    {line}\n" for line in WAIT.splitlines())
    script = WAIT if where == "import" else f"def run(data): pass\ndef init():\n{indented}"
    (tmp_path / "score.py").write_text(script)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        given = {"fd": listener.fileno(), "identity": {}, "code": str(tmp_path), "script": "score.py", "workers": 1}
        with subprocess.Popen(
            [sys.executable, "-c", START, json.dumps(given)],
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().endswith(" azmlinfsrv.print - loading\n")
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate()
    assert (process.returncode, said) == (0, "")


@given(st.integers(100, 599), st.text(), st.lists(st.tuples(st.text(), st.text())))
def test_what_is_said_of_an_answer_is_json(status: int, content_type: str, headers: list[tuple[str, str]]) -> None:
    said = json.loads(write_meta(Reply(status, content_type, headers, b"")))
    assert said == {"status": status, "content_type": content_type, "headers": [list(pair) for pair in headers]}
