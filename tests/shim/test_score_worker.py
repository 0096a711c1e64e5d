"""The process that hosts a score.py, started as the supervisor starts it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

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
