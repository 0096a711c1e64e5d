"""One HTTP answer of the client: its body in memory, in pieces or in a file."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from penstock.entities.errors import OutOfSpaceError, UnavailableError, UsageError

CHUNK_BYTES = 1 << 18


class Response:
    """One answer; read it wholly or in pieces, then its connection serves the next request.

    Parameters
    ----------
    connection : HTTPConnection
        The connection it comes by, which is the response's own until the body was read.
    raw : HTTPResponse
        The answer, its head read.
    put_back : callable
        Takes the connection for further requests.
    explain : callable
        Turns a broken connection into the error to raise.
    """

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        raw: http.client.HTTPResponse,
        *,
        put_back: Callable[[http.client.HTTPConnection], None],
        explain: Callable[[Exception], UnavailableError],
    ) -> None:
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers  # type: ignore[assignment] # a Message reads as a mapping
        self._put_back = put_back
        self._explain = explain
        self._connection: http.client.HTTPConnection | None = connection
        self._raw = raw

    def read(self) -> bytes:
        """Return the rest of the body."""
        try:
            data = self._raw.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._explain(error) from error
        self._release()
        return data

    def read_some(self) -> bytes:
        """Return what has arrived, at least one byte; ``b""`` at the end.

        Raises
        ------
        OSError, http.client.HTTPException
            If the connection breaks; a stream's reader decides whether to connect again.
        """
        data = self._raw.read1(CHUNK_BYTES)
        if not data:
            if self._raw.length:  # read1 does not complain of a body that ends early
                raise http.client.IncompleteRead(b"", self._raw.length)
            self._release()
        return data

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield the body in pieces."""
        while True:
            try:
                data = self.read_some()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise self._explain(error) from error
            if not data:
                return
            yield data

    def json(self) -> Any:
        """Return the body parsed as JSON, None for an empty one."""
        data = self.read()
        return json.loads(data) if data else None

    def save(self, target: Path, *, on_piece: Callable[[int], object] | None = None) -> int:
        """Write the body to a file that appears only once it is whole; return its size in bytes.

        Parameters
        ----------
        target : Path
            Its folders are made if they are missing.
        on_piece : callable, optional
            Called with the size of each piece once it is written.

        Raises
        ------
        UsageError, OutOfSpaceError
            If it cannot be written.
        """
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        size = 0
        try:
            with self:
                target.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("wb") as file:
                    for piece in self.iter_bytes():
                        size += file.write(piece)
                        if on_piece is not None:
                            on_piece(len(piece))
                partial.replace(target)
        except OSError as error:  # a broken connection is translated where it is read
            raise explain_target(error, target) from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
        return size

    def close(self) -> None:
        """Give the connection up; an unread rest of the body is dropped."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _release(self) -> None:
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        self._raw.close()  # read1 leaves it open at its end, and its connection would refuse the next request
        if self._raw.will_close:
            connection.close()
        else:
            self._put_back(connection)

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_folder(target: Path) -> None:
    """Refuse to write a file into a folder that is not there, which is mostly a misspelled one.

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    if not target.parent.is_dir():
        raise UsageError(
            f'"{target}" cannot be written: there is no folder "{target.parent}"', hint="Make it, or name another one."
        )


def explain_target(error: OSError, target: Path) -> UsageError | OutOfSpaceError:
    """Return what to say when a file or folder cannot be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfSpaceError(f'the disk of "{target}" is full', hint="Free some space, or choose another folder.")
    in_the_way = error.errno in {errno.EEXIST, errno.ENOTDIR}
    return UsageError(
        f'"{target}" cannot be written: {"a file is in the way" if in_the_way else error.strerror}',
        hint="Choose a folder you may write to, or mend its permissions.",
    )
