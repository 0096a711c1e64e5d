"""The live log of a job: one growing file that people read while the job runs.

It begins with what Penstock itself has to say (an environment being built, an earlier attempt that was lost)
and goes on with the attempt's own output. When the job has ended, both parts are artifacts of its run and the
file is removed; readers see the same bytes at the same offsets before and after.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

MAX_NAME = 200
BUILD_LOG_ARTIFACT = "azureml-logs/20_image_build_log.txt"
STD_LOG_ARTIFACT = "user_logs/std_log.txt"


class LiveLogs:
    """The live log files of a workspace, by job name.

    Parameters
    ----------
    folder : Path
        ``logs/jobs`` of the workspace.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, job_name: str) -> Path:
        """Return a job's live log, whether or not it exists; the longest names are cut, with a digest."""
        if len(job_name) > MAX_NAME:
            job_name = f"{job_name[: MAX_NAME - 33]}-{hashlib.sha256(job_name.encode()).hexdigest()[:32]}"
        return self._folder / f"{job_name}.log"

    def names(self) -> list[str]:
        """Return the jobs that have a live log, as far as their names tell."""
        return [file.stem for file in self._folder.iterdir() if file.suffix == ".log"]

    def size(self, job_name: str) -> int:
        """Return the length in bytes, 0 where there is none."""
        try:
            return self.path(job_name).stat().st_size
        except FileNotFoundError:
            return 0

    def say(self, job_name: str, line: str) -> None:
        """Append a line of Penstock's own; only while no attempt writes."""
        with self.path(job_name).open("ab") as file:
            file.write(line.rstrip("\n").encode() + b"\n")

    def append(self, job_name: str, offset: int, content: bytes) -> int:
        """Write ``content`` at ``offset`` unless it would leave a hole; return the new length.

        The same slice may come twice; it then replaces itself.
        """
        path = self.path(job_name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            length = os.fstat(descriptor).st_size
            if offset > length:
                return length
            os.pwrite(descriptor, content, offset)
            return max(length, offset + len(content))
        finally:
            os.close(descriptor)

    def read(self, job_name: str, offset: int, limit: int = 1 << 20) -> bytes:
        """Return up to ``limit`` bytes from ``offset``; empty where there are none."""
        try:
            with self.path(job_name).open("rb") as file:
                file.seek(offset)
                return file.read(limit)
        except FileNotFoundError:
            return b""

    def tail(self, job_name: str, lines: int = 20, limit: int = 16384) -> str:
        """Return the last lines as text, at most ``limit`` bytes of them."""
        content = self.read(job_name, max(0, self.size(job_name) - limit), limit)
        return "\n".join(content.decode("utf-8", "replace").splitlines()[-lines:])

    def remove(self, job_name: str) -> None:
        """Remove a job's live log; idempotent."""
        self.path(job_name).unlink(missing_ok=True)
