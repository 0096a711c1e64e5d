"""The file a job's ``log_*`` calls append to, and the folder its artifacts wait in.

One ``write`` on an O_APPEND descriptor is one whole line, from any thread and any forked or spawned process. The agent
beside the job reads the lines and brings them to the server; a call here never waits for a network. Outside a job, or
when the disk is full, a call is a warning (once) and nothing else: logging never ends a training.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import Any

VARIABLE = "PENSTOCK_SPOOL"
logger = logging.getLogger("penstock")
_lock = threading.Lock()
_warned: set[str] = set()
_current: Spool | None = None


class Spool:
    """The spool folder of one attempt."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.artifacts = os.path.join(folder, "artifacts")
        self.params: dict[str, str] = {}  # what this process logged; the first value of each counts
        self._events = os.path.join(folder, "events.jsonl")
        self._descriptor = -1
        self._is_torn = False

    def append(self, entry: dict[str, Any]) -> None:
        """Append one event with the time (ms UTC) as ``t``; an OSError becomes a warning."""
        line = json.dumps({"t": time.time_ns() // 1000000, **entry}, separators=(",", ":")) + "\n"
        content = line.encode("ascii")
        try:
            if self._descriptor < 0:
                with _lock:
                    if self._descriptor < 0:
                        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                        self._descriptor = os.open(self._events, flags, 0o600)
            if self._is_torn:
                content = b"\n" + content
            written = os.write(self._descriptor, content)
            self._is_torn = written < len(content)
            if self._is_torn:
                warn_once("what was logged could not be kept: the disk is full")
        except OSError as error:
            warn_once("what was logged could not be kept: %s" % error)

    def read(self) -> list[dict[str, Any]]:
        """Return the events of this attempt so far, whoever of its processes logged them; none that is damaged."""
        found = []
        try:
            with open(self._events, "rb") as file:
                for line in file:
                    try:
                        event = json.loads(line)
                    except ValueError:
                        continue
                    if isinstance(event, dict):
                        found.append(event)
        except OSError:
            return found
        return found

    def sync(self) -> None:
        """Put the events on the disk; an OSError becomes a warning."""
        try:
            if self._descriptor >= 0:
                os.fdatasync(self._descriptor)
        except OSError as error:
            warn_once("what was logged may not be on the disk: %s" % error)

    def put_artifact(self, path: str, content: bytes) -> None:
        """Keep ``content`` as the artifact ``path`` (checked), replacing an earlier one at once."""
        try:
            temporary = self._temporary(path)
            with open(temporary, "wb") as file:
                file.write(content)
            self._publish(temporary, path)
        except OSError as error:
            warn_once("the artifact %s could not be kept: %s" % (path, error))

    def copy_artifact(self, source: str, path: str) -> None:
        """Keep a copy of a local file as the artifact ``path``; raises OSError if the file cannot be opened."""
        with open(source, "rb", buffering=0) as file:
            try:
                temporary = self._temporary(path)
                with open(temporary, "wb", buffering=0) as copy:
                    _copy(file.fileno(), copy.fileno())
                self._publish(temporary, path)
            except OSError as error:
                warn_once("the artifact %s could not be kept: %s" % (path, error))

    def _temporary(self, path: str) -> str:
        os.makedirs(os.path.join(self.folder, "incoming"), exist_ok=True)
        os.makedirs(os.path.join(self.artifacts, os.path.dirname(path)), exist_ok=True)
        return os.path.join(self.folder, "incoming", "%d-%d" % (os.getpid(), threading.get_ident()))

    def _publish(self, temporary: str, path: str) -> None:
        os.replace(temporary, os.path.join(self.artifacts, path))
        self.append({"artifact": path})


def current() -> Spool | None:
    """Return the spool of the job this process belongs to; outside a job, warn once and return None."""
    global _current
    folder = os.environ.get(VARIABLE)
    if not folder:
        warn_once("this process is no Penstock job: penstock.log_* calls are left out")
        return None
    if _current is None or _current.folder != folder:
        _current = Spool(folder)
    return _current


def warn_once(message: str, kind: str | None = None) -> None:
    """Log a warning the first time one of its ``kind`` (by default: with its words) is said.

    The ``warnings`` module could be set to raise.
    """
    with _lock:
        if (kind or message) in _warned:
            return
        _warned.add(kind or message)
    logger.warning(message)


def _renew_lock() -> None:
    """Give a forked process a lock that nobody holds: the thread that held it was not forked."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _copy(source: int, target: int) -> None:
    """Copy a file's bytes, sharing blocks where the file system can."""
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
    except (AttributeError, OSError):
        os.lseek(source, os.lseek(target, 0, os.SEEK_CUR), os.SEEK_SET)
        while True:
            data = os.read(source, 1 << 20)
            if not data:
                return
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
