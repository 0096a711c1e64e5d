"""The gateway's HTTP codes, and nowhere else: which failure gives which status, headers and body."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from penstock.inference.protocols.paths import problem_fields

MODEL_STATUS_HEADER = b"ms-azureml-model-error-statuscode"
MODEL_REASON_HEADER = b"ms-azureml-model-error-reason"
_PASSED_THROUGH = frozenset({400, 404, 413, 415})
_REASONS = {400: "bad request", 404: "not found", 500: "model failed", 502: "replica ended"}


class ScoringError(Exception):
    """A request the gateway answers itself."""

    status = 500
    code = "internal"
    hint = ""

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint or self.hint
        self.deployment = ""

    def of(self, deployment: str) -> ScoringError:
        """Note which deployment it was, for the answer's header."""
        self.deployment = deployment
        return self

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return headers beside the content type and length."""
        return []

    def body(self, path: str = "/score") -> bytes:
        """Return a problem document, with what the clients of the path's protocol look for."""
        problem = {"title": self.code, "status": self.status, "code": self.code, "detail": self.detail}
        if self.hint:
            problem["hint"] = self.hint
        if path != "/score":
            problem.update(problem_fields(path, f"{self.detail}. {self.hint}" if self.hint else self.detail))
        return msgspec.json.encode(problem)


class UnauthenticatedError(ScoringError):
    """No key of the endpoint, or a wrong one."""

    status = 401
    code = "unauthenticated"
    hint = "Send the header 'Authorization: Bearer <key>'; penstock online-endpoint get-credentials prints it."

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Say what is asked for."""
        return [(b"www-authenticate", b"Bearer")]


class UnknownError(ScoringError):
    """No such endpoint or deployment, or none with weight."""

    status = 404
    code = "not_found"


class MethodError(ScoringError):
    """A method the path does not have."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, detail: str, hint: str = "", *, allow: str = "GET, POST, OPTIONS") -> None:
        super().__init__(detail, hint)
        self._allow = allow

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Say which methods there are."""
        return [(b"allow", self._allow.encode())]


class TimedOutError(ScoringError):
    """The model did not answer within ``request_timeout_ms``."""

    status = 408
    code = "timeout"


class TooLargeError(ScoringError):
    """A body over ``gateway.max_body_bytes``."""

    status = 413
    code = "too_large"


class ReplicaLostError(ScoringError):
    """The replica ended while it had this request."""

    status = 424
    code = "model_error"
    hint = "Another replica is being started; the request may have been carried out."

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Say it as Azure ML does for a model that does not answer."""
        return model_error_headers(502)


class QueueFullError(ScoringError):
    """More than 2 · max_concurrent_requests_per_instance · instances requests at once."""

    status = 429
    code = "too_many_requests"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Say when to come again."""
        return [(b"retry-after", b"1")]


class QueuedTooLongError(QueueFullError):
    """No replica took the request within the ``max_queue_wait_ms`` that the deployment names; nothing of it was run."""

    hint = "Send it again later, or fewer at once; request_settings.max_queue_wait_ms says how long one may wait."


class LongIdError(ScoringError):
    """A request id of more than 100 characters."""

    status = 431
    code = "id_too_long"


class OverloadedError(ScoringError):
    """The bodies that are still coming fill what the gateway may keep of them."""

    status = 503
    code = "overloaded"
    hint = "Send it again later; gateway.buffered_bytes says how much may be on its way at once."

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Say when to come again."""
        return [(b"retry-after", b"1")]


class NotReadyError(ScoringError):
    """No replica of the deployment is ready."""

    status = 503
    code = "not_ready"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Say when to come again."""
        return [(b"retry-after", b"1")]


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """What the client sees of a model's status."""

    status: int
    headers: list[tuple[bytes, bytes]]


def client_status(status: int, *, is_script: bool) -> ClientStatus:
    """Return what a client gets for a model's status.

    Everything but 200 of a script is 424 with the model's status in headers, as Azure ML has it. A model without code
    never runs on a request that does not fit it: those 400s are the platform's and go through as they are.
    """
    if status == 200 or (not is_script and status in _PASSED_THROUGH):
        return ClientStatus(status, [])
    return ClientStatus(424, model_error_headers(status))


def model_error_headers(status: int) -> list[tuple[bytes, bytes]]:
    """Return the headers that carry a model's own status."""
    reason = _REASONS.get(status, "model error")
    return [(MODEL_STATUS_HEADER, str(status).encode()), (MODEL_REASON_HEADER, reason.encode())]


class _Status(msgspec.Struct):
    status: int = 200


_decode_status = msgspec.json.Decoder(_Status).decode


def is_failure(status: int) -> bool:
    """Return whether a client's status says that the deployment failed: 424, 5xx, or a timeout."""
    return status >= 500 or status in (408, 424)


def answered_status(meta: bytes, *, is_script: bool) -> int:
    """Return the client's status for a reply's meta part; without one the model's is 200."""
    return client_status(_decode_status(meta).status, is_script=is_script).status if meta else 200
