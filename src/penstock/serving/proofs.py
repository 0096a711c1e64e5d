"""What is known of models that run inside the gateway, kept on disk so that a gateway's death teaches the next one.

For each model (by fingerprint) in ``run/inline/``: ``<fingerprint>.proven`` once a replica has loaded and measured it,
``.loading`` while the gateway loads it, ``.<any>.running`` for each time it is loaded (a byte a worker, shared: one
while it runs) and ``.barred`` where it may not come in. A gateway that finds a ``.loading``, or a ``.running`` with a
one, knows at whose hand the one before it may have died, and opens those models in replicas for an hour.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

BARRED_S = 3600.0


@dataclass(frozen=True, slots=True)
class Marks:
    """A byte a worker of one loaded model, and the file in which they outlive this process."""

    bytes: mmap.mmap
    file: Path

    def remove(self) -> None:
        """Note that the model runs here no more."""
        self.file.unlink(missing_ok=True)


class Proofs:
    """The files of one workspace.

    Parameters
    ----------
    folder : Path
        In ``run/``: it may be deleted while nothing runs.
    now : callable
        Wall clock in seconds.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now

    def learn(self) -> list[str]:
        """Bar the models that the last gateway was busy with when it was killed, and return their fingerprints."""
        suspects = []
        for file in self._folder.glob("*.loading"):
            self.bar(file.stem, "the gateway died while it loaded this model")
            suspects.append(file.stem)
        for file in self._folder.glob("*.running"):
            if any(file.read_bytes()):
                fingerprint = file.name.partition(".")[0]
                self.bar(fingerprint, "the gateway died while this model ran in it")
                suspects.append(fingerprint)
            file.unlink(missing_ok=True)
        return suspects

    def prove(self, fingerprint: str, measured: Mapping[str, Any]) -> None:
        """Note that a replica has loaded and measured a model."""
        self._write(fingerprint, "proven", msgspec.json.encode(measured))

    def find(self, fingerprint: str) -> dict[str, Any] | None:
        """Return what a replica has measured, None for a model that none has proven."""
        try:
            found = msgspec.json.decode(self._path(fingerprint, "proven").read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        return found if isinstance(found, dict) else None

    def bar(self, fingerprint: str, reason: str) -> None:
        """Keep a model out of the gateway for an hour."""
        self._write(fingerprint, "barred", reason.encode("utf-8"))
        self._path(fingerprint, "loading").unlink(missing_ok=True)

    def why_barred(self, fingerprint: str) -> str:
        """Return why a model may not come in, ``""`` if it may."""
        file = self._path(fingerprint, "barred")
        try:
            if self._now() - file.stat().st_mtime < BARRED_S:
                return file.read_text("utf-8")
            file.unlink()
        except OSError:
            return ""
        return ""

    @contextlib.contextmanager
    def loading(self, fingerprint: str) -> Any:
        """Mark a model as being loaded."""
        self._write(fingerprint, "loading", b"")
        try:
            yield
        finally:
            self._path(fingerprint, "loading").unlink(missing_ok=True)

    def open_marks(self, fingerprint: str, workers: int) -> Marks:
        """Return a byte a worker, which others can read after this process was killed.

        Each has a file of its own: several deployments may have the same model.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f"{fingerprint}.", suffix=".running", dir=self._folder)
        with os.fdopen(descriptor, "r+b") as file:
            file.write(bytes(workers))
            file.flush()
            return Marks(mmap.mmap(file.fileno(), workers), Path(name))

    def keep(self, fingerprints: set[str]) -> None:
        """Remove what is known of other models."""
        for file in self._folder.glob("*.proven"):
            if file.stem not in fingerprints:
                file.unlink(missing_ok=True)

    def _path(self, fingerprint: str, kind: str) -> Path:
        return self._folder / f"{fingerprint}.{kind}"

    def _write(self, fingerprint: str, kind: str, content: bytes) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(fingerprint, kind)
        path.write_bytes(content)
        return path
