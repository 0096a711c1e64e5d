"""Turn a server's ``application/problem+json`` back into the error it was.

The one place of the client that knows how errors travel; exit codes are the command line's affair.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock.entities.errors import (
    AuthenticationError,
    ConflictError,
    ForbiddenError,
    InternalError,
    InvalidPathError,
    NotFoundError,
    OutOfSpaceError,
    PenstockError,
    PreconditionError,
    Problem,
    RefusedError,
    SpecError,
    UnavailableError,
    UsageError,
)

_CLASSES: tuple[type[PenstockError], ...] = (
    UsageError,
    NotFoundError,
    RefusedError,
    AuthenticationError,
    ForbiddenError,
    ConflictError,
    PreconditionError,
    InvalidPathError,
    UnavailableError,
    OutOfSpaceError,
    InternalError,
)
_BY_CODE = {error.code: error for error in _CLASSES}
_BY_STATUS: dict[int, type[PenstockError]] = {
    400: UsageError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionError,
    422: UsageError,
    503: UnavailableError,
    507: OutOfSpaceError,
}
_LONGEST_BODY = 500


def error_from_response(
    status: int, body: bytes, *, method: str, path: str, headers: Mapping[str, str] | None = None
) -> PenstockError:
    """Return the error that an answer of ``status`` (400 and above) stands for.

    What else it said stays reachable: by `details_of` its other members, such as the missing digests of a refused
    tree, by `status_of` and `header_of` how it was sent.
    """
    document = _parse(body)
    error = _build(status, document, body, method, path)
    error.__dict__["status"] = status
    error.__dict__["details"] = document
    error.__dict__["headers"] = {name.lower(): value for name, value in (headers or {}).items()}
    return error


def details_of(error: PenstockError) -> Mapping[str, Any]:
    """Return the members of the answer an error came from; empty for an error made here."""
    details = error.__dict__.get("details", {})
    return details if isinstance(details, Mapping) else {}


def status_of(error: PenstockError) -> int:
    """Return the status of the answer an error came from; 0 for an error made here."""
    return int(error.__dict__.get("status", 0))


def header_of(error: PenstockError, name: str) -> str:
    """Return a header of the answer an error came from, ``""`` where it had none."""
    return str(error.__dict__.get("headers", {}).get(name.lower(), ""))


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _build(status: int, document: Mapping[str, Any], body: bytes, method: str, path: str) -> PenstockError:
    code = str(document.get("code", ""))
    hint = str(document.get("hint") or "")
    ref = str(document.get("ref") or "")
    if code == SpecError.code or document.get("errors"):
        problems = [_problem(entry) for entry in document.get("errors") or ()]
        pointer = str(document.get("pointer") or "")
        return SpecError(problems or [Problem(_message(document, status), pointer, hint)], ref=ref)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (InternalError if status >= 500 else RefusedError)
    if document:
        return kind(_message(document, status), hint=hint, ref=ref)
    text = body[:_LONGEST_BODY].decode("utf-8", "replace").strip()
    return kind(f"{method} {path} was answered with status {status}" + (f": {text}" if text else ""))


def _problem(entry: Any) -> Problem:
    if not isinstance(entry, Mapping):
        return Problem(str(entry))
    message = entry.get("message") or entry.get("detail") or entry.get("title") or "is not valid"
    return Problem(str(message), str(entry.get("pointer") or ""), str(entry.get("hint") or ""))


def _message(document: Mapping[str, Any], status: int) -> str:
    # A gateway speaks as Azure ML's does: {"message"}.
    said = document.get("detail") or document.get("message") or document.get("title")
    return str(said or f"the server answered with status {status}")
