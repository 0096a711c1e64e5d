"""Bring local content to the server, sending only what it does not have yet."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from penstock.entities.errors import ConflictError, UsageError
from penstock.sdk.http import quoted
from penstock.sdk.problems import details_of
from penstock.sdk.rest import API, Json, Rest
from penstock.sdk.spec.snapshot import list_files

PARALLEL_UPLOADS = 4
RESUMABLE_FROM_BYTES = 64 * 2**20
PIECE_BYTES = 8 * 2**20
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _LocalFile:
    path: str
    source: Path
    digest: str
    size: int
    executable: bool

    def as_entry(self) -> Json:
        return {"path": self.path, "digest": self.digest, "size": self.size, "executable": self.executable}


class HttpUploader:
    """The `penstock.sdk.spec.uploader.Uploader` of a server.

    Parameters
    ----------
    rest : Rest
        The server's calls.
    say : callable, optional
        Gets one line when more than a moment's worth of content is sent.
    """

    def __init__(self, rest: Rest, *, say: Callable[[str], None] | None = None) -> None:
        self._rest = rest
        self._say = say

    def upload_tree(self, path: Path, files: Sequence[str] | None = None) -> str:
        """Upload a file or folder and return ``tree:<sha256>``.

        Unchanged content costs one request: the tree is offered first, and the server names what it lacks.
        """
        local = list(_scan(path, files))
        tree = {"entries": [file.as_entry() for file in local], "is_file": path.is_file()}
        try:
            return f"tree:{self._rest.create_tree(tree)}"
        except ConflictError as error:
            missing = details_of(error).get("missing")
            if not isinstance(missing, list):
                raise
        wanted = set(missing)
        self._send({file.digest: file for file in local if file.digest in wanted})
        return f"tree:{self._rest.create_tree(tree)}"

    def _send(self, files: dict[str, _LocalFile]) -> None:
        size = sum(file.size for file in files.values())
        if self._say is not None and size >= RESUMABLE_FROM_BYTES:
            self._say(f"Uploading {len(files)} files, {size / 2**20:.0f} MiB …")
        if len(files) < 2:
            for file in files.values():
                self._send_file(file)
            return
        with ThreadPoolExecutor(PARALLEL_UPLOADS) as pool:
            for _ in pool.map(self._send_file, files.values()):
                pass

    def _send_file(self, file: _LocalFile) -> None:
        if file.size >= RESUMABLE_FROM_BYTES:
            self._send_in_pieces(file)
            return
        self._rest.http.request("PUT", API + quoted("blobs", file.digest), body=file.source.read_bytes()).read()

    def _send_in_pieces(self, file: _LocalFile) -> None:
        http = self._rest.http
        upload = str(http.post(f"{API}/uploads")["upload"])
        path = API + quoted("uploads", upload)
        offset = 0
        with file.source.open("rb") as source:
            while offset < file.size:
                source.seek(offset)
                piece = source.read(PIECE_BYTES)
                if not piece:
                    raise UsageError(f'"{file.source}" became shorter while it was uploaded', hint="Submit it again.")
                offset = self._send_piece(path, offset, piece)
        http.post(path + ":finish", {"digest": file.digest})

    def _send_piece(self, path: str, offset: int, piece: bytes) -> int:
        try:
            return int(self._rest.http.request("PATCH", path, query={"offset": offset}, body=piece).json()["offset"])
        except ConflictError:
            # The piece was sent twice, as the answer to the first was lost; the server knows where it is.
            reached = int(self._rest.http.get(path)["offset"])
            if reached <= offset:
                raise
            return reached


def _scan(path: Path, files: Sequence[str] | None) -> Iterator[_LocalFile]:
    if path.is_file():
        yield _read(path.name, path)
        return
    if not path.is_dir():
        raise UsageError(f'there is no file or folder "{path}"')
    if files is None:
        files = list_files(path)
    for name in files:
        yield _read(name, path / name)


def _read(name: str, source: Path) -> _LocalFile:
    digest = hashlib.sha256()
    size = 0
    try:
        with source.open("rb") as file:
            executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
            while block := file.read(_READ_BYTES):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise UsageError(f'"{source}" cannot be read: {error.strerror}') from error
    return _LocalFile(name, source, digest.hexdigest(), size, executable)
