"""A debugger gets in before the script is imported, by its own protocol."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.venvs import make_venv
from tests.scoring.driver import free_port

from penstock.serving.launch import shim_command

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SCRIPT = "import debugpy\ndef init(): pass\ndef run(raw): return debugpy.is_client_connected()\n"


class Debugger:
    """As much of the debug adapter protocol as attaching takes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._file = self._socket.makefile("rwb")
        self._number = 0

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def send(self, command: str, **arguments: Any) -> None:
        self._number += 1
        sent = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        content = json.dumps(sent).encode()
        self._file.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self._file.flush()

    def wait(self, kind: str, name: str) -> None:
        while True:
            head = self._file.readline()
            self._file.readline()
            message = json.loads(self._file.read(int(head.split(b":")[1])))
            if message["type"] == kind and message.get("event", message.get("command")) == name:
                return


def test_a_debugger_attaches_before_the_script_runs(tmp_path: Path) -> None:
    python = make_venv("debugpy", ("debugpy>=1.8",))
    (tmp_path / "score.py").write_text(SCRIPT)
    (tmp_path / "sample.json").write_text("{}")
    port = free_port()
    place = {"script": str(tmp_path / "score.py"), "code": str(tmp_path), "app_root": str(tmp_path)}
    given = {**place, "data": str(tmp_path / "sample.json"), "image": "", "field": "image", "debug_port": port}
    with subprocess.Popen(
        shim_command(str(python), "score_trial", given),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        try:
            line = ""
            while "Waiting for a debugger" not in line:
                line = process.stderr.readline()
                assert line, process.poll()
            assert line == f"Waiting for a debugger at 127.0.0.1:{port}\n"
            debugger = Debugger(port)
            debugger.send("initialize", adapterID="python")
            debugger.wait("response", "initialize")
            debugger.send("attach", justMyCode=True)
            debugger.wait("event", "initialized")
            debugger.send("configurationDone")
            assert process.stdout.readline() == "true\n"
            debugger.close()
            assert process.wait(60) == 0
        finally:
            process.kill()
