"""List what of a local folder is uploaded: data whole, code without what its ignore file names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from penstock.entities.errors import UsageError
from penstock.rules.artifact_paths import check_path
from penstock.sdk.spec.ignore import IgnoreRules

IGNORE_FILES = (".amlignore", ".gitignore")
MAX_FILES = 200_000


def list_files(folder: Path, *, ignore: IgnoreRules | None = None) -> list[str]:
    """Return the relative POSIX paths of a folder's files, sorted.

    Links are followed, as what they point at is what a job will see; sockets, pipes and devices are left out.

    Parameters
    ----------
    folder : Path
        An existing folder.
    ignore : IgnoreRules, optional
        What stays at home; nothing by default.

    Raises
    ------
    UsageError
        If a link leads nowhere or in a circle, a folder cannot be read, a name cannot be stored, or there are
        more than 200,000 files.
    InvalidPathError
        If a file's name cannot be an artifact's, such as one with a backslash.
    """
    found: list[str] = []
    for path in _walk(folder, "", ignore, (os.path.realpath(folder),)):
        found.append(check_path(path))
        if len(found) > MAX_FILES:
            raise UsageError(
                f"{folder} holds more than {MAX_FILES:,} files",
                hint=f"Name what to leave out in {folder / IGNORE_FILES[0]}.",
            )
    return sorted(found)


def list_code_files(folder: Path) -> list[str]:
    """Return the files of a code folder that are part of its snapshot: see ``read_ignore_rules``."""
    return list_files(folder, ignore=read_ignore_rules(folder))


def read_ignore_rules(folder: Path) -> IgnoreRules:
    """Return the rules of a folder's ``.amlignore``, or else of its ``.gitignore``, or the usual ones."""
    for name in IGNORE_FILES:
        try:
            return IgnoreRules((folder / name).read_text(encoding="utf-8", errors="replace").splitlines())
        except (FileNotFoundError, IsADirectoryError):
            continue
        except OSError as error:
            raise UsageError(f"{folder / name} cannot be read: {error.strerror}") from error
    return IgnoreRules()


def _walk(root: Path, prefix: str, ignore: IgnoreRules | None, above: tuple[str, ...]) -> Iterator[str]:
    folder = root / prefix if prefix else root
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}") from error
    for entry in entries:
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        is_folder = entry.is_dir()
        if ignore is not None and ignore.ignores(path, is_folder=is_folder):
            continue
        if is_folder:
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
            if real in above:
                raise UsageError(f"the link {entry.path} leads into a circle", hint="Remove it, or ignore it.")
            yield from _walk(root, path, ignore, (*above, real))
        elif entry.is_file():
            yield path
        elif entry.is_symlink() and not os.path.exists(entry.path):
            raise UsageError(f"the link {entry.path} leads nowhere", hint="Remove it, or ignore it.")
