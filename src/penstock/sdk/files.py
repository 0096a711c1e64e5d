"""Bring files of runs and assets to a local folder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from penstock.entities.errors import InvalidPathError, NotFoundError
from penstock.sdk.response import Response, explain_target
from penstock.sdk.rest import Json, Rest

PARALLEL_DOWNLOADS = 4
NOT_MODIFIED = 304

OnProgress = Callable[[int, int], object]
"""Told how many bytes are here, and of how many."""


def list_run_files(rest: Rest, name: str, path: str = "", *, hint: str = "") -> list[Json]:
    """Return ``{"path", "size"}`` of the run's artifacts at or under ``path``.

    Raises
    ------
    NotFoundError
        If the path names nothing.
    """
    items = [item for item in rest.list_artifacts(name, path, recursive=True) if not item.get("is_dir")]
    if not items and path:
        raise NotFoundError(
            f'run "{name}" has no file "{path}"', hint=hint or f"List them with: penstock run files {name}", ref=name
        )
    return [{"path": item["path"], "size": item["size"]} for item in items]


def download_run_files(
    rest: Rest,
    name: str,
    folder: Path,
    *,
    paths: Sequence[str] = ("",),
    strip: str = "",
    hint: str = "",
    on_progress: OnProgress | None = None,
) -> list[Path]:
    """Write the run's artifacts at or under ``paths`` below ``folder`` and return what was written.

    A file that is there with the same content already is not brought again.

    Parameters
    ----------
    rest : Rest
        The server's calls.
    name : str
        The run.
    folder : Path
        Where to; made if it is missing.
    paths : sequence of str
        Files or folders of the run's artifacts; ``""`` is all of them.
    strip : str
        A leading folder to leave out of the local paths; of a file that is named itself, all but its name.
    hint : str
        What to do about a path that names nothing.
    on_progress : callable, optional
        Called now and then, from several threads, one at a time.

    Raises
    ------
    NotFoundError
        If one of the paths names nothing.
    """
    sizes: dict[str, int] = {}
    for path in paths:
        sizes.update({item["path"]: item["size"] for item in list_run_files(rest, name, path, hint=hint)})

    def open_file(path: str, known: str | None) -> Response:
        return rest.open_artifact(name, path, known=known)

    return fetch(sizes, folder, open_file, strip=strip, on_progress=on_progress)


def download_asset_files(rest: Rest, kind: str, asset: Json, folder: Path) -> list[Path]:
    """Write a version's files below ``folder`` and return what was written."""
    name, version = asset["name"], asset["version"]
    items = [item for item in rest.list_asset_files(kind, name, version) if not item.get("is_dir")]
    sizes = {item["path"]: item["size"] for item in items}
    return fetch(sizes, folder, lambda path, known: rest.open_asset_file(kind, name, version, path, known=known))


def fetch(
    sizes: Mapping[str, int],
    folder: Path,
    open_file: Callable[[str, str | None], Response],
    *,
    strip: str = "",
    on_progress: OnProgress | None = None,
) -> list[Path]:
    """Write each path, as ``open_file`` answers it, to its place below ``folder``.

    Parameters
    ----------
    sizes : mapping
        Of each path, in bytes.
    folder : Path
        Where to; made if it is missing.
    open_file : callable
        Opens a path; its second argument is the SHA-256 of what is here already, for which 304 is the answer where
        the server has the same.
    """
    targets = {path: folder / _relative(path, strip) for path in sizes}
    if not targets:
        return []
    total, done, lock = sum(sizes.values()), 0, threading.Lock()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_target(error, folder) from error

    def count(size: int) -> None:
        nonlocal done
        with lock:
            done += size
            if on_progress is not None:
                on_progress(done, total)

    def bring(path: str) -> None:
        target = targets[path]
        answer = open_file(path, _digest(target, sizes[path]))
        if answer.status == NOT_MODIFIED:
            answer.read()
            count(sizes[path])
        else:
            answer.save(target, on_piece=count)

    if len(targets) < 2:
        for path in targets:
            bring(path)
    else:
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            for _ in pool.map(bring, targets):
                pass
    return sorted(targets.values())


def _digest(path: Path, size: int) -> str | None:
    """Return the SHA-256 of a file that may be the one to bring: it is there and has its size."""
    try:
        if not path.is_file() or path.stat().st_size != size:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # what cannot be read may still be replaced, or the writing says why not
        return None


def _relative(path: str, strip: str) -> PurePosixPath:
    relative = PurePosixPath(path)
    if path == strip:
        relative = PurePosixPath(relative.name)
    elif strip:
        relative = relative.relative_to(strip)
    # The server checks what it stores; a client that writes files where an answer says checks again.
    if relative.is_absolute() or ".." in relative.parts or "\\" in path or not relative.parts:
        raise InvalidPathError(f'the server named the file "{path}", which would escape the folder')
    return relative
