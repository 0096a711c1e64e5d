"""Where things are inside a workspace folder, and the record of the server that serves it.

Shared by both towers, so it imports the standard library alone. It names paths, reads a few small
files and opens logs; it never starts, stops or asks a server.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

MAX_SOCKET_PATH_BYTES = 100
MAX_SOCKET_NAME_BYTES = 48
CONFIG_NAME = "penstock.toml"
DEFAULT_FOLDER = ".penstock"
MAX_PORT = 65535
MAX_LOG_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """Which process serves a workspace, and where it answers.

    (``pid``, ``process_start``, ``boot_id``) name the supervisor's process beyond pid reuse;
    ``process_start`` is field 22 of ``/proc/<pid>/stat`` in clock ticks. ``folder`` names the workspace folder beyond
    its path, so that a record that was copied with the folder is known for one; empty in records of older servers.
    """

    pid: int
    process_start: int
    boot_id: str
    url: str
    gateway_url: str
    version: str
    started_at: int
    folder: str = ""

    def is_alive(self) -> bool:
        """Return whether that very process still runs; a record after kill -9 or a reboot is stale."""
        return self.boot_id == boot_id() and process_start(self.pid) == self.process_start != 0

    def to_json(self) -> str:
        """Return the text of a record file."""
        return json.dumps(asdict(self), indent=2)


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one workspace folder."""

    root: Path

    def make(self) -> None:
        """Make the folder (mode 0700, as it holds people's data) and ``run`` and ``logs``, where they are missing."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self.root, self.run, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)

    @property
    def config_file(self) -> Path:
        """Return ``penstock.toml``."""
        return self.root / CONFIG_NAME

    @property
    def run(self) -> Path:
        """Return the folder of locks, sockets and caches; may be deleted while nothing runs."""
        return self.root / "run"

    @property
    def secrets(self) -> Path:
        """Return the folder (mode 0700) of tokens."""
        return self.root / "secrets"

    @property
    def token_file(self) -> Path:
        """Return the file (mode 0600) with the workspace's own token."""
        return self.secrets / "token"

    @property
    def internal_token_file(self) -> Path:
        """Return the file (mode 0600) with the token the gateway shows to the server."""
        return self.secrets / "internal"

    @property
    def metadata_db(self) -> Path:
        """Return the SQLite file."""
        return self.root / "db" / "metadata.db"

    @property
    def blobs(self) -> Path:
        """Return the content-addressed store's folder."""
        return self.root / "blobs"

    @property
    def spool(self) -> Path:
        """Return the folder with one folder an attempt."""
        return self.root / "spool"

    @property
    def envs(self) -> Path:
        """Return the folder of built environments."""
        return self.root / "envs"

    @property
    def converted(self) -> Path:
        """Return the folder of models that were converted to ONNX; may be deleted, they are converted again."""
        return self.root / "converted"

    @property
    def jobs(self) -> Path:
        """Return the folder of working copies."""
        return self.root / "jobs"

    @property
    def logs(self) -> Path:
        """Return the folder of logs."""
        return self.root / "logs"

    @property
    def lock_file(self) -> Path:
        """Return the file whose lock the supervisor holds as long as it lives; holds a copy of its record."""
        return self.run / "lock"

    @property
    def server_record(self) -> Path:
        """Return the file with the server's record."""
        return self.run / "server.json"

    @property
    def ports_file(self) -> Path:
        """Return the file with the ports chosen once for this workspace."""
        return self.root / "ports.json"

    @property
    def sockets(self) -> Path:
        """Return the folder of Unix sockets: ``run``, or a 0700 folder in the temp folder where paths get too long.

        The choice depends on the folder alone, never on a socket's name, so every process finds all of them.

        Raises
        ------
        PermissionError
            If the folder in the temp folder belongs to somebody else.
        """
        if len(os.fsencode(self.run)) + 1 + MAX_SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES:
            return self.run
        digest = hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise PermissionError(f"{folder} belongs to somebody else; set TMPDIR to a folder of your own")
        return folder

    def socket_path(self, name: str) -> Path:
        """Return where the Unix socket ``name`` lies."""
        return self.sockets / f"{name}.sock"

    def read_server_record(self) -> ServerRecord | None:
        """Return the recorded server, alive or not; None where none was recorded.

        Where the record is missing or damaged, or names a process that is gone, the copy in the lock file counts.
        A record that came here with a copy of another folder is none.
        """
        record = self._own(_read_record(self.server_record))
        if record is not None and record.is_alive():
            return record
        copy = self._own(_read_record(self.lock_file))
        return copy if copy is not None and (record is None or copy.is_alive()) else record

    def identity(self) -> str:
        """Return what names this very folder, wherever it is moved: its device and inode; empty if it is missing."""
        try:
            status = self.root.stat()
        except OSError:
            return ""
        return f"{status.st_dev}:{status.st_ino}"

    def is_copy(self) -> bool:
        """Return whether the folder was copied from another one while that was served."""
        record = _read_record(self.server_record)
        return record is not None and self._own(record) is None

    def _own(self, record: ServerRecord | None) -> ServerRecord | None:
        return record if record is not None and record.folder in {"", self.identity()} else None

    def read_ports(self) -> dict[str, int]:
        """Return the ports this workspace has chosen; empty before the first start and where the file is damaged."""
        try:
            ports = json.loads(self.ports_file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        is_sound = isinstance(ports, dict) and all(type(p) is int and 0 <= p <= MAX_PORT for p in ports.values())
        return ports if is_sound else {}

    def write_server_record(self, record: ServerRecord) -> None:
        """Replace the record atomically."""
        write_private(self.server_record, record.to_json())

    def read_token(self) -> str | None:
        """Return the workspace's own token, None before the first start."""
        try:
            return self.token_file.read_text("ascii").strip()
        except FileNotFoundError:
            return None


def write_private(path: Path, text: str) -> None:
    """Replace a small file atomically and durably, with mode 0600."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # the first error says more
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_log(path: Path, *, max_bytes: int = MAX_LOG_BYTES) -> BinaryIO:
    """Open a log to append to, mode 0600; one that has grown too long becomes ``<name>.1`` and a new one begins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # also when two starters move it at the same time
        if path.stat().st_size >= max_bytes:
            path.replace(path.with_name(f"{path.name}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


def _read_record(path: Path) -> ServerRecord | None:
    """Return the record in a file; None where there is none or it is damaged."""
    kinds = {"int": int, "str": str}
    try:
        values = json.loads(path.read_text("utf-8"))
        record = ServerRecord(**values)
    except (FileNotFoundError, IsADirectoryError, ValueError, TypeError):
        return None
    is_sound = all(type(getattr(record, field.name)) is kinds[str(field.type)] for field in fields(record))
    return record if is_sound else None


def boot_id() -> str:
    """Return the kernel's id of this boot; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def process_start(pid: int) -> int:
    """Return a process's start in clock ticks since boot, 0 if it does not run (or is a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    fields = stat[stat.rindex(b")") + 2 :].split()
    return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])
