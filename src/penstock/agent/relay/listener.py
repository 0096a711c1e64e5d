"""The relay's door on loopback: opened with every attempt, and nothing more until somebody knocks.

A socket and a sleeping thread are all that a job pays which never speaks MLflow; the relay itself is imported with the
first connection.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from penstock.agent.notes import complain, complain_of_defect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.agent.assignment import Assignment
    from penstock.agent.relay.session import Session
    from penstock.agent.relay.switch import Switch

VARIABLE = "PENSTOCK_RELAY"
URI = "MLFLOW_TRACKING_URI"
OFF = frozenset({"0", "false", "no", "off"})
MAX_SESSIONS = 256
RUN_URL = "PENSTOCK_RUN_URL"
QUIET = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
BACKLOG = 128


class Listener:
    """Takes the connections of one attempt's processes.

    Parameters
    ----------
    assignment : Assignment
        Its environment's tracking URI becomes the relay's, unless it names another server or the relay is off.
    note : callable
        Writes one line for the user into the job's log.
    """

    def __init__(self, assignment: Assignment, note: Callable[[str], None]) -> None:
        self._assignment = assignment
        self._note = note
        self._socket: socket.socket | None = None
        self._port = 0
        self._switch: Switch | None = None
        self._sessions: set[Session] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    def open(self) -> None:
        """Begin to listen, and tell the command where."""
        environment = self._assignment.environment
        is_off = environment.get(VARIABLE, "").lower() in OFF
        if is_off or environment.get(URI) != self._assignment.server_url:
            return
        try:
            self._socket = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        except OSError as error:
            self._note(f"MLflow calls go to the server itself, without the relay: {error.strerror}")
            return
        self._port = int(self._socket.getsockname()[1])
        environment[URI] = f"http://127.0.0.1:{self._port}"
        # MLflow would print links to the relay, which ends with the job; the server's own link is noted at the end.
        environment.setdefault(QUIET, "true")
        threading.Thread(target=self._accept, args=(self._socket,), name="relay", daemon=True).start()

    def close(self) -> None:
        """End every connection and every thread that delivers; what was spooled stays on the disk."""
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
            sessions = list(self._sessions)
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        for session in sessions:
            session.close()
        if self._switch is not None:
            self._switch.close()
            url = self._assignment.environment.get(RUN_URL)
            if is_first and url:
                self._note(f"what MLflow logged: {url}")

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection = listening.accept()[0]
            except OSError as error:
                if self._is_closed:
                    return
                complain(f"the relay could not take a connection: {error.strerror}")
                threading.Event().wait(0.1)
                continue
            try:
                self._begin(connection)
            except Exception:
                connection.close()
                complain_of_defect("the relay could not take a connection")

    def _begin(self, connection: socket.socket) -> None:
        from penstock.agent.relay.session import Session  # 2 ms that most jobs need not pay
        from penstock.agent.relay.switch import Switch

        with self._lock:
            if self._is_closed or len(self._sessions) >= MAX_SESSIONS:
                connection.close()
                return
            if self._switch is None:
                self._switch = Switch(self._assignment, self._note)
            session = Session(connection, self._switch, self._port)
            self._sessions.add(session)
        threading.Thread(target=self._run, args=(session,), name="relay-session", daemon=True).start()

    def _run(self, session: Session) -> None:
        try:
            session.run()
        finally:
            with self._lock:
                self._sessions.discard(session)
