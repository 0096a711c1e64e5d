"""Send what the shim kept as artifacts while the command runs, so that people see a picture when it is drawn.

The events name each artifact when it is whole. What is sent here is collected again at the end, by digest, so nothing
depends on it: killed at any moment, or with the server away, a file arrives then. A thread starts with the first file.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading

from penstock.agent.collection import CHUNK, artifact_name, is_inside, is_too_long, open_regular
from penstock.agent.delivery import FIRST_RETRY_S, LAST_RETRY_S
from penstock.agent.door import Refused, ServerDoor
from penstock.agent.notes import complain, complain_of_defect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, BinaryIO

    from penstock.agent.assignment import Assignment

AT_ONCE = 50
MARK = '"artifact"'


class LiveArtifacts:
    """Uploads named artifacts one after another; ``offer`` and ``close`` are for one other thread.

    Parameters
    ----------
    assignment : Assignment
        Names the server.
    folder : str
        Where the shim keeps artifacts.
    """

    def __init__(self, assignment: Assignment, folder: str) -> None:
        self._assignment = assignment
        self._folder = folder
        self._waiting: dict[str, None] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._door: ServerDoor | None = None
        self._thread: threading.Thread | None = None

    def offer(self, lines: Iterable[str]) -> None:
        """Take the events that a report brought; those of artifacts name what is sent next."""
        for line in lines:
            if MARK in line:
                try:
                    path = json.loads(line)["artifact"]
                except (ValueError, KeyError, TypeError):
                    continue
                if isinstance(path, str) and not is_too_long(path):
                    self._wait_for(path)

    def close(self) -> None:
        """Stop, also in the middle of a file."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._door is not None:
            self._door.abort()
        if self._thread is not None:
            self._thread.join()

    def _wait_for(self, path: str) -> None:
        with self._changed:
            if self._closing:
                return
            self._waiting.pop(path, None)
            self._waiting[path] = None
            self._changed.notify()
            if self._thread is None:
                self._door = ServerDoor(self._assignment)
                self._thread = threading.Thread(target=self._loop, args=(self._door,), name="artifacts", daemon=True)
                self._thread.start()

    def _loop(self, door: ServerDoor) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                paths = list(self._waiting)[:AT_ONCE]
                for path in paths:
                    del self._waiting[path]
            if self._closing:
                break
            try:
                self._send(door, paths)
                retry_s = FIRST_RETRY_S
                continue
            except OSError:
                pass  # the server is away
            except Refused as refused:
                complain(f"artifacts are not wanted now: {refused}")
                continue
            except Exception:
                complain_of_defect("artifacts could not be sent")
                continue
            with self._changed:
                self._waiting = {**dict.fromkeys(paths), **self._waiting}
                self._changed.wait_for(lambda: self._closing, retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)
        door.close()

    def _send(self, door: ServerDoor, paths: list[str]) -> None:
        """Send files; each is open from hashing to sending, so it is one and the same whatever replaces it."""
        opened: dict[str, BinaryIO] = {}
        try:
            entries = [entry for path in paths for entry in self._open(path, opened)]
            if not entries:
                return
            missing = door.keep_artifacts({"artifacts": entries}).get("missing") or ()
            for digest in missing:
                if self._closing:
                    return
                file = opened[str(digest)]
                door.put_blob(str(digest), file, os.fstat(file.fileno()).st_size)
            if missing:
                door.keep_artifacts({"artifacts": entries})
        finally:
            for file in opened.values():
                file.close()

    def _open(self, path: str, opened: dict[str, BinaryIO]) -> list[dict[str, Any]]:
        """Open and hash one file; none that is gone or leads elsewhere: the end's collection says why."""
        real = os.path.realpath(os.path.join(self._folder, path))
        if not is_inside(real, os.path.realpath(self._folder)):
            return []
        try:
            descriptor = open_regular(real)
        except OSError:
            return []
        file = open(descriptor, "rb", buffering=0)  # noqa: SIM115 # closed by whoever sends it
        digest = hashlib.sha256()
        while data := file.read(CHUNK):
            digest.update(data)
        name = digest.hexdigest()
        if name in opened:
            opened[name].close()
        opened[name] = file
        size = os.fstat(descriptor).st_size
        return [{"path": artifact_name(path), "digest": name, "size": size, "executable": False}]
