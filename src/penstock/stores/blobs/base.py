"""The promise of every blob store: immutable bytes named by their SHA-256.

Threads and processes
    Every method may be called at the same time from many threads and processes.
Atomicity
    A digest either names the whole content or nothing; an upload cut off leaves nothing visible.
Durability
    When ``put``, ``put_file`` or ``finish_upload`` returns, the content survives kill -9 and power loss.
Idempotency
    Storing the same content twice is one blob.
Collection
    A blob that was stored, stored again or reported as there by ``missing`` counts as used at that moment, so a
    collection that spares what was used lately never takes content from under an upload or from under a client
    that was told not to send it again. ``set_aside`` and such a use never overlap: either the use is seen and the
    blob stays, or the blob is gone and the use finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One blob as a collection sees it; ``used_at`` is ms UTC."""

    digest: str
    size: int
    used_at: int


class BlobStore(Protocol):
    """Where bytes live."""

    def put(self, content: bytes | BinaryIO | Iterable[bytes], *, expected: str | None = None) -> tuple[str, int]:
        """Store content, return (sha256 hex, size in bytes).

        Raises
        ------
        RefusedError
            If ``expected`` is given and the content's digest differs; nothing is kept.
        OutOfSpaceError
            If the disk is full; nothing is kept.
        """
        ...

    def put_file(self, path: Path) -> tuple[str, int]:
        """Store a local file's content; the file stays as it is."""
        ...

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, int]]:
        """Store local files' contents, sharing what durability costs; return (sha256 hex, size) of each."""
        ...

    def exists(self, digest: str) -> bool:
        """Return whether the blob is there; UsageError where ``digest`` is not 64 hex digits, here and below."""
        ...

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Return those of ``digests`` that are not there, each once, in order; the others count as used now."""
        ...

    def find(self, digest: str) -> StoredBlob | None:
        """Return what is known of a blob without using it, or None."""
        ...

    def walk(self) -> Iterator[StoredBlob]:
        """Yield every blob without using it; one that comes or goes meanwhile may be yielded or not."""
        ...

    def set_aside(self, digest: str, *, unused_since: int) -> bool:
        """Take a blob out of reach unless it was used at or after ``unused_since`` (ms UTC); return whether it was.

        It frees nothing yet, so it is quick; :meth:`discard` does. One caller at a time. What a crash leaves aside
        is put back when the store is next opened.
        """
        ...

    def discard(self, digest: str) -> None:
        """Free the bytes of a blob that was set aside; idempotent."""
        ...

    def size(self, digest: str) -> int:
        """Return the size in bytes.

        Raises
        ------
        NotFoundError
            If there is no such blob.
        """
        ...

    def open(self, digest: str, *, start: int = 0, end: int | None = None, chunk: int = 1 << 18) -> Iterator[bytes]:
        """Yield the bytes ``[start, end)`` in chunks; raises NotFoundError before the first one."""
        ...

    def read(self, digest: str) -> bytes:
        """Return the whole content; for small blobs."""
        ...

    def local_path(self, digest: str) -> Path | None:
        """Return a read-only local file with the content, or None where the store is remote.

        Raises
        ------
        NotFoundError
            If there is no such blob.
        """
        ...

    def begin_upload(self) -> str:
        """Start a resumable upload and return its id (32 hex digits)."""
        ...

    def append_upload(self, upload_id: str, offset: int, content: bytes | BinaryIO | Iterable[bytes]) -> int:
        """Append at ``offset`` and return the new length in bytes.

        What arrived before a stream breaks off is kept, so that it is continued and not sent again.

        Raises
        ------
        ConflictError
            If ``offset`` is not the current length, which the message names, or another request is appending.
        NotFoundError
            If there is no such upload.
        OutOfSpaceError
            If the disk is full; nothing of this append is kept.
        """
        ...

    def upload_offset(self, upload_id: str) -> int:
        """Return how many bytes of the upload are kept, also after a restart."""
        ...

    def finish_upload(self, upload_id: str, *, expected: str | None = None) -> tuple[str, int]:
        """Turn the upload into a blob and return (sha256 hex, size); a refused one stays as it is.

        Raises
        ------
        RefusedError
            If ``expected`` is given and the content's digest differs.
        NotFoundError
            If there is no such upload; also when it was finished already.
        """
        ...

    def abort_upload(self, upload_id: str) -> None:
        """Forget the upload; idempotent."""
        ...
