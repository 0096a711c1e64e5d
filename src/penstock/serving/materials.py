"""Lay out model and code folders from blobs for replicas to read.

A folder is named by its content, built beside its place and moved there whole, so it is right whenever it exists.
A model for our own runtime shares the blob's file (hard link); what users' code may touch is a copy.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from penstock.entities.errors import InternalError, InvalidPathError
from penstock.serving.desired import DesiredDeployment, FileEntry

_FICLONE = 0x40049409


class Materials:
    """The folders under ``root`` (in ``run/``, so they may be deleted while nothing runs).

    Parameters
    ----------
    root : Path
        Where folders are laid out.
    blobs : Path
        The local blob store's folder: ``ab/<sha256>``.
    """

    def __init__(self, root: Path, blobs: Path) -> None:
        self._root = root
        self._blobs = blobs
        self._lock = threading.Lock()

    def model_folder(self, deployment: DesiredDeployment) -> Path:
        """Return the folder that contains the model's last path component (``AZUREML_MODEL_DIR``)."""
        return self._lay_out("model", deployment.model_tree, *_model_layout(deployment))

    def model_path(self, deployment: DesiredDeployment) -> Path:
        """Return the model itself within :meth:`model_folder`: a folder, or the file."""
        folder = self.model_folder(deployment)
        return folder / (deployment.model_tree[0].path if deployment.is_file else deployment.model_name)

    def code_folder(self, deployment: DesiredDeployment) -> Path:
        """Return the folder with the scoring script."""
        return self._lay_out("code", deployment.code or (), "", False)

    def remove_unused(self, deployments: Callable[[], Iterable[DesiredDeployment]]) -> None:
        """Remove the folders that none of ``deployments`` (asked once nothing is being laid out) needs."""
        with self._lock:
            needed = set()
            for deployment in deployments():
                needed.add(_model_name(deployment))
                needed.add(_folder_name("code", deployment.code or (), "", False))
            if not self._root.is_dir():
                return
            for folder in self._root.iterdir():
                if folder.name not in needed:
                    shutil.rmtree(folder, ignore_errors=True)

    def _lay_out(self, kind: str, entries: Sequence[FileEntry], prefix: str, is_shared: bool) -> Path:
        with self._lock:
            return self._build(self._root / _folder_name(kind, entries, prefix, is_shared), entries, prefix, is_shared)

    def _build(self, target: Path, entries: Sequence[FileEntry], prefix: str, is_shared: bool) -> Path:
        if target.is_dir():
            return target
        self._root.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=self._root))
        try:
            if prefix:
                (building / prefix).mkdir()
            for entry in entries:
                self._place(entry, building / prefix / _checked(entry.path), is_shared=is_shared)
            building.chmod(0o755)
            building.rename(target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return target

    def _place(self, entry: FileEntry, path: Path, *, is_shared: bool) -> None:
        blob = self._blobs / entry.digest[:2] / entry.digest
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if is_shared:
                with contextlib.suppress(OSError):
                    os.link(blob, path)
                    return
            _copy(blob, path)
        except FileNotFoundError as error:
            raise InternalError(
                f"the content of {entry.path} is not in the blob store", hint=f"Missing blob: {entry.digest}."
            ) from error
        path.chmod(0o755 if entry.executable else 0o644)


def _model_layout(deployment: DesiredDeployment) -> tuple[str, bool]:
    return "" if deployment.is_file else f"{deployment.model_name}/", deployment.is_onnx


def _model_name(deployment: DesiredDeployment) -> str:
    return _folder_name("model", deployment.model_tree, *_model_layout(deployment))


def _folder_name(kind: str, entries: Sequence[FileEntry], prefix: str, is_shared: bool) -> str:
    content = msgspec.json.encode((list(entries), prefix, is_shared))
    return f"{kind}-{hashlib.sha256(content).hexdigest()[:32]}"


def _checked(path: str) -> PurePosixPath:
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise InvalidPathError(f'"{path}" leaves its folder')
    return parts


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:
            shutil.copyfileobj(reader, writer, 1 << 20)
