"""What the gateway tells of itself: each answered request is counted and logged, and ``/metrics`` shows the counts.

``/metrics`` wants a token of the workspace that may read endpoints, or the scrape key of the settings. The workspace's
own token is known here; for any other the server is asked, and its yes holds for a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from penstock.entities.errors import UnavailableError
from penstock.entities.settings import GatewaySettings
from penstock.home import Home
from penstock.serving.access_log import AccessLog
from penstock.serving.codes import UnauthenticatedError
from penstock.serving.metrics import Gauges, Metrics

ACCESS_LOG = "access.log"
TRUSTED_S = 60.0
MOST_TRUSTED = 64
ASK_TIMEOUT_S = 5.0
_DOOR = "/api/v1/online-endpoints"

clock = time.perf_counter


class Watch:
    """Counts and log of one gateway; on the event loop only.

    Parameters
    ----------
    home : Home
        Where the log and the workspace's token are.
    settings : GatewaySettings
        Whether there is a log, how large it may be, and the scrape key.
    """

    def __init__(self, home: Home, settings: GatewaySettings) -> None:
        self.metrics = Metrics()
        self._home = home
        self._key = settings.metrics_key
        self._trusted: dict[bytes, float] = {}
        self._log: AccessLog | None = None
        if settings.access_log:
            file = home.logs / ACCESS_LOG
            self._log = AccessLog(file, max_bytes=settings.access_log_bytes, files=settings.access_log_files)

    def note(
        self,
        endpoint: str,
        deployment: str,
        status: int,
        began: float,
        request_id: bytes,
        method: str,
        path: str,
        bytes_in: int,
        bytes_out: int,
        client: str,
    ) -> None:
        """Count and log one request, answered now; ``began`` is what :data:`clock` said at its head."""
        seconds = clock() - began
        self.metrics.note(endpoint, deployment, status, seconds)
        log = self._log
        if log is not None:
            log.add(request_id, endpoint, deployment, method, path, status, seconds, bytes_in, bytes_out, client)

    async def show(self, authorization: bytes | None, gauges: Callable[[], Iterable[Gauges]]) -> bytes:
        """Return the page of counts.

        Raises
        ------
        UnauthenticatedError
            If whoever asks shows no token that may read endpoints.
        """
        await self._check(authorization)
        now = list(gauges())
        self.metrics.keep((one.endpoint, one.deployment) for one in now)
        return self.metrics.render(now, 0 if self._log is None else self._log.dropped)

    def close(self) -> None:
        """Write what is left of the log."""
        if self._log is not None:
            self._log.close()

    async def _check(self, authorization: bytes | None) -> None:
        scheme, _, sent = (authorization or b"").partition(b" ")
        token = sent.strip()
        if scheme.lower() != b"bearer" or not token:
            raise UnauthenticatedError("metrics want a token of the workspace, or gateway.metrics_key, as bearer")
        if self._key and hmac.compare_digest(token, self._key.encode("utf-8")):
            return
        own = self._home.read_token()
        if own and hmac.compare_digest(token, own.encode("ascii")):
            return
        digest = hashlib.sha256(token).digest()
        if self._trusted.get(digest, -TRUSTED_S) + TRUSTED_S > time.monotonic():
            return
        self._trusted.pop(digest, None)
        if not await asyncio.to_thread(self._may_read, token):
            raise UnauthenticatedError("the token may not read endpoints")
        if len(self._trusted) >= MOST_TRUSTED:
            self._trusted.clear()
        self._trusted[digest] = time.monotonic()

    def _may_read(self, token: bytes) -> bool:
        """Ask the server whether a token may read endpoints; without a server nobody else's may."""
        try:
            record = self._home.read_server_record()
            if record is None:
                return False
            place = urlsplit(record.url)
            connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=ASK_TIMEOUT_S)
            try:
                connection.request("GET", _DOOR, headers={"Authorization": b"Bearer " + token})
                return connection.getresponse().status == 200
            finally:
                connection.close()
        except (OSError, ValueError, UnavailableError, http.client.HTTPException):
            return False
