"""Checks before every door, as pure ASGI: Host and Origin, token, size of the body.

A browser page must not reach a server on loopback by a rebound name (Host) nor by a request from a foreign
site (Origin). Then every path wants a token but those in :data:`OPEN_PATHS`. What the token allows is the
door's question; the actor stands in ``scope["state"]["actor"]``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.access.actors import Actor
from penstock.access.tokens import Access
from penstock.entities.errors import AuthenticationError, ForbiddenError, PenstockError
from penstock.server.problems import BodyTooLargeError

OPEN_PATHS = frozenset({"/", "/health"})
ATTEMPTS = "/internal/attempts/"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # compared with, not bound to
_JUDGED = frozenset({b"host", b"origin"})
_MOST_PASSED = 64

Refusal = Callable[[Scope, PenstockError], Response]


def header(scope: Scope, name: bytes) -> str | None:
    """Return a request header's value, None if it is absent or was sent twice with two values."""
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        values = list(set(values))
    return values[0].decode("latin-1") if len(values) == 1 else None


def host_of(authority: str) -> str | None:
    """Return the lower-case host of ``host[:port]``, None if it cannot be one."""
    if not authority or any(letter in authority for letter in "/@?#\\ "):
        return None
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port
    except ValueError:
        return None
    return (parts.hostname or "").rstrip(".") or None


class HostCheck:
    """Refuses requests that name a foreign Host or come from a foreign Origin.

    What was let in is let in again for the same two headers: a client sends the same with every request.

    Parameters
    ----------
    bound_hosts : iterable of str
        Addresses the server is bound to. One that stands for all interfaces allows every literal IP address as
        Host: a rebound name is never one.
    allowed_hosts : iterable of str
        Further names, such as a proxy's.
    """

    def __init__(
        self, app: ASGIApp, *, bound_hosts: Iterable[str], allowed_hosts: Iterable[str], refuse: Refusal
    ) -> None:
        self._app = app
        bound = {host.lower().strip("[]") for host in bound_hosts}
        self._allowed = LOOPBACK_NAMES | (bound - WILDCARDS) | {host.lower() for host in allowed_hosts}
        self._any_address = bool(bound & WILDCARDS)
        self._refuse = refuse
        self._passed: set[tuple[tuple[bytes, bytes], ...]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        judged = tuple([(name, value) for name, value in scope["headers"] if name in _JUDGED])
        if judged not in self._passed:
            try:
                self._check(scope)
            except ForbiddenError as error:
                await self._refuse(scope, error)(scope, receive, send)
                return
            if len(self._passed) >= _MOST_PASSED:
                self._passed.clear()
            self._passed.add(judged)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        named = header(scope, b"host")
        host = host_of(named) if named else None
        if host is None or not self._is_allowed(host):
            raise ForbiddenError(
                f'this server does not answer for the host "{(named or "")[:100]}"',
                hint="Add it to server.allowed_hosts in penstock.toml if it is yours.",
            )
        if not any(key == b"origin" for key, _ in scope["headers"]):
            return
        origin = header(scope, b"origin") or ""
        scheme, _, authority = origin.partition("://")
        asking = host_of(authority) if scheme in {"http", "https"} else None
        if asking is None or not (asking == host or asking in self._allowed):
            raise ForbiddenError(
                f'requests from the web page "{origin[:100]}" are refused',
                hint="Add its host to server.allowed_hosts in penstock.toml if it is yours.",
            )

    def _is_allowed(self, host: str) -> bool:
        return host in self._allowed or (self._any_address and _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class TokenCheck:
    """Refuses requests without a valid token; the others learn who asks."""

    def __init__(self, app: ASGIApp, *, access: Access, refuse: Refusal) -> None:
        self._app = app
        self._access = access
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its actor, or refuse it."""
        if scope["type"] not in {"http", "websocket"} or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            actor = await self._authenticate(scope)
        except PenstockError as error:
            await self._refuse(scope, error)(scope, receive, send)
            return
        scope.setdefault("state", {})["actor"] = actor
        await self._app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Actor:
        authorization = header(scope, b"authorization")
        actor = self._access.recognise(authorization)
        if actor is not None:
            return actor
        try:
            return await to_thread.run_sync(self._access.authenticate, authorization)
        except AuthenticationError:
            if not scope["path"].startswith(ATTEMPTS):
                raise
        attempt_id = scope["path"].removeprefix(ATTEMPTS).partition("/")[0]
        return await to_thread.run_sync(self._access.authenticate_attempt, authorization, attempt_id)


class BodyLimit:
    """Refuses JSON bodies over a limit; paths that take files are left alone."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, is_file: Callable[[Scope], bool], refuse: Refusal) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._is_file = is_file
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what it sends."""
        if scope["type"] != "http" or self._is_file(scope):
            await self._app(scope, receive, send)
            return
        announced = header(scope, b"content-length") or ""
        if announced.isascii() and announced.isdigit():
            # The HTTP parser takes no more than was announced, and refuses a length beside a chunked body.
            is_over = int(announced) > self._max_bytes
            await (self._refuse(scope, self._error()) if is_over else self._app)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return {"type": "http.disconnect"} if received > self._max_bytes else message

        async def unless_over(message: Message) -> None:
            if received <= self._max_bytes:
                await send(message)

        try:
            await self._app(scope, counted, unless_over)
        except ClientDisconnect:
            if received <= self._max_bytes:
                raise
        if received > self._max_bytes:
            await self._refuse(scope, self._error())(scope, receive, send)

    def _error(self) -> BodyTooLargeError:
        return BodyTooLargeError(
            f"The body is larger than {self._max_bytes} bytes.", hint="Raise server.max_body_bytes in penstock.toml."
        )
