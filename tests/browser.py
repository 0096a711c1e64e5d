"""A real Chromium, driven over a pipe with its DevTools protocol; its profile is a folder that goes with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
_QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,1600")


class Browser:
    """One page of a browser."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = os.fdopen(answers, "rb")
        self._rest = b""
        self._count = 0
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": found["sessionId"]}

    def call(self, method: str, **params: Any) -> Any:
        """Send a command and return its result; events are not looked at."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script: str) -> Any:
        """Return what a script's expression, or the promise it makes, gives."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> Any:
        """Wait until an expression is true, looking at each change of the page."""
        return self.run(
            f"""new Promise((resolve) => {{
                const look = () => {{ const found = ({condition}); if (found) resolve(found); return found; }};
                if (!look()) new MutationObserver((_, seen) => {{ if (look()) seen.disconnect(); }})
                  .observe(document, {{ childList: true, subtree: true, attributes: true, characterData: true }});
            }})"""
        )

    def _read(self) -> Any:
        while b"\0" not in self._rest:
            part = self._answers.read1(1 << 16)
            assert part, "the browser ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def close(self) -> None:
        """Close the pipe."""
        self._answers.close()
        os.close(self._commands)


@contextlib.contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty page and end it with the block."""
    assert CHROMIUM is not None
    (their_in, commands), (answers, their_out) = os.pipe(), os.pipe()
    line = f'exec 3<&{their_in} 4>&{their_out}; exec "$@"'
    arguments = [CHROMIUM, *_OPTIONS, *_QUIET, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        ["bash", "-c", line, "bash", *arguments],
        pass_fds=(their_in, their_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(their_in)
    os.close(their_out)
    browser = Browser(commands, answers)
    try:
        yield browser
    finally:
        browser.close()
        process.terminate()
        process.wait(60)
