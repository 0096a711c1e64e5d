"""The files of the job's runs and models by name, so that a read in an outage sees what was written before.

A list is answered only where it is whole: of a run or model that began under this relay, all of whose files passed it.
Contents are there while they wait in the spool; a file that was delivered is known by its name alone.
"""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FOLDER = "artifacts"
MAX_NAMES = 10_000


class Files:
    """What lies below ``…/<run or model>/artifacts``; for any thread.

    Parameters
    ----------
    owns : callable
        Whether a run or model belongs to the job.
    """

    def __init__(self, owns: Callable[[str], bool]) -> None:
        self._owns = owns
        self._lock = threading.Lock()
        self._whole: set[str] = set()
        self._names: dict[str, dict[str, tuple[str, int]]] = {}
        self._count = 0

    def split(self, path: str) -> tuple[str, str]:
        """Return the run or model of ours that a path lies in, empty if none, and the path below its root."""
        parts = path.strip("/").split("/")
        for place in range(1, len(parts)):
            if parts[place] == FOLDER and self._owns(parts[place - 1]):
                return parts[place - 1], "/".join(parts[place + 1 :])
        return "", path

    def begin(self, owner: str) -> None:
        """Count an owner's files as known from here on: it has none yet."""
        with self._lock:
            self._whole.add(owner)

    def put(self, path: str, file: str = "", size: int = 0) -> None:
        """Remember a file, and its name in the spool while it is there."""
        owner, name = self.split(path)
        if not owner or not name:
            return
        with self._lock:
            names = self._names.setdefault(owner, {})
            if name not in names:
                self._count += 1
            names[name] = (file, size)
            if self._count > MAX_NAMES:
                self._names.clear()
                self._whole.clear()
                self._count = 0

    def remove(self, path: str) -> None:
        """Forget a file, or all files of a folder."""
        owner, name = self.split(path)
        with self._lock:
            names = self._names.get(owner, {})
            for known in [known for known in names if known == name or known.startswith(f"{name}/") or not name]:
                del names[known]
                self._count -= 1

    def find(self, path: str) -> tuple[str, int] | None:
        """Return a file's name in the spool, empty where its content is elsewhere; None where it is not known at all.

        Raises
        ------
        FileNotFoundError
            If there is certainly no such file.
        """
        owner, name = self.split(path)
        with self._lock:
            found = self._names.get(owner, {}).get(name)
            if found is None and owner in self._whole:
                raise FileNotFoundError(path)
            return found

    def children(self, path: str, unseen: list[str]) -> list[dict[str, Any]] | None:
        """Return the direct children of a folder as the protocol lists them, None where not all are known.

        Parameters
        ----------
        path : str
            The folder.
        unseen : list of str
            Names below the job's own run that came by another way than this relay.
        """
        owner, folder = self.split(path)
        root = f"{folder}/" if folder else ""
        with self._lock:
            if not owner or owner not in self._whole:
                return None
            names = {**dict.fromkeys(unseen, ("", 0)), **self._names.get(owner, {})}
        found: dict[str, dict[str, Any]] = {}
        for name, (_, size) in names.items():
            if not name.startswith(root):
                continue
            child, slash, _ = name[len(root) :].partition("/")
            shown: dict[str, Any] = {"path": child, "is_dir": bool(slash)}
            found[child] = {**shown, "file_size": size} if size and not slash else shown
        return [found[child] for child in sorted(found)]


def names_below(folder: str) -> list[str]:
    """Return the paths of the files below a folder."""
    return [os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names]
