"""Remove folders, however deep a command made them."""

from __future__ import annotations

import contextlib
import os

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: str) -> None:
    """Remove a folder and everything in it as far as permissions let us; links in it are not followed.

    Keeps one descriptor and no path: a tree may be deeper than the longest path and than the most open files. Nobody
    may move folders in it meanwhile. ``shutil`` would cost 5 ms to import and recurses.
    """
    try:
        current = os.open(folder, OPEN_FOLDER)
    except OSError:
        return
    try:
        _empty(current)
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _empty(current: int) -> None:
    """Empty the folder that is open as ``current``, and close it."""
    waiting = [_unlink_files(current)]  # names of the folders still to remove, a list a level
    identities = [_identity(current)]
    entered: list[str] = []
    try:
        while True:
            if waiting[-1]:
                name = waiting[-1].pop()
                try:
                    below = os.open(name, OPEN_FOLDER, dir_fd=current)
                except OSError:
                    continue
                os.close(current)
                current = below
                entered.append(name)
                identities.append(_identity(current))
                waiting.append(_unlink_files(current))
                continue
            if not entered:
                return
            above = os.open("..", OPEN_FOLDER, dir_fd=current)
            os.close(current)
            current = above
            waiting.pop()
            identities.pop()
            if _identity(current) != identities[-1]:
                return
            with contextlib.suppress(OSError):
                os.rmdir(entered.pop(), dir_fd=current)
    except OSError:
        return
    finally:
        os.close(current)


def _unlink_files(folder: int) -> list[str]:
    """Remove everything but folders from an open folder; return the names of its folders."""
    folders: list[str] = []
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
    except OSError:
        return folders
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
        except OSError:
            continue
    return folders


def _identity(folder: int) -> tuple[int, int]:
    status = os.fstat(folder)
    return status.st_dev, status.st_ino
