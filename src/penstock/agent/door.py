"""The server as an agent sees it: a few idempotent calls, and an address that may move.

Tells apart "away" (OSError: try again later) from "refused" (an answer that trying again does not change). A refusal
is in the words of our server, or that is away and another program listens where it did.
"""

from __future__ import annotations

import json

from penstock.agent.connection import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from penstock.agent.assignment import Address

TIMEOUT_S = 60.0
GONE = 410
OVER = frozenset({401, 403, 404, GONE})
"""Answers to an attempt that the server no longer waits for: nothing that is left out would change them."""


class Refused(Exception):
    """The server answered with an error status; ``detail`` is its sentence, bounded.

    ``is_adapted``: what was refused is sent otherwise next time.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}" if status else detail)
        self.status = status
        self.is_adapted = False
        self.detail = detail


class ServerDoor:
    """Calls to the server over one connection; use each instance from one thread only."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None

    def report(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Send the attempt's state with new log text and events; the answer has the server's offsets."""
        return self._call("POST", f"/internal/attempts/{self._address.attempt}/report", payload)

    def finish(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Send how the attempt ended and what it left."""
        return self._call("POST", f"/internal/attempts/{self._address.attempt}/finish", payload)

    def relay(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Send calls that the relay spooled; the answer says which were refused, and which files must come first."""
        return self._call("POST", f"/internal/attempts/{self._address.attempt}/relay", payload)

    def keep_artifacts(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Name files that the running command logged; the answer says which contents must come first."""
        return self._call("POST", f"/internal/attempts/{self._address.attempt}/artifacts", payload)

    def put_blob(self, digest: str, file: BinaryIO, size: int) -> None:
        """Send a file's content; the server checks the digest."""
        self._send("PUT", f"/api/v1/blobs/{digest}", file, size)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def url(self) -> str:
        """Return where the server answers now: its record if it can be read, else what the assignment says."""
        try:
            with open(self._address.server_record, encoding="utf-8") as file:
                return str(json.load(file)["url"])
        except (OSError, ValueError, KeyError, TypeError):
            return self._address.server_url

    def abort(self) -> None:
        """Make the request that another thread waits in fail now."""
        connection = self._connection
        if connection is not None:
            connection.abort()

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
            self._connection = Connection(self.url(), TIMEOUT_S)
        try:
            status, answer = self._connection.request(method, path, self._address.token, body, size)
        except OSError:
            self.close()
            raise
        if 200 <= status < 300:
            return answer
        detail = answer[:500].decode("utf-8", "replace")
        if status >= 500 or status in {408, 425, 429}:
            self.close()
            raise ConnectionError(f"the server answered {status}: {detail}")
        if status != GONE and not _is_own(answer):
            self.close()
            raise ConnectionError(f"something else than the server answered {status}: {detail}")
        raise Refused(status, detail)


def _is_own(answer: bytes) -> bool:
    """Return whether an answer is a problem document as our server writes them, with a code of ours."""
    try:
        document = json.loads(answer)
    except ValueError:
        return False
    return isinstance(document, dict) and isinstance(document.get("code"), str) and "type" in document
