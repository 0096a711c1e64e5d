"""A way to the server that a test can cut: an outage without stopping the server, and answers that are lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class Gate:
    """Forwards TCP connections to a port while it is open.

    ``loses`` is asked with what the server answers; where it says yes, the connection is cut instead.
    ``answers`` is asked with every request, and may answer in the server's place, as a gateway does.
    While it ``is_mute`` nothing passes and nothing is cut: a server that hangs.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening: socket.socket | None = None
        self._pairs: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.is_mute = False
        self.loses: Callable[[bytes], bool] = lambda request: False
        self.answers: Callable[[bytes], bytes] = lambda request: b""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections and cut those there are."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for one in pairs:
            _cut(one)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client = listening.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs |= {client, server}
                is_open = self._listening is listening
            if not is_open:  # closed between the two lines
                _cut(client)
                _cut(server)
                return
            asked: list[bytes] = [b""]
            for ends in ((client, server, asked, True), (server, client, asked, False)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, asked: list[bytes], is_request: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if is_request:
                    asked[0] = data
                    answer = self.answers(data)
                    if answer:
                        source.sendall(answer)
                        continue
                elif self.loses(asked[0]):
                    break
                if self.is_mute:
                    continue
                target.sendall(data)
        _cut(source)
        _cut(target)


def _cut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
