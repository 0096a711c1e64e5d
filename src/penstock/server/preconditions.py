"""``ETag`` and ``If-Match``: a change that was meant for another revision is refused.

The revision is the ETag. Looking and changing happen under one lock: this process is the workspace's only writer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from starlette.requests import Request

from penstock.entities.errors import NotFoundError, PreconditionError


class Revised(Protocol):
    """Something that counts its changes."""

    @property
    def revision(self) -> int:
        """Return the number that grows with each change."""
        ...


_changing = threading.Lock()


def etag(record: Revised) -> dict[str, str]:
    """Return the header that names a revision."""
    return {"etag": f'"{record.revision}"'}


@contextmanager
def unchanged(request: Request, find: Callable[[], Revised], what: str) -> Iterator[None]:
    """Hold off other changes while the block changes what ``find`` returns.

    Raises
    ------
    PreconditionError
        If ``If-Match`` names another revision than the current one, or ``If-None-Match: *`` meets something.
    """
    wanted, must_be_new = request.headers.get("if-match"), request.headers.get("if-none-match") == "*"
    with _changing:
        if wanted is not None or must_be_new:
            _check(_find(find), wanted, must_be_new, what)
        yield


def _find(find: Callable[[], Revised]) -> str | None:
    try:
        return etag(find())["etag"]
    except NotFoundError:
        return None


def _check(current: str | None, wanted: str | None, must_be_new: bool, what: str) -> None:
    if must_be_new and current is not None:
        raise PreconditionError(f"{what} exists already", ref=what)
    if wanted is None:
        return
    names = {name.strip() for name in wanted.split(",")}
    if current is None or not names & {current, "*"}:
        found = f"its revision is {current}" if current else "it does not exist"
        raise PreconditionError(
            f"{what} is not the revision {wanted[:50]} that was meant: {found}", hint="Read it again.", ref=what
        )
