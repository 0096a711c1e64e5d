"""Pack a deployment with all that answers for it, so that it scores elsewhere, without Penstock and without a network.

The runner is our own source, copied: the files that host a ``score.py``, or what of the package runs ONNX models.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from penstock import shim
from penstock.entities.errors import RefusedError, UsageError
from penstock.serving import export_files, pinned
from penstock.serving.desired import DesiredDeployment, FileEntry
from penstock.serving.routing import version_of
from penstock.stores.blobs.base import BlobStore

TARGETS = ("folder", "docker")
_PACKAGE = Path(shim.__file__).parents[1]
_PARTS = ("__init__.py", "version.py", "plugins.py", "entities", "rules", "inference", "shim", "serving/__init__.py")
_SERVING = ("codes", "identifiers", "parcels", "replica", "standalone")
_ONNX_MODULES = ("numpy", "onnxruntime", "PIL", "pydantic", "msgspec", "yaml")
_FAST_MODULES = ("simplejpeg", "cv2")


def write_export(
    file: IO[bytes], endpoint: str, deployment: DesiredDeployment, blobs: BlobStore, *, target: str, interpreter: str
) -> None:
    """Write a tar of the folder.

    Parameters
    ----------
    interpreter : str
        This server's own, which runs models without code.

    Raises
    ------
    UsageError
        If the target is unknown.
    RefusedError
        If it is not ready, or cannot be exported.
    """
    if target not in TARGETS:
        raise UsageError(f'there is no target "{target}"', hint=f"Name one of: {', '.join(TARGETS)}.")
    place = f"{endpoint}/{deployment.name}"
    if deployment.is_held:
        raise RefusedError(f"the environment of {place} is not built yet", hint="Try it again in a while.")
    is_script = deployment.scoring_script is not None
    if not is_script and not deployment.is_onnx:
        raise RefusedError(
            f"{place} is run by MLflow's own code, which is not exported",
            hint="Download the model (penstock model download) and serve the folder with: mlflow models serve",
        )
    installed = pinned.read_installed((deployment.interpreter if is_script else None) or interpreter)
    lines = _script_lines(deployment, installed, blobs) if is_script else _onnx_lines(deployment, installed)
    with tarfile.open(fileobj=file, mode="w") as archive:
        writer = _Writer(archive)
        for name, path in _runner(is_script=is_script):
            writer.add_file(name, path)
        for entry in deployment.code or ():
            writer.add_blob(f"code/{entry.path}", entry, blobs)
        inside = "" if deployment.is_file else f"{deployment.model_name}/"
        for entry in deployment.model_tree:
            writer.add_blob(f"model/{inside}{entry.path}", entry, blobs)
        writer.add_text("deployment.json", json.dumps(_given(endpoint, deployment), indent=2) + "\n")
        writer.add_text("requirements.txt", "".join(f"{line}\n" for line in lines))
        writer.add_text("serve.py", export_files.SERVE_SCRIPT if is_script else export_files.SERVE_ONNX)
        is_docker = target == "docker"
        text = export_files.readme(
            endpoint=endpoint,
            deployment=deployment.name,
            revision=deployment.revision,
            model=deployment.model_ref or "none",
            python=installed.python,
            is_script=is_script,
            is_docker=is_docker,
            variables=sorted(deployment.environment_variables) if is_script else (),
        )
        writer.add_text("README.md", text)
        if is_docker:
            writer.add_text("Dockerfile", export_files.dockerfile(installed.python))
            writer.add_text(".dockerignore", export_files.DOCKERIGNORE)


class _Writer:
    """Adds files to an archive, all with modest rights and one time."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._now = int(time.time())

    def add_text(self, name: str, text: str) -> None:
        content = text.encode("utf-8")
        self._archive.addfile(self._head(name, len(content)), io.BytesIO(content))

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as source:
            self._archive.addfile(self._head(name, path.stat().st_size), source)

    def add_blob(self, name: str, entry: FileEntry, blobs: BlobStore) -> None:
        head = self._head(name, blobs.size(entry.digest), is_executable=entry.executable)
        self._archive.addfile(head, _Stream(blobs.open(entry.digest)))

    def _head(self, name: str, size: int, *, is_executable: bool = False) -> tarfile.TarInfo:
        head = tarfile.TarInfo(name)
        head.size, head.mtime, head.mode = size, self._now, 0o755 if is_executable else 0o644
        return head


class _Stream(io.RawIOBase):
    """Pieces of bytes as a file to read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            length += len(piece)
        content = b"".join(parts)
        end = len(content) if size < 0 else size
        self._rest = content[end:]
        return content[:end]


def _given(endpoint: str, deployment: DesiredDeployment) -> dict[str, Any]:
    """Return what ``serve.py`` has to know."""
    model = ""
    if deployment.model_tree:
        model = f"model/{deployment.model_tree[0].path if deployment.is_file else deployment.model_name}"
    given = {
        "endpoint": endpoint,
        "deployment": deployment.name,
        "revision": deployment.revision,
        "model": model,
        "model_ref": deployment.model_ref,
        "version": version_of(deployment.model_ref),
    }
    if deployment.scoring_script is not None:
        code = {"scoring_script": deployment.scoring_script, "environment_variables": deployment.environment_variables}
        return {**given, **code}
    parts = {"preprocessing": deployment.preprocessing, "postprocessing": deployment.postprocessing}
    return {**given, **parts}


def _runner(*, is_script: bool) -> Iterator[tuple[str, Path]]:
    """Yield the name in the archive and the file of what answers."""
    if is_script:
        yield from _files(_PACKAGE / "shim", "runner/shim")
        return
    for part in (*_PARTS, *(f"serving/{name}.py" for name in _SERVING)):
        yield from _files(_PACKAGE / part, f"runner/penstock/{part}")


def _files(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield name, path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
            yield f"{name}/{file.relative_to(path).as_posix()}", file


def _onnx_lines(deployment: DesiredDeployment, installed: pinned.Installed) -> list[str]:
    decoder = (deployment.preprocessing or {}).get("decoder")
    return installed.pin(installed.owners((*_ONNX_MODULES, *(_FAST_MODULES if decoder == "fast" else ()))))


def _script_lines(deployment: DesiredDeployment, installed: pinned.Installed, blobs: BlobStore) -> list[str]:
    """Pin all packages of an environment of its own; of this server's, those that code and model name."""
    if deployment.shim:
        return installed.pin_all()
    modules: set[str] = set()
    for entry in deployment.code or ():
        if entry.path.endswith(".py"):
            modules.update(pinned.imported_modules(blobs.read(entry.digest)))
    for entry in deployment.model_tree:
        start = b"".join(blobs.open(entry.digest, end=2))
        if pinned.is_pickle(entry.path, start):
            modules |= pinned.mentioned_modules(blobs.open(entry.digest), installed.by_module)
    return installed.pin(installed.owners(modules))
