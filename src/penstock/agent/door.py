"""The server as an agent sees it: a few idempotent calls, and an address that may move.

Tells apart "away" (OSError: try again later) from "refused" (an answer that trying again does not change).
"""

from __future__ import annotations

import json

from penstock.agent.connection import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from penstock.agent.assignment import Assignment

TIMEOUT_S = 60.0
GONE = 410


class Refused(Exception):
    """The server answered with an error status; ``detail`` is its sentence, bounded."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class ServerDoor:
    """Calls to the server over one connection; use each instance from one thread only."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._connection: Connection | None = None

    def report(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Send the attempt's state with new log text and events; the answer has the server's offsets."""
        return self._call("POST", f"/internal/attempts/{self._assignment.attempt}/report", payload)

    def finish(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Send how the attempt ended and what it left."""
        return self._call("POST", f"/internal/attempts/{self._assignment.attempt}/finish", payload)

    def put_blob(self, digest: str, file: BinaryIO, size: int) -> None:
        """Send a file's content; the server checks the digest."""
        self._send("PUT", f"/api/v1/blobs/{digest}", file, size)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _call(self, method: str, path: str, payload: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(payload, separators=(",", ":")).encode("ascii")
        answer = self._send(method, path, body, len(body))
        try:
            data = json.loads(answer) if answer else {}
        except ValueError as error:
            raise ConnectionError("the answer is not JSON") from error
        return data if isinstance(data, dict) else {}

    def _send(self, method: str, path: str, body: bytes | BinaryIO, size: int) -> bytes:
        """Send a request; raises Refused below 500 and OSError for everything that may pass."""
        if self._connection is None:
            self._connection = Connection(self._url(), TIMEOUT_S)
        try:
            status, answer = self._connection.request(method, path, self._assignment.token, body, size)
        except OSError:
            self.close()
            raise
        if 200 <= status < 300:
            return answer
        detail = answer[:500].decode("utf-8", "replace")
        if status >= 500 or status in {408, 425, 429}:
            self.close()
            raise ConnectionError(f"the server answered {status}: {detail}")
        raise Refused(status, detail)

    def _url(self) -> str:
        """Return where the server answers now: its record if it can be read, else what the assignment says."""
        try:
            with open(self._assignment.server_record, encoding="utf-8") as file:
                return str(json.load(file)["url"])
        except (OSError, ValueError, KeyError, TypeError):
            return self._assignment.server_url
