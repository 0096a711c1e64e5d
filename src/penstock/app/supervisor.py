"""The one process that owns a workspace: it binds the sockets, starts the others and starts them again.

It imports the standard library and our light modules only, so it costs a few megabytes. It holds no state
but file descriptors: whatever it starts reads the record. Children end when the supervisor's pipe closes, so
nothing is left behind after ``kill -9``; agents of running jobs are not its children and go on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from penstock.app.child import RESTART_DELAYS_S, Child
from penstock.app.listening import PORT_PATIENCE_S, address, bind
from penstock.app.ownership import Ownership
from penstock.app.refusal import REFUSALS, disk_full, explained, has_room, refuse, say
from penstock.clock import now_ms
from penstock.config import load_settings
from penstock.entities.errors import ConflictError, PenstockError
from penstock.entities.settings import Settings
from penstock.home import Home, ServerRecord, boot_id, process_start, write_private
from penstock.version import __version__

STOP_TIMEOUT_S = 15.0
ROLES = ("server", "gateway")
KEEP_RECORD_S = 2.0
"""How long a record that somebody removed may be missing."""
PRIVATE_UMASK = 0o077
MAX_FILES = 2**20


def main(arguments: list[str]) -> int:
    """Run ``python -m penstock.app up`` and return its exit status."""
    parser = argparse.ArgumentParser(prog="penstock up")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    options = parser.parse_args(arguments)
    try:
        return serve(options.workspace, host=options.host, port=options.port)
    except PenstockError as error:
        return refuse(error)


def serve(
    workspace: Path,
    *,
    host: str | None = None,
    port: int | None = None,
    announce: Callable[[ServerRecord], None] | None = None,
) -> int:
    """Own a workspace until SIGINT or SIGTERM; this process's folder and umask change.

    Parameters
    ----------
    workspace : Path
        The folder; made if it is missing.
    host, port
        Win over the settings.
    announce : callable, optional
        Called once when the server answers.

    Raises
    ------
    ConflictError
        If another supervisor owns the folder, or a port that was asked for is taken.
    UsageError
        If the folder cannot be written.
    OutOfSpaceError
        If its disk is full.
    """
    home = Home(workspace.resolve())
    ownership = Ownership(home)
    try:
        with explained(home.root):
            os.chdir(home.root)  # nobody's project folder stays in use, and none is imported from
            originals = _make_private()
            settings = load_settings(home.config_file, os.environ)
            supervisor = _Supervisor(home, ownership, settings, host or settings.server.host, port, originals)
        return supervisor.run(announce)
    finally:
        ownership.release()


def _make_private() -> dict[str, str]:
    """Keep what we write to ourselves and take the open files we may have; return what a user's command gets back."""
    umask = os.umask(PRIVATE_UMASK)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):  # a convenience, and the system's own limit may be lower
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return {"PENSTOCK_UMASK": f"{umask:03o}", "PENSTOCK_NOFILE": str(soft)}


class _Supervisor:
    def __init__(
        self,
        home: Home,
        ownership: Ownership,
        settings: Settings,
        host: str,
        port: int | None,
        originals: dict[str, str],
    ) -> None:
        self._home = home
        self._ownership = ownership
        self._stopping = False
        known = home.read_ports()
        wanted = {"server": port or settings.server.port, "gateway": settings.gateway.port}
        patience_s = 0.0 if home.is_copy() else PORT_PATIENCE_S  # those of a copy are the other workspace's
        server, gateway = (bind(host, wanted[r], known.get(r, 0), f"{r}.port", patience_s) for r in ROLES)
        self._sockets = {"server": server, "gateway": gateway}
        ports = {role: listening.getsockname()[1] for role, listening in self._sockets.items()}
        for role in ROLES:
            if known.get(role) and not wanted[role] and ports[role] != known[role]:
                say(f"penstock: port {known[role]} of the {role} is taken by another program; it is {ports[role]} now")
        if ports != known:
            write_private(home.ports_file, json.dumps(ports))
        self._pipe_read, self._pipe_write = os.pipe()
        self._control, self._server_control = socket.socketpair()
        self._control.setblocking(False)
        self._record = ServerRecord(
            pid=os.getpid(),
            process_start=process_start(os.getpid()),
            boot_id=boot_id(),
            url=address(host, server),
            gateway_url=address(host, gateway),
            version=__version__,
            started_at=now_ms(),
        )
        self._environment = {
            **os.environ,
            **originals,
            "PENSTOCK_PARENT_FD": str(self._pipe_read),
            "PENSTOCK_SERVER_URL": self._record.url,
            "PENSTOCK_GATEWAY_URL": self._record.gateway_url,
            "PYTHONUNBUFFERED": "1",
        }
        self._server = Child("server", home.logs / "server.log", is_vital=True)
        self._gateway = Child("gateway", home.logs / "gateway.log", is_vital=False)

    def run(self, announce: Callable[[ServerRecord], None] | None) -> int:
        """Start the server, keep it and what it asks for alive, end them all at the end."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        selector = selectors.DefaultSelector()
        selector.register(wake_read, selectors.EVENT_READ)
        selector.register(self._control, selectors.EVENT_READ)
        try:
            self._ownership.publish(self._record)
            with explained(self._home.root):
                self._start(self._server)
            while not self._stopping:
                for key, _ in selector.select(self._rest_s()):
                    if key.fileobj is not self._control:
                        os.read(wake_read, 4096)
                # Asked for words each time: a child that said it was ready may be found dead in the same look.
                if "ready" in self._obey() and announce is not None:
                    announce(self._record)
                    announce = None
                status = self._look_after()
                if status is not None:
                    return status
                self._ownership.keep()
            return 0
        except ConflictError as error:
            return refuse(error)
        finally:
            self._stop()

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _rest_s(self) -> float:
        times = [child.start_at for child in (self._server, self._gateway) if child.start_at is not None]
        return max(0.0, min([KEEP_RECORD_S, *(at - time.monotonic() for at in times)]))

    def _obey(self) -> list[str]:
        """Do what the server asked for and return its words."""
        try:
            words = self._control.recv(4096).decode("ascii", "replace").split()
        except BlockingIOError:
            return []
        if "ready" in words:
            self._server.luck.note_ready()
        if "gateway" in words and self._gateway.process is None and self._gateway.start_at is None:
            self._gateway.start_at = time.monotonic()
        return words

    def _look_after(self) -> int | None:
        """Start again what ended; return the exit status if there is no use."""
        for child in (self._server, self._gateway):
            end = child.collect()
            if end is not None:
                status, lived_s = end
                delay_s = child.luck.after_end(status, lived_s)
                if delay_s is None:
                    return self._give_up(child, status)
                if child.luck.is_news(status):
                    say(f"{_describe(child, status)}; it is started again every few seconds\n{child.last_words()}")
                child.start_at = time.monotonic() + delay_s
            if child.start_at is not None and child.start_at <= time.monotonic():
                self._start_again(child)
        return None

    def _give_up(self, child: Child, status: int) -> int:
        if not child.last_words() and not has_room(self._home.root):  # not even for the child's reason
            return refuse(disk_full(self._home.root))
        if status not in REFUSALS:
            say(f"{_describe(child, status)}\n{child.last_words()}")
            return 1
        say(child.last_words() or _describe(child, status))
        return status

    def _start_again(self, child: Child) -> None:
        try:
            self._start(child)
        except OSError as error:
            say(f"penstock: the {child.role} could not be started: {error}; it is tried again")
            child.start_at = time.monotonic() + RESTART_DELAYS_S[-1]

    def _start(self, child: Child) -> None:
        listening = self._sockets[child.role].fileno()
        descriptors = [self._pipe_read, listening]
        environment = {**self._environment, "PENSTOCK_SOCKET_FD": str(listening)}
        if child is self._server:
            descriptors.append(self._server_control.fileno())
            environment["PENSTOCK_CONTROL_FD"] = str(self._server_control.fileno())
        child.start(["--workspace", str(self._home.root)], environment, descriptors)

    def _stop(self) -> None:
        self._ownership.withdraw()
        running = [child.process for child in (self._server, self._gateway) if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        os.close(self._pipe_write)


def _describe(child: Child, status: int) -> str:
    row = child.luck.quick_deaths
    times = f"{row} times right after its start" if row > 1 else "right after its start"
    return f"penstock: the {child.role} ended {times} (last status {status}); its log: {child.log}"
