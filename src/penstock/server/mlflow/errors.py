"""The one file that maps errors to the MLflow protocol's codes.

The client retries 408, 429, 500, 502, 503 and 504 for minutes, so whatever a user can cause is a 4xx, and what is
not here yet is a 501.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec
from starlette.responses import Response

from penstock.entities.errors import (
    AuthenticationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OutOfSpaceError,
    PenstockError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from penstock.server.problems import BodyTooLargeError, BusyError

logger = logging.getLogger(__name__)


class NotHereYetError(UsageError):
    """Something of the protocol that this server does not do."""

    code = "not_implemented"


class BadRequestError(UsageError):
    """What MLflow answers where its own store refuses a change: 400 by another name."""

    code = "bad_request"


class UnknownPathError(NotFoundError):
    """Nothing of the protocol is at this path."""

    code = "unknown_path"


class WrongMethodError(UsageError):
    """Something of the protocol is at this path, but not for this method."""

    code = "wrong_method"

    def __init__(self, method: str, path: str, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"{path} does not take {method}", hint=f"It takes {self.allowed}.")


# The first class that fits decides, so a class stands before its bases.
_CODES: tuple[tuple[type[PenstockError], int, str], ...] = (
    (NotHereYetError, 501, "NOT_IMPLEMENTED"),
    (WrongMethodError, 405, "INVALID_PARAMETER_VALUE"),
    (UnknownPathError, 404, "ENDPOINT_NOT_FOUND"),
    (BadRequestError, 400, "BAD_REQUEST"),
    (BodyTooLargeError, 413, "INVALID_PARAMETER_VALUE"),
    (BusyError, 429, "REQUEST_LIMIT_EXCEEDED"),
    (NotFoundError, 404, "RESOURCE_DOES_NOT_EXIST"),
    (AuthenticationError, 401, "UNAUTHENTICATED"),
    (ForbiddenError, 403, "PERMISSION_DENIED"),
    (ConflictError, 400, "RESOURCE_ALREADY_EXISTS"),
    (UsageError, 400, "INVALID_PARAMETER_VALUE"),
    (RefusedError, 400, "INVALID_PARAMETER_VALUE"),
    (OutOfSpaceError, 507, "RESOURCE_EXHAUSTED"),
    (UnavailableError, 503, "TEMPORARILY_UNAVAILABLE"),
)


def error_response(error: PenstockError) -> Response:
    """Return the protocol's answer to an error."""
    for kind, status, code in _CODES:
        if isinstance(error, kind):
            return _response(status, code, error)
    return _response(500, "INTERNAL_ERROR", error)


def defect_response(error: Exception, path: str) -> Response:
    """Log an error nobody expected with its traceback and return an answer that shows none of it."""
    logger.error("request to %s failed", path, exc_info=error)
    return _response(500, "INTERNAL_ERROR", PenstockError("The server has a defect here; its log says more."))


def _response(status: int, code: str, error: PenstockError) -> Response:
    # MLflow's own clients show this as it is, so here it is a sentence.
    sentence = f"{error.message[:1].upper()}{error.message[1:].rstrip('.')}."
    message = f"{sentence} {error.hint}".strip()
    headers = {"www-authenticate": 'Bearer realm="penstock"'} if status == 401 else {}
    if isinstance(error, WrongMethodError):
        headers["allow"] = error.allowed
    if isinstance(error, BusyError):
        headers["retry-after"] = str(error.retry_after_s)
    body = msgspec.json.encode({"error_code": code, "message": message})
    return Response(body, status, headers, "application/json")
