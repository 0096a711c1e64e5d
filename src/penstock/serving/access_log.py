"""A line of JSON for each request that the gateway has answered: who asked for what, and what became of it.

No key, no body and no query is written. A line is made on the event loop (a microsecond) and written with others by a
thread, at the latest half a second later; so many lines may be missing after a kill or a crash of the gateway.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

logger = logging.getLogger(__name__)

WRITE_S = 0.5
MOST_BYTES = 8 * 2**20
"""So much waits for a slow disk; what comes then is counted and dropped."""
MOST_PATH = 200


class _Place(msgspec.Struct):
    endpoint: str
    deployment: str
    method: str
    path: str
    client: str


MOST_PLACES = 1024
_SAFE = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
"""What stands in JSON as it is."""


class AccessLog:
    """The log of one gateway; on its event loop only.

    Parameters
    ----------
    path : Path
        The file; older ones are ``<name>.1`` and so on.
    max_bytes : int
        Size at which a new file begins.
    files : int
        How many there are at most, the one that is written among them.
    """

    def __init__(self, path: Path, *, max_bytes: int, files: int) -> None:
        self.dropped = 0
        self._path = path
        self._max_bytes = max_bytes
        self._files = max(1, files)
        self._places: dict[tuple[str, str, str, str, str], bytes] = {}
        self._lines: list[bytes] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._shown = b""
        self._writer = ThreadPoolExecutor(1, "access-log")
        self._is_writing = False
        self._has_failed = False

    def add(
        self,
        request_id: bytes,
        endpoint: str,
        deployment: str,
        method: str,
        path: str,
        status: int,
        seconds: float,
        bytes_in: int,
        bytes_out: int,
        client: str,
    ) -> None:
        """Note one request, answered now."""
        if self._bytes > MOST_BYTES:
            self.dropped += 1
            return
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode("ascii")
        key = (endpoint, deployment, method, path[:MOST_PATH], client)
        place = self._places.get(key) or self._remember(key)
        shown_id = b'"%b"' % request_id if not request_id.translate(None, _SAFE) else _quoted(request_id)
        line = b'{"time":"%b.%03dZ","request_id":%b,"status":%d,"ms":%.3f,"bytes_in":%d,"bytes_out":%d,%b' % (
            self._shown,
            int((now - second) * 1000),
            shown_id,
            status,
            seconds * 1000.0,
            bytes_in,
            bytes_out,
            place,
        )
        self._lines.append(line)
        self._bytes += len(line) + 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_S, self._begin_writing)

    def close(self) -> None:
        """Write what is left."""
        if self._timer is not None:
            self._timer.cancel()
        lines, self._lines = self._lines, []
        self._writer.submit(self._write, lines)
        self._writer.shutdown()

    def _remember(self, key: tuple[str, str, str, str, str]) -> bytes:
        """Return the end of a line; requests that differ in nothing else share it."""
        endpoint, deployment, method, path, client = key
        place = msgspec.json.encode(_Place(endpoint, deployment, method, path, client))[1:]
        if len(self._places) >= MOST_PLACES:
            self._places.clear()
        self._places[key] = place
        return place

    def _begin_writing(self) -> None:
        loop = asyncio.get_running_loop()
        if self._is_writing:  # the disk is slow; the lines wait together
            self._timer = loop.call_later(WRITE_S, self._begin_writing)
            return
        self._timer = None
        lines, self._lines = self._lines, []
        self._bytes = 0
        self._is_writing = True
        loop.run_in_executor(self._writer, self._write, lines).add_done_callback(self._end_writing)

    def _end_writing(self, _: asyncio.Future[None]) -> None:
        self._is_writing = False

    def _write(self, lines: list[bytes]) -> None:
        """Append lines to the file; a disk that takes none is said once, and costs these lines."""
        if not lines:
            return
        try:
            self._rotate()
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "ab", buffering=0) as file:
                content = memoryview(b"\n".join([*lines, b""]))
                while content:
                    content = content[file.write(content) or 0 :]
        except OSError as error:
            self.dropped += len(lines)
            if not self._has_failed:
                logger.warning("the access log cannot be written: %s", error)
            self._has_failed = True
        else:
            self._has_failed = False

    def _rotate(self) -> None:
        try:
            if self._path.stat().st_size < self._max_bytes:
                return
        except FileNotFoundError:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return
        for number in range(self._files - 1, 0, -1):
            older = self._path if number == 1 else self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._path.unlink(missing_ok=True)  # where there is to be one file alone

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _quoted(text: bytes) -> bytes:
    return msgspec.json.encode(text.decode("latin-1"))
