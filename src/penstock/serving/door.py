"""The gateway's way to the server: what is wanted comes in, what became of it goes out.

Plain blocking HTTP in threads of its own, so the event loop that scores never waits for it. The server may be away
or move to another port at any time; its record is read again before every connection.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from penstock.entities.errors import RefusedError, UnavailableError
from penstock.home import Home
from penstock.serving.desired import Desired, decode_desired

logger = logging.getLogger(__name__)

WAIT_S = 25
_FOR_NOW = frozenset({401, 403, 408, 421, 425, 429})
"""Refusals that another try may not meet: of a token that was just changed, or of a busy server."""
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)


class ServerDoor:
    """Follow the server's desired state and report to it.

    Parameters
    ----------
    home : Home
        Where the server's record and the internal token are.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def follow(self, revision: int, on_desired: Callable[[Desired], None]) -> None:
        """Call ``on_desired`` in a daemon thread with every desired state newer than ``revision``, for ever."""
        threading.Thread(target=self._follow, args=(revision, on_desired), name="follow", daemon=True).start()

    def report(self, status: Mapping[str, Any]) -> None:
        """Tell the server what became of a deployment, or of an endpoint's traffic.

        Raises
        ------
        UnavailableError
            If the server cannot be reached or does not take it now; tell it again later.
        RefusedError
            If the server will never take it.
        """
        connection = self._connect(10.0)
        try:
            door = "status" if "deployment" in status else "traffic"
            self._ask(connection, "POST", f"/internal/serving/{door}", json.dumps(status).encode("utf-8"))
        finally:
            connection.close()

    def _follow(self, revision: int, on_desired: Callable[[Desired], None]) -> None:
        failures = 0
        is_first = True
        connection: http.client.HTTPConnection | None = None
        while True:
            try:
                connection = connection or self._connect(WAIT_S + 10.0)
                wait_s = 0 if is_first else WAIT_S
                after = -1 if is_first else revision
                body = self._ask(connection, "GET", f"/internal/serving/desired?after={after}&wait={wait_s}")
                desired = decode_desired(body) if body else None
            except Exception as error:
                if not isinstance(error, UnavailableError | RefusedError | ValueError):
                    logger.exception("the server could not be asked")
                if connection is not None:
                    connection.close()
                    connection = None
                if failures == len(_RETRY_S):
                    logger.warning("the server does not answer, serving what is known: %s", error)
                time.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1
                continue
            failures = 0
            if desired is not None and (is_first or desired.revision != revision):
                revision = desired.revision
                on_desired(desired)
            is_first = False

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        try:
            record = self._home.read_server_record()
            if record is None:
                raise UnavailableError("no server is recorded")
            place = urlsplit(record.url)
            return http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port or 80, timeout=timeout_s)
        except (OSError, ValueError) as error:
            raise UnavailableError(f"the server's record cannot be read: {error}") from error

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            token = self._home.internal_token_file.read_text("ascii").strip()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"the server does not answer: {error}") from error
        if response.status >= 300 and response.status != 304:
            said = f"the server answers {response.status}: {content[:200].decode('utf-8', 'replace')}"
            if 400 <= response.status < 500 and response.status not in _FOR_NOW:
                raise RefusedError(said)
            raise UnavailableError(said)
        return content
