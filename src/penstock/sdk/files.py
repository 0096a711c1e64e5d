"""Bring files of runs and assets to a local folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from penstock.entities.errors import InvalidPathError, NotFoundError
from penstock.sdk.response import Response, explain_target
from penstock.sdk.rest import Json, Rest

PARALLEL_DOWNLOADS = 4


def download_run_files(
    rest: Rest, name: str, folder: Path, *, paths: Sequence[str] = ("",), strip: str = "", hint: str = ""
) -> list[Path]:
    """Write the run's artifacts at or under ``paths`` below ``folder`` and return what was written.

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
        A leading folder to leave out of the local paths.
    hint : str
        What to do about a path that names nothing.

    Raises
    ------
    NotFoundError
        If one of the paths names nothing.
    """
    found: dict[str, None] = {}
    for path in paths:
        items = [item["path"] for item in rest.list_artifacts(name, path, recursive=True) if not item.get("is_dir")]
        if not items and path:
            raise NotFoundError(
                f'run "{name}" has no file "{path}"',
                hint=hint or f"List them with: penstock job download --list -n {name}",
                ref=name,
            )
        found.update(dict.fromkeys(items))
    return fetch(list(found), folder, lambda path: rest.open_artifact(name, path), strip=strip)


def download_asset_files(rest: Rest, kind: str, asset: Json, folder: Path) -> list[Path]:
    """Write a version's files below ``folder`` and return what was written."""
    name, version = asset["name"], asset["version"]
    paths = [item["path"] for item in rest.list_asset_files(kind, name, version) if not item.get("is_dir")]
    return fetch(paths, folder, lambda path: rest.open_asset_file(kind, name, version, path))


def fetch(paths: Iterable[str], folder: Path, open_file: Callable[[str], Response], *, strip: str = "") -> list[Path]:
    """Write each path, as ``open_file`` answers it, to its place below ``folder``."""
    targets = {path: folder / _relative(path, strip) for path in paths}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_target(error, folder) from error

    def bring(path: str) -> None:
        open_file(path).save(targets[path])

    if len(targets) < 2:
        for path in targets:
            bring(path)
    else:
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            for _ in pool.map(bring, targets):
                pass
    return sorted(targets.values())


def _relative(path: str, strip: str) -> PurePosixPath:
    relative = PurePosixPath(path)
    if strip:
        relative = relative.relative_to(strip)
    # The server checks what it stores; a client that writes files where an answer says checks again.
    if relative.is_absolute() or ".." in relative.parts or "\\" in path or not relative.parts:
        raise InvalidPathError(f'the server named the file "{path}", which would escape the folder')
    return relative
