"""What every replica process does: take connections, tell its state, let workers answer requests.

Standard library only, Python >= 3.9. The listening socket is inherited; threads here are daemons, the caller's own
threads (the main one first of all) run :meth:`ReplicaHost.work`. A gateway that goes away is no reason to end:
the next one connects again. The supervisor's pipe decides (:func:`end_with_parent`).
"""

from __future__ import annotations

import json
import os
import queue
import select
import socket
import sys
import threading
import traceback
from typing import Any, Callable, Optional

from . import frames

HELLO_TIMEOUT_S = 5.0
Answer = Callable[[bytes, bytes], "tuple[bytes, bytes]"]
"""(meta, body) of a request to (meta, body) of its response."""


class ReplicaHost:
    """One replica's connections.

    Parameters
    ----------
    listener : socket
        Listening already.
    identity : dict
        What a gateway that adopts this replica has to know of it.
    """

    def __init__(self, listener: socket.socket, identity: dict[str, Any]) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._controls: list[socket.socket] = []
        self._state: dict[str, Any] = {"state": "idle", "pid": os.getpid(), "identity": identity, "message": ""}
        self._work: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._loads: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._is_told = threading.Event()

    def start(self) -> None:
        """Begin to take connections."""
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def update(self, **changes: Any) -> None:
        """Change the state and tell every control connection."""
        with self._lock:
            self._state.update(changes)
            for connection in list(self._controls):
                self._tell(connection)

    def wait_load(self) -> dict[str, Any]:
        """Wait for the first LOAD frame and return its meta."""
        return self._loads.get()

    def wait_told(self, timeout_s: float) -> None:
        """Wait until some gateway was told the present state."""
        with self._lock:
            if not self._controls:
                self._is_told.clear()
        self._is_told.wait(timeout_s)

    def work(self, answer: Answer) -> None:
        """Answer requests of one work connection after the other, for ever."""
        while True:
            connection = self._work.get()
            try:
                self._serve(connection, answer)
            except (OSError, frames.FrameError):
                pass  # that gateway is gone; the next one connects
            finally:
                connection.close()

    def _serve(self, connection: socket.socket, answer: Answer) -> None:
        while True:
            frame = frames.read_frame(connection)
            if frame is None:
                return
            _, meta, body = frame
            try:
                reply_meta, reply = answer(meta, body)
            except Exception:
                traceback.print_exc()
                reply_meta, reply = (
                    json.dumps({"status": 500}).encode(),
                    b'{"message": "the model failed; see its log"}',
                )
            frames.send(connection, frames.pack_head(frames.RESPONSE, reply_meta, len(reply)), reply)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            try:
                connection.settimeout(HELLO_TIMEOUT_S)
                frame = frames.read_frame(connection)
                connection.settimeout(None)
                role = json.loads(frame[1])["role"] if frame and frame[0] == frames.HELLO else ""
            except (OSError, ValueError, KeyError, frames.FrameError):
                connection.close()
                continue
            if role == "work":
                self._work.put(connection)
            elif role == "control":
                with self._lock:
                    self._controls.append(connection)
                    self._tell(connection)
                threading.Thread(target=self._listen, args=(connection,), name="control", daemon=True).start()
            else:
                connection.close()

    def _listen(self, connection: socket.socket) -> None:
        try:
            while True:
                frame = frames.read_frame(connection)
                if frame is None:
                    break
                if frame[0] == frames.LOAD:
                    self._loads.put(json.loads(frame[1]))
        except (OSError, ValueError, frames.FrameError):
            pass  # that gateway is gone; the next one connects
        with self._lock:
            if connection in self._controls:
                self._controls.remove(connection)
        connection.close()

    def _tell(self, connection: socket.socket) -> None:
        try:
            connection.sendall(frames.pack_json(frames.STATE, self._state))
            self._is_told.set()
        except OSError:
            self._controls.remove(connection)


def end_with_parent(descriptor: Optional[int]) -> None:
    """End this process as soon as the pipe closes whose read end is ``descriptor``."""
    if descriptor is None:
        return

    def watch() -> None:
        is_open = True
        while is_open:  # another holder of the pipe may have made it non-blocking, so wait by select
            select.select([descriptor], [], [])
            is_open = bool(os.read(descriptor, 1))
        os._exit(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def parent_descriptor() -> Optional[int]:
    """Return the descriptor in ``PENSTOCK_PARENT_FD``, None where there is none."""
    value = os.environ.get("PENSTOCK_PARENT_FD", "")
    return int(value) if value.isdigit() else None


def flush_output() -> None:
    """Write out what was printed, so that the log has it before a request is answered."""
    sys.stdout.flush()
    sys.stderr.flush()
