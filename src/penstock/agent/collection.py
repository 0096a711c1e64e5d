"""Find and hash what an attempt left: ``outputs/``, ``logs/``, named outputs, what the shim kept, and the log.

Nothing outside the attempt's folder is ever taken. A symbolic link is followed where it leads to a regular file or
folder inside that folder; other links, sockets, pipes and devices are passed over with a line in the log.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat

from penstock.agent.door import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO

    from penstock.agent.assignment import Assignment
    from penstock.agent.record import SpoolRecord

CHUNK = 1 << 20
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\udc80-\udcff]|%(?=2e|2f|5c|00|25)|(?<=^[A-Za-z]):", re.IGNORECASE)
MAX_PATH_BYTES = 900
LOG_ARTIFACT = "user_logs/std_log.txt"


class Collection:
    """The files of one attempt by their place among the run's artifacts, and where their content is.

    Attributes
    ----------
    artifacts : list of dict
        ``path``, ``digest``, ``size``, ``executable``; the paths begin with ``outputs/``, ``logs/``, ….
    outputs : dict
        Per named output the same, with paths inside the output.
    sources : dict
        Digest → a local file with that content.
    """

    def __init__(self) -> None:
        self.artifacts: list[dict[str, Any]] = []
        self.outputs: dict[str, list[dict[str, Any]]] = {}
        self.sources: dict[str, tuple[str, int]] = {}

    def add(self, path: str, source: str) -> dict[str, Any]:
        """Hash one file and return its entry under the artifact path ``path``."""
        descriptor = open_regular(source)
        digest = hashlib.sha256()
        size = 0
        with open(descriptor, "rb", buffering=0) as file:
            mode = os.fstat(descriptor).st_mode
            while data := file.read(CHUNK):
                digest.update(data)
                size += len(data)
        name = digest.hexdigest()
        self.sources[name] = (source, size)
        return {"path": artifact_name(path), "digest": name, "size": size, "executable": bool(mode & stat.S_IXUSR)}


def collect(assignment: Assignment, record: SpoolRecord, note: Callable[[str], None]) -> Collection:
    """Return everything the attempt left; the log comes last, so that it holds what was noted meanwhile."""
    found = Collection()
    root = os.path.realpath(assignment.folder)
    places = [
        ("", record.artifacts, os.path.realpath(record.artifacts)),
        ("outputs", os.path.join(assignment.work, "outputs"), root),
        ("logs", os.path.join(assignment.work, "logs"), root),
    ]
    by_path: dict[str, dict[str, Any]] = {}
    for prefix, folder, allowed in places:
        for entry in _collect_place(found, folder, prefix, allowed, note):
            by_path[entry["path"]] = entry
    for output in assignment.outputs:
        path = os.path.join(assignment.folder, output.path)
        found.outputs[output.name] = list(_collect_place(found, path, "", root, note))
    if os.path.exists(record.log):
        by_path[LOG_ARTIFACT] = found.add(LOG_ARTIFACT, record.log)
    found.artifacts = list(by_path.values())
    return found


def _collect_place(
    found: Collection, place: str, prefix: str, allowed: str, note: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    for path, source in files_below(place, allowed, note):
        if len(os.fsencode(artifact_name(path))) > MAX_PATH_BYTES:
            note(f"not collected: {path[:60]}… has a path of more than {MAX_PATH_BYTES} bytes")
            continue
        try:
            yield found.add(f"{prefix}/{path}" if prefix else path, source)
        except OSError as error:
            note(f"not collected: {path}: {error.strerror or error}")


def files_below(place: str, allowed: str, note: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Yield (relative path, real path) of every file at or below ``place``, sorted, nothing outside ``allowed``.

    ``place`` may be a file; then its path is its name. A link back to a folder that is being walked is passed over.
    """
    real = os.path.realpath(place)
    if not os.path.lexists(place):
        return
    if not is_inside(real, allowed):
        note(f"not collected: {os.path.basename(place)} leads out of the job's folder")
    elif os.path.isdir(real):
        yield from _walk("", real, allowed, (real,), note)
    else:
        yield os.path.basename(place), real


def _walk(
    prefix: str, folder: str, allowed: str, above: tuple[str, ...], note: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(folder) as entries:
            items = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        note(f"not collected: {prefix or folder}: {error.strerror}")
        return
    for item in items:
        path = prefix + item.name
        real = os.path.realpath(item.path) if item.is_symlink() else item.path
        if not is_inside(real, allowed):
            note(f"not collected: {path} is a link that leads out of the job's folder")
        elif os.path.isdir(real):
            if real in above:
                note(f"not collected: {path} is a link to a folder above it")
            else:
                yield from _walk(f"{path}/", real, allowed, (*above, real), note)
        else:
            yield path, real


def is_inside(path: str, root: str) -> bool:
    """Return whether a real path is ``root`` or below it."""
    return path == root or path.startswith(root + os.sep)


def open_regular(path: str) -> int:
    """Open a regular file for reading; never follows a link, never waits for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def open_source(path: str, size: int) -> BinaryIO:
    """Open a collected file to send it; raises Refused if it is no longer what was hashed."""
    try:
        descriptor = open_regular(path)
    except OSError as error:
        raise Refused(0, f"{path} cannot be read any more: {error.strerror}") from error
    if os.fstat(descriptor).st_size != size:
        os.close(descriptor)
        raise Refused(0, f"{path} changed while it was collected")
    return open(descriptor, "rb", buffering=0)


def artifact_name(path: str) -> str:
    """Return ``path`` as artifact paths may be.

    Backslashes, control characters, bytes that are no UTF-8 and percent signs that look like an encoded path become
    ``=`` and two hex digits a byte, as in quoted-printable.
    """
    return FORBIDDEN.sub(lambda match: "".join(f"={byte:02X}" for byte in os.fsencode(match[0])), path)
