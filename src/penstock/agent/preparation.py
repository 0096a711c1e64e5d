"""Put the working copy and the inputs in place.

Everything is copied, never linked: blobs are shared by all jobs and must not change. Where the file system can share
blocks between copies, ``copy_file_range`` does.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.agent.assignment import Assignment, Entry, Input

COPY_AT_ONCE = 1 << 30
SMALL = 1 << 16
NO_COPY_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class PreparationError(Exception):
    """The attempt cannot start; the message is one sentence for the user."""


def prepare(assignment: Assignment, note: Callable[[str], None]) -> None:
    """Make the attempt's folders, copy the code, bring the inputs.

    Parameters
    ----------
    assignment : Assignment
        Names what goes where.
    note : callable
        Writes one line for the user into the log.

    Raises
    ------
    PreparationError
        If something is missing, cannot be fetched, or the disk is full.
    """
    try:
        for folder in ("work/outputs", "work/logs"):
            os.makedirs(os.path.join(assignment.folder, folder), exist_ok=True)
        _copy_tree(assignment, assignment.work, assignment.code, "code")
        for item in assignment.inputs:
            _bring_input(assignment, item, note)
        for output in assignment.outputs:
            path = os.path.join(assignment.folder, output.path)
            os.makedirs(os.path.dirname(path) if output.type == "uri_file" else path, exist_ok=True)
    except OSError as error:
        place = error.filename or assignment.folder
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise PreparationError(f"The disk is full: {place}; free some space.") from error
        raise PreparationError(f"{error.strerror or error}: {place}") from error


def _bring_input(assignment: Assignment, item: Input, note: Callable[[str], None]) -> None:
    target = os.path.join(assignment.folder, item.path)
    what = f"inputs.{item.name}"
    if item.url is not None:
        # urllib and ssl cost 25 ms; few jobs have a URL
        from penstock.agent.download import DownloadError, download, shown_url

        note(f"{what}: downloading {shown_url(item.url)}")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            download(item.url, target)
        except DownloadError as error:
            raise PreparationError(f"{what}: {error}") from error
    elif item.is_file:
        if len(item.entries) != 1:
            raise PreparationError(f"{what}: a file was expected, the asset has {len(item.entries)}")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _copy_entry(assignment, item.entries[0], target, what)
    else:
        _copy_tree(assignment, target, item.entries, what)


def _copy_tree(assignment: Assignment, target: str, entries: list[Entry], what: str) -> None:
    os.makedirs(target, exist_ok=True)
    made = {target}
    for entry in entries:
        path = os.path.join(target, entry.path)
        folder = os.path.dirname(path)
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        _copy_entry(assignment, entry, path, what)


def _copy_entry(assignment: Assignment, entry: Entry, target: str, what: str) -> None:
    blob = os.path.join(assignment.blobs, entry.digest[:2], entry.digest)
    try:
        source = os.open(blob, os.O_RDONLY)
    except FileNotFoundError as error:
        raise PreparationError(f"{what}: the content of {entry.path!r} ({entry.digest[:12]}) is not stored") from error
    try:
        if os.fstat(source).st_size != entry.size:
            raise PreparationError(f"{what}: the stored content of {entry.path!r} is damaged; upload it again")
        mode = 0o755 if entry.executable else 0o644
        copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        try:
            _copy_bytes(source, copy, entry.size)
        finally:
            os.close(copy)
    finally:
        os.close(source)


def _copy_bytes(source: int, copy: int, size: int) -> None:
    done = 0
    while done < size and size > SMALL:
        try:
            count = os.copy_file_range(source, copy, min(size - done, COPY_AT_ONCE))
        except OSError as error:
            if error.errno not in NO_COPY_RANGE:
                raise
            break
        if count == 0:
            break
        done += count
    while done < size:
        data = os.read(source, 1 << 20)
        if not data:
            raise OSError(errno.EIO, "a stored file became shorter while it was copied")
        view = memoryview(data)
        while view:
            view = view[os.write(copy, view) :]
        done += len(data)
