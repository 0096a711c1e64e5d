"""A line to a PostgreSQL server that can be cut at the very moment of a commit."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from pathlib import Path

NAME = ".s.PGSQL.5432"


class Cut(Enum):
    """What to do with the next COMMIT."""

    NOT = "let it through"
    BEFORE = "cut the line before the server hears of it"
    AFTER = "cut the line when the server has done it"


class Line:
    """Passes on what client and server say, connection by connection.

    Parameters
    ----------
    folder : Path
        The folder of the socket that clients use.
    server : Path
        The folder of the server's own.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self.cut = Cut.NOT
        self.is_down = False
        self._server = str(server / NAME)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / NAME))
        self._listening.listen()

    def run(self) -> None:
        """Take connections until the line is closed."""
        with suppress(OSError), ExitStack() as stack:
            while True:
                client, _ = self._listening.accept()
                if self.is_down:
                    client.close()
                    continue
                thread = threading.Thread(target=self._pass_on, args=(client,))
                thread.start()
                stack.callback(thread.join)

    def close(self) -> None:
        """Take no further connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _pass_on(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server)
            other = {client: server, server: client}
            while True:
                for end in select.select(list(other), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    cut = self.cut if end is client and b"COMMIT" in data else Cut.NOT
                    if cut is Cut.NOT:
                        other[end].sendall(data)
                        continue
                    self.cut = Cut.NOT
                    if cut is Cut.AFTER:
                        server.sendall(data)
                        server.recv(65536)  # it has done it, and its answer goes nowhere
                    return


@contextmanager
def line_to(server: Path, folder: Path) -> Iterator[Line]:
    """Give a line whose socket is in ``folder``."""
    line = Line(folder, server)
    thread = threading.Thread(target=line.run)
    thread.start()
    try:
        yield line
    finally:
        line.close()
        thread.join()
