"""The one file that maps errors to the REST door's answers: ``application/problem+json`` (RFC 9457).

The MLflow door has its own in ``mlflow/errors.py``; nowhere else is an HTTP code chosen for an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

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

MEDIA_TYPE = "application/problem+json"
MAX_PROBLEMS = 50

# The first class that fits decides, so a class stands before its bases.
_STATUSES: tuple[tuple[type[PenstockError], int], ...] = (
    (SpecError, 422),
    (UsageError, 400),
    (NotFoundError, 404),
    (AuthenticationError, 401),
    (ForbiddenError, 403),
    (ConflictError, 409),
    (PreconditionError, 412),
    (InvalidPathError, 400),
    (RefusedError, 400),
    (OutOfSpaceError, 507),
    (UnavailableError, 503),
    (InternalError, 500),
)


class BodyTooLargeError(RefusedError):
    """A JSON body over the limit of ``server.max_body_bytes``."""

    code = "body_too_large"


class BusyError(RefusedError):
    """As much of this runs as may at once; another try later is answered.

    Parameters
    ----------
    retry_after_s : int
        When to try again.
    """

    code = "busy"

    def __init__(self, message: str, *, hint: str = "", retry_after_s: int) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class MissingContentError(ConflictError):
    """A tree that names blobs the server does not have; lists them."""

    code = "missing_content"

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"{len(self.missing)} file(s) of this tree are not stored yet.",
            hint="Upload them first: PUT /api/v1/blobs/…",
        )


def status_of(error: PenstockError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, BodyTooLargeError):
        return 413
    if isinstance(error, BusyError):
        return 429
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem_body(error: PenstockError, status: int) -> dict[str, Any]:
    """Return the problem document of an error; empty members are left out."""
    problems = error.problems[:MAX_PROBLEMS] if isinstance(error, SpecError) else ()
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.code,
        "detail": error.message,
    }
    if error.hint:
        body["hint"] = error.hint
    if error.ref:
        body["ref"] = error.ref
    if problems:
        body["pointer"] = problems[0].pointer
        body["errors"] = [_problem(problem) for problem in problems]
    if isinstance(error, MissingContentError):
        body["missing"] = list(error.missing)
    return body


def _problem(problem: Problem) -> dict[str, Any]:
    entry = {"pointer": problem.pointer, "message": problem.message}
    return {**entry, "hint": problem.hint} if problem.hint else entry


def problem_response(error: PenstockError) -> Response:
    """Return the whole answer to an error."""
    status = status_of(error)
    response = _response(problem_body(error, status), status)
    if isinstance(error, BusyError):
        response.headers["retry-after"] = str(error.retry_after_s)
    return response


def status_response(status: int, detail: str = "") -> Response:
    """Return the answer for a status the framework chose itself, such as 404 for an unknown path."""
    phrase = HTTPStatus(status).phrase
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, phrase.lower().replace(" ", "_"))
    return _response(
        {"type": "about:blank", "title": phrase, "status": status, "code": code, "detail": detail or phrase}, status
    )


def defect_response() -> Response:
    """Return the answer to an error nobody expected; it shows none of it."""
    return problem_response(InternalError("the server has a defect here", hint="See logs/server.log of the workspace."))


def _response(body: Mapping[str, Any], status: int) -> Response:
    headers = {"www-authenticate": 'Bearer realm="penstock"'} if status == 401 else None
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def query_error(errors: Sequence[Mapping[str, Any]]) -> UsageError:
    """Return the framework's complaints about path and query as one error."""
    texts = []
    for entry in errors:
        place, *keys = entry.get("loc", ("request",))
        text = str(entry.get("msg", "is not valid"))
        texts.append(f"{place} {'.'.join(str(key) for key in keys)}: {text[:1].lower()}{text[1:]}")
    return UsageError("; ".join(texts))
