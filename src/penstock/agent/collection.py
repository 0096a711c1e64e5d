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
from penstock.agent.notes import complain_of_defect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO

    from penstock.agent.assignment import Assignment
    from penstock.agent.record import SpoolRecord

CHUNK = 1 << 20
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\udc80-\udcff]|%(?=2e|2f|5c|00|25)|(?<=^[A-Za-z]):", re.IGNORECASE)
MAX_PATH_BYTES = 1024
MAX_PART_BYTES = 255
"""What the server takes of an artifact's whole path, as ``penstock.rules.artifact_paths`` has it."""
MAX_COLLECTED_BYTES = 900
"""What a collected file's path may have, so that the name of its output fits before it."""
MAX_NOTES = 100
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
    """Return everything the attempt left that can be kept; the log comes last, with what was noted meanwhile.

    Never raises: whatever a command can leave behind, its end must be told.
    """
    found = Collection()
    notes = Notes(note)
    root = os.path.realpath(assignment.folder)
    places = [
        ("", record.artifacts, os.path.realpath(record.artifacts)),
        ("outputs", os.path.join(assignment.work, "outputs"), root),
        ("logs", os.path.join(assignment.work, "logs"), root),
    ]
    by_path: dict[str, dict[str, Any]] = {}
    for prefix, folder, allowed in places:
        for entry in _collect_place(found, folder, prefix, allowed, notes):
            by_path[entry["path"]] = entry
    for output in assignment.outputs:
        path = os.path.join(assignment.folder, output.path)
        found.outputs[output.name] = list(_collect_place(found, path, "", root, notes))
    notes.end()
    try:
        by_path[LOG_ARTIFACT] = found.add(LOG_ARTIFACT, record.log)
    except FileNotFoundError:
        pass
    except OSError as error:
        note(f"not collected: the log: {error.strerror or error}")
    found.artifacts = list(by_path.values())
    return found


class Notes:
    """Says what is not collected, a hundred times and then how often."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._count = 0

    def __call__(self, line: str) -> None:
        """Note one line."""
        self._count += 1
        if self._count <= MAX_NOTES:
            self._note(f"not collected: {line}")

    def end(self) -> None:
        """Say how many lines were left out."""
        if self._count > MAX_NOTES:
            self._note(f"not collected: {self._count - MAX_NOTES} more")


def _collect_place(
    found: Collection, place: str, prefix: str, allowed: str, note: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    try:
        for path, source in files_below(place, allowed, note):
            if is_too_long(path):
                note(f"{path[:60]}… has a name over {MAX_PART_BYTES} bytes or a path over {MAX_COLLECTED_BYTES}")
                continue
            try:
                yield found.add(f"{prefix}/{path}" if prefix else path, source)
            except OSError as error:
                note(f"{path}: {error.strerror or error}")
    except Exception as error:
        complain_of_defect(f"{place} could not be collected")
        note(f"the rest of {os.path.basename(place)}: {type(error).__name__}: {error}")


def files_below(place: str, allowed: str, note: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Yield (relative path, real path) of every file at or below ``place``, sorted, nothing outside ``allowed``.

    ``place`` may be a file; then its path is its name. A link back to a folder that is being walked is passed over,
    and so is a folder whose path is too long for what is in it.
    """
    real = os.path.realpath(place)
    if not os.path.lexists(place):
        return
    if not is_inside(real, allowed):
        note(f"{os.path.basename(place)} leads out of the job's folder")
    elif os.path.isdir(real):
        yield from _walk(real, allowed, note)
    else:
        yield os.path.basename(place), real


def _walk(root: str, allowed: str, note: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Walk with a stack of our own: a command can nest folders deeper than Python may recurse."""
    above = [root]
    levels = [_entries("", root, note)]
    while levels:
        for path, entry in levels[-1]:
            real = _real(path, entry, allowed, note)
            if real is None:
                continue
            if not os.path.isdir(real):
                yield path, real
            elif real in above:
                note(f"{path} is a link to a folder above it")
            elif is_too_long(path):
                note(f"{path[:60]}… is a folder with a path of more than {MAX_COLLECTED_BYTES} bytes")
            else:
                above.append(real)
                levels.append(_entries(f"{path}/", real, note))
                break
        else:
            levels.pop()
            above.pop()


def _entries(prefix: str, folder: str, note: Callable[[str], None]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Return an iterator over a folder's (path, entry), sorted."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        note(f"{prefix or folder}: {error.strerror}")
        entries = []
    return ((prefix + entry.name, entry) for entry in entries)


def _real(path: str, entry: os.DirEntry[str], allowed: str, note: Callable[[str], None]) -> str | None:
    """Return where an entry really is, None if that is outside ``allowed`` or cannot be said."""
    try:
        real = _resolve(entry.path) if entry.is_symlink() else entry.path
    except OSError as error:
        note(f"{path}: {error.strerror}")
        return None
    if not is_inside(real, allowed):
        note(f"{path} is a link that leads out of the job's folder")
        return None
    return real


def _resolve(link: str) -> str:
    """Return where a link leads; the kernel ends a chain after 40 links, realpath takes a second for a thousand."""
    descriptor = os.open(link, os.O_PATH | os.O_CLOEXEC)
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def is_too_long(path: str) -> bool:
    """Return whether ``path`` is longer than artifact paths may be, once it is one."""
    name = os.fsencode(artifact_name(path))
    return len(name) > MAX_COLLECTED_BYTES or any(len(part) > MAX_PART_BYTES for part in name.split(b"/"))


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
