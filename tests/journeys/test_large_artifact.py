"""A file larger than anybody would hold in memory goes in and out through the artifact door."""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from penstock.home import Home

SIZE = 2 * 1024**3
PIECE = os.urandom(1 << 20)
GROWTH_BYTES = 96 << 20
"""What the server may need beside what it has when idle: pieces in flight on both sides, and the allocator's slack."""


def pieces() -> Iterator[bytes]:
    """Yield two gigabytes, no two pieces of them equal."""
    for number in range(SIZE // len(PIECE)):
        yield number.to_bytes(8, "big") + PIECE[8:]


def peak_bytes(pid: int) -> int:
    """Return the most memory a process has held since it was last asked to forget."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.long
@pytest.mark.timeout(600)  # twice 2 GB, on whatever disk there is
def test_two_gigabytes_stream_in_constant_memory(lab: Any) -> None:
    lab.run("up", "--background")
    pid, address = lab.server_pid(), urlsplit(lab.record().url)
    headers = {"Authorization": f"Bearer {Home(lab.folder).read_token()}"}
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=300)
    path = "/api/2.0/mlflow-artifacts/artifacts/0/large/file.bin"
    sent, back = hashlib.sha256(), hashlib.sha256()
    for piece in pieces():
        sent.update(piece)
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = peak_bytes(pid)

    connection.request("PUT", path, body=pieces(), headers={**headers, "Content-Length": str(SIZE)})
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    after_upload = peak_bytes(pid)

    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    assert (response.status, response.headers["Content-Length"]) == (200, str(SIZE))
    while piece := response.read(1 << 20):
        back.update(piece)
    connection.close()
    assert back.digest() == sent.digest()
    assert after_upload - before < GROWTH_BYTES
    assert peak_bytes(pid) - before < GROWTH_BYTES
