"""A reader process with questions of the tests' own: endless, deadly and long ones."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection

from penstock.app.process import inherited_socket
from penstock.server.readers.process import Start
from penstock.server.readers.question import Question
from penstock.server.readers.worker import Worker
from penstock.stores.metadata.engine.opening import open_reader

MIB = 2**20


class Sent(Struct, array_like=True):
    """A number."""

    number: int = 0


def _endless(connection: Connection, _: Sent) -> bytes:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    connection.exec_driver_sql(numbers).all()
    return b""


def _deadly(_: Connection, __: Sent) -> bytes:
    assert __name__ == "__main__", "it is asked in the server"
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def _long(_: Connection, sent: Sent) -> Iterator[bytes]:
    for number in range(sent.number):
        yield bytes([number]) * MIB


def _always(_: Sent) -> bool:
    return True


ECHO = Question("echo", Sent, lambda _, sent: b"%d %d" % (sent.number, os.getpid()))
ENDLESS = Question("endless", Sent, _endless)
ENDLESS_AND_LARGE = Question("endless and large", Sent, _endless, _always)
DEADLY = Question("deadly", Sent, _deadly)
LONG = Question("long", Sent, _long, _always)


def starter(store: Any) -> Start:
    """Return what starts such a process on a store."""
    url, file = store.address

    def start(line: socket.socket, files: socket.socket) -> subprocess.Popen[bytes]:
        descriptors = {"PENSTOCK_SOCKET_FD": str(line.fileno()), "PENSTOCK_FILES_FD": str(files.fileno())}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.server.odd_reader", url, str(file)],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **descriptors},
            pass_fds=[line.fileno(), files.fileno()],
        )

    return start


if __name__ == "__main__":
    own = open_reader(sys.argv[1], Path(sys.argv[2]))
    passed = socket.socket(fileno=int(os.environ["PENSTOCK_FILES_FD"]))
    Worker(
        inherited_socket(), passed, own, (ECHO, ENDLESS, ENDLESS_AND_LARGE, DEADLY, LONG), Path(tempfile.gettempdir())
    ).run()
    os._exit(0)
