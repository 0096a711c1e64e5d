"""The one process that owns a workspace: it binds the sockets, starts the others and starts them again.

It imports the standard library and our light modules only, so it costs a few megabytes. It holds no state
but file descriptors: whatever it starts reads the record. Children end when the supervisor's pipe closes, so
nothing is left behind after ``kill -9``; agents of running jobs are not its children and go on.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from penstock.clock import now_ms
from penstock.config import load_settings
from penstock.entities.errors import ConflictError, OutOfSpaceError, PenstockError, UsageError
from penstock.entities.settings import Settings
from penstock.home import Home, ServerRecord, boot_id, process_start, write_private
from penstock.rules.names import new_token
from penstock.serving.logs import read_tail
from penstock.version import __version__

RESTART_DELAYS_S = (0.0, 0.2, 1.0, 3.0, 5.0)
QUICK_DEATH_S = 10.0
STOP_TIMEOUT_S = 15.0
REFUSED = 4
PORT_PATIENCE_S = 3.0
"""How long the remembered port is waited for: the children of a killed supervisor let go of it in a moment."""
PORT_RETRY_S = 0.02


def main(arguments: list[str]) -> int:
    """Run ``python -m penstock.app up`` and return its exit status."""
    parser = argparse.ArgumentParser(prog="penstock up")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    options = parser.parse_args(arguments)
    try:
        return serve(options.workspace, host=options.host, port=options.port)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except PenstockError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED


def serve(
    workspace: Path,
    *,
    host: str | None = None,
    port: int | None = None,
    announce: Callable[[ServerRecord], None] | None = None,
) -> int:
    """Own a workspace until SIGINT or SIGTERM.

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
    """
    home = Home(workspace.resolve())
    _make_folders(home)
    lock = _lock(home)
    try:
        settings = load_settings(home.config_file, os.environ)
        supervisor = _Supervisor(home, settings, host or settings.server.host, port, announce)
        return supervisor.run()
    finally:
        os.close(lock)


def _make_folders(home: Home) -> None:
    try:
        for folder in (home.root, home.run, home.logs, home.spool, home.jobs, home.metadata_db.parent, home.blobs):
            folder.mkdir(parents=True, exist_ok=True)
        home.secrets.mkdir(mode=0o700, exist_ok=True)
        for file in (home.token_file, home.internal_token_file):
            if not file.exists():
                write_private(file, new_token(os.urandom) + "\n")
    except OSError as error:
        raise _explain(error, home.root) from error


def _explain(error: OSError, folder: Path) -> PenstockError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfSpaceError(
            f"the disk of {folder} is full", hint="Free some space, or choose a folder on another disk with -w."
        )
    place = error.filename or folder
    return UsageError(
        f"workspace folder {folder} cannot be used: {place}: {error.strerror}",
        hint="Choose a folder you may write to with -w, or mend its permissions.",
    )


def _lock(home: Home) -> int:
    descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        record = home.read_server_record()
        where = f" at {record.url}" if record and record.is_alive() else ""
        raise ConflictError(
            f"workspace {home.root} is already served{where}", hint=f"Stop it with: penstock down -w {home.root}"
        ) from None
    return descriptor


@dataclass
class _Child:
    """One supervised process and its luck so far."""

    role: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    quick_deaths: int = 0
    start_at: float | None = None
    log: Path = field(default_factory=Path)
    log_start: int = 0


class _Supervisor:
    def __init__(
        self,
        home: Home,
        settings: Settings,
        host: str,
        port: int | None,
        announce: Callable[[ServerRecord], None] | None,
    ) -> None:
        self._home = home
        self._announce = announce
        self._stopping = False
        ports = self._read_ports()
        self._server_socket = self._bind(host, port or settings.server.port, ports.get("server", 0), "server.port")
        self._gateway_socket = self._bind(host, settings.gateway.port, ports.get("gateway", 0), "gateway.port")
        self._ports = {
            "server": self._server_socket.getsockname()[1],
            "gateway": self._gateway_socket.getsockname()[1],
        }
        if self._ports != ports:
            write_private(home.ports_file, json.dumps(self._ports))
        self._url = f"http://{_in_url(host)}:{self._ports['server']}"
        self._gateway_url = f"http://{_in_url(host)}:{self._ports['gateway']}"
        self._pipe_read, self._pipe_write = os.pipe()
        self._control, self._server_control = socket.socketpair()
        self._children = {role: _Child(role, log=home.logs / f"{role}.log") for role in ("server", "gateway")}

    def run(self) -> int:
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
            self._start(self._children["server"])
            self._home.write_server_record(self._record())
            while not self._stopping:
                for key, _ in selector.select(self._next_start_in()):
                    if key.fileobj is self._control:
                        self._obey(self._control.recv(4096).decode("ascii", "replace"))
                    else:
                        os.read(wake_read, 4096)
                status = self._look_after()
                if status is not None:
                    return status
            return 0
        finally:
            self._stop()

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _obey(self, text: str) -> None:
        for word in text.split():
            if word == "gateway":
                gateway = self._children["gateway"]
                if gateway.process is None and gateway.start_at is None:
                    self._start(gateway)
            elif word == "ready" and self._announce is not None:
                self._announce(self._record())
                self._announce = None

    def _look_after(self) -> int | None:
        now = time.monotonic()
        for child in self._children.values():
            if child.process is not None and child.process.poll() is not None:
                status = child.process.returncode
                child.process = None
                if status == REFUSED:  # it said why, and would say the same again
                    sys.stderr.write(f"{read_tail(child.log, child.log_start)}\n")
                    return REFUSED
                if now - child.started_at < QUICK_DEATH_S:
                    child.quick_deaths += 1
                else:
                    child.quick_deaths = 0
                if child.quick_deaths >= len(RESTART_DELAYS_S):
                    sys.stderr.write(
                        f"penstock: the {child.role} ended {child.quick_deaths} times right after its start "
                        f"(last status {status}); its log: {child.log}\n{read_tail(child.log, child.log_start)}\n"
                    )
                    return 1
                child.start_at = now + RESTART_DELAYS_S[child.quick_deaths]
            if child.start_at is not None and child.start_at <= now:
                self._start(child)
        return None

    def _next_start_in(self) -> float | None:
        times = [child.start_at for child in self._children.values() if child.start_at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _start(self, child: _Child) -> None:
        listening = self._server_socket if child.role == "server" else self._gateway_socket
        descriptors = [self._pipe_read, listening.fileno()]
        environment = {
            **os.environ,
            "PENSTOCK_PARENT_FD": str(self._pipe_read),
            "PENSTOCK_SOCKET_FD": str(listening.fileno()),
            "PENSTOCK_SERVER_URL": self._url,
            "PENSTOCK_GATEWAY_URL": self._gateway_url,
            "PYTHONUNBUFFERED": "1",
        }
        if child.role == "server":
            descriptors.append(self._server_control.fileno())
            environment["PENSTOCK_CONTROL_FD"] = str(self._server_control.fileno())
        child.start_at = None
        child.started_at = time.monotonic()
        with child.log.open("ab") as log:
            child.log_start = log.tell()
            child.process = subprocess.Popen(
                [sys.executable, "-m", "penstock.app", child.role, "--workspace", str(self._home.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=descriptors,
                start_new_session=True,
            )

    def _stop(self) -> None:
        self._home.server_record.unlink(missing_ok=True)
        running = [child.process for child in self._children.values() if child.process is not None]
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

    def _record(self) -> ServerRecord:
        return ServerRecord(
            pid=os.getpid(),
            process_start=process_start(os.getpid()),
            boot_id=boot_id(),
            url=self._url,
            gateway_url=self._gateway_url,
            version=__version__,
            started_at=now_ms(),
        )

    def _read_ports(self) -> dict[str, int]:
        try:
            ports = json.loads(self._home.ports_file.read_text("ascii"))
            return {name: int(port) for name, port in ports.items()}
        except (FileNotFoundError, ValueError, AttributeError):
            return {}

    def _bind(self, host: str, wanted: int, remembered: int, key: str) -> socket.socket:
        """Bind the wanted port, else the remembered one, else (if somebody else has that) a free one."""
        if wanted:
            try:
                return _listen(host, wanted)
            except OSError as error:
                raise _explain_bind(error, host, wanted, key) from error
        deadline = time.monotonic() + (PORT_PATIENCE_S if remembered else 0.0)
        port = remembered
        while True:
            try:
                return _listen(host, port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise _explain_bind(error, host, port, key) from error
            if time.monotonic() > deadline:
                port = 0
            else:
                time.sleep(PORT_RETRY_S)


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
        listening.set_inheritable(True)
    except OSError:
        listening.close()
        raise
    return listening


def _explain_bind(error: OSError, host: str, port: int, key: str) -> PenstockError:
    if error.errno == errno.EADDRINUSE:
        return ConflictError(
            f"port {port} on {host} is taken by another program",
            hint=f"Choose another with --port or {key} in penstock.toml; 0 picks a free one.",
        )
    return UsageError(f"cannot listen on {host}:{port}: {error.strerror}", hint="Check --host and --port.")


def _in_url(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
