"""Every error Penstock raises on purpose.

::

    PenstockError
    ├── UsageError              a command or call that cannot be meant       (exit 2)
    │   └── SpecError           a YAML/JSON spec with one or more problems   (exit 2, 422)
    ├── JobFailedError          a job that was waited for did not complete   (exit 1)
    ├── NotFoundError           a name that names nothing                    (exit 3, 404)
    ├── RefusedError            understood and not done                      (exit 4)
    │   ├── AuthenticationError no or a wrong token                          (401)
    │   ├── ForbiddenError      a token that may not do this, foreign Host    (403)
    │   ├── ConflictError       exists already, or changed in between        (409)
    │   ├── PreconditionError   If-Match names another revision              (412)
    │   └── InvalidPathError    a path that escapes its root                 (400)
    ├── UnavailableError        the server cannot be reached or is full      (exit 5, 503)
    │   └── OutOfSpaceError     the disk is full                             (507)
    └── InternalError           a defect of ours                             (500)

Fields are data; the text is rendered from them. HTTP codes are mapped in ``server/problems.py``,
exit codes in ``cli/output.py``, nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a spec.

    Parameters
    ----------
    message : str
        What is wrong, without the place.
    pointer : str
        JSON Pointer (RFC 6901) into the spec, ``""`` for the whole.
    hint : str
        What to do about it; empty when the message says it all.
    file, line, column
        Where the author wrote it; 1-based; filled in by whoever knows the file.
    offset : int, optional
        Characters into the text at ``pointer``, where only a part of it is wrong.
    """

    message: str
    pointer: str = ""
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    offset: int | None = None

    @property
    def key(self) -> str:
        """Return the pointer as people write it: ``inputs.lr``."""
        parts = [p.replace("~1", "/").replace("~0", "~") for p in self.pointer.split("/")[1:]]
        return ".".join(parts)

    def __str__(self) -> str:
        place = ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)]) if self.file else ""
        head = ": ".join(part for part in (place, self.key) if part)
        text = f"{head}: {self.message}" if head else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class PenstockError(Exception):
    """Base of all errors; carries what happened, where, and what to do.

    Parameters
    ----------
    message : str
        What happened, one sentence.
    hint : str
        What to do about it.
    ref : str
        The thing it is about, such as ``model:digits:3``.
    """

    code = "penstock_error"

    def __init__(self, message: str, *, hint: str = "", ref: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.ref = ref

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(PenstockError):
    """A command or call that cannot be meant."""

    code = "usage"


class SpecError(UsageError):
    """A spec with at least one problem; lists all of them."""

    code = "invalid_spec"

    def __init__(self, problems: Sequence[Problem], *, ref: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems), ref=ref)


class JobFailedError(PenstockError):
    """A job that was waited for ended without completing; raised by the client only."""

    code = "job_failed"


class NotFoundError(PenstockError):
    """A name that names nothing."""

    code = "not_found"


class RefusedError(PenstockError):
    """Understood and not done."""

    code = "refused"


class AuthenticationError(RefusedError):
    """No token, or a wrong one."""

    code = "unauthenticated"


class ForbiddenError(RefusedError):
    """A valid token that may not do this, or a foreign Host or Origin."""

    code = "forbidden"


class ConflictError(RefusedError):
    """Exists already, or is in a state that does not allow this."""

    code = "conflict"


class PreconditionError(RefusedError):
    """``If-Match`` names another revision than the current one."""

    code = "precondition_failed"


class InvalidPathError(RefusedError):
    """A path that escapes its root or cannot be a name there."""

    code = "invalid_path"


class UnavailableError(PenstockError):
    """The server cannot be reached or cannot take the request now."""

    code = "unavailable"


class OutOfSpaceError(UnavailableError):
    """The disk or quota is full; nothing of the request was kept."""

    code = "out_of_space"


class InternalError(PenstockError):
    """A defect of Penstock itself."""

    code = "internal"
