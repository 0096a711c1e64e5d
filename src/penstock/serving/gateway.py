"""The data plane: a bare ASGI app that checks the key, picks a deployment and passes the body to a replica.

No framework: an empty request costs tens of microseconds here, so what a user pays is the model.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from penstock.entities.settings import GatewaySettings
from penstock.home import Home
from penstock.inference.protocols.health import answer_health
from penstock.inference.protocols.paths import (
    HEALTH_DOORS,
    SCORING_DOORS,
    Asked,
    Door,
    methods_of,
    parse_path,
    protocols_of,
    speaks,
)
from penstock.serving import codes
from penstock.serving.control import Control
from penstock.serving.identifiers import make_id
from penstock.serving.keys import KeyRing
from penstock.serving.metrics import CLIENT_GONE, CONTENT_TYPE
from penstock.serving.routing import SCORE, Route, Routes
from penstock.serving.shortcut import Shortcut
from penstock.serving.watch import Watch, clock
from penstock.shim import replica_host

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MAX_ID_LENGTH = 100
_DEPLOYMENT_HEADER = b"azureml-model-deployment"
_ID_HEADERS = (b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id", b"traceid")
_CONNECTION_HEADERS = frozenset({b"connection", b"keep-alive", b"content-length", b"transfer-encoding", b"upgrade"})
_MODEL_HEADERS = (b"inference-header-content-length", b"content-encoding")
_SCORE_PATH = "/score"
_ANY = Asked(Door.HEALTHY)
_HIDDEN_HEADERS = _CONNECTION_HEADERS | {b"authorization", b"cookie"}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class _ClientGone(Exception):
    """Nobody waits for an answer any more."""


class _Reply(msgspec.Struct):
    status: int = 200
    content_type: str = "application/json"
    headers: list[tuple[str, str]] | dict[str, str] = {}


_decode_reply = msgspec.json.Decoder(_Reply).decode
_encode = msgspec.json.Encoder().encode


class Gateway:
    """The ASGI app; its lifespan starts and ends the control loop.

    Parameters
    ----------
    home : Home
        The workspace.
    settings : GatewaySettings
        Limits.
    parent_fd : int
        Read end of the pipe whose closing ends every replica.
    spares : int
        ONNX replicas kept waiting while there is an endpoint.
    """

    def __init__(self, home: Home, settings: GatewaySettings, *, parent_fd: int, spares: int = 1) -> None:
        self._home = home
        self._settings = settings
        self._parent_fd = parent_fd
        self._spares = spares
        self._routes = Routes()
        self._keys = KeyRing()
        self._buffered = 0
        self._watch = Watch(home, settings)
        self.shortcut = Shortcut(self._routes, self._keys, self._watch)
        self._control: Control | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._control = Control(
            self._home, self._settings, self._routes, parent_fd=self._parent_fd, spares=self._spares
        )
        await self._control.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._control.close()
        self._watch.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, path = self._routes.find(scope["path"]), _SCORE_PATH
        if route is None and (below := self._routes.find_below(scope["path"])) is not None:
            route, path = below
        headers = dict(scope["headers"])
        began = clock()
        ids: Headers = []
        try:
            if route is None:
                status, extra, content_type, body = await self._answer_other(scope, headers)
            else:
                ids = _request_ids(headers)
                status, extra, content_type, body = await self._score(route, path, scope, headers, receive)
        except codes.ScoringError as error:
            status, extra, body = error.status, error.headers(), error.body(path)
            content_type = b"application/problem+json"
            if error.deployment:
                extra.append((_DEPLOYMENT_HEADER, error.deployment.encode("latin-1")))
        except _ClientGone:
            status, extra, content_type, body = CLIENT_GONE, [], b"", b""
        if status != CLIENT_GONE:
            await _send(send, status, content_type, body, [*ids, *extra])
        self._note(scope, headers, route, began, dict(ids), status, extra, len(body))

    def _note(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        route: Route | None,
        began: float,
        ids: dict[bytes, bytes],
        status: int,
        extra: Headers,
        bytes_out: int,
    ) -> None:
        """Count and log a request; what a client made up becomes no name of a count."""
        name = dict(extra).get(_DEPLOYMENT_HEADER, b"").decode("latin-1")
        endpoint = "" if route is None else route.name
        length = headers.get(b"content-length", b"")
        self._watch.note(
            endpoint,
            name if route is not None and name in route.backends else "",
            status,
            began,
            ids.get(b"x-request-id", b""),
            scope["method"],
            scope["path"],
            int(length) if length.isdigit() else 0,
            bytes_out,
            scope["client"][0] if scope.get("client") else "",
        )

    async def _answer_other(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, Headers, bytes, bytes]:
        path = scope["path"]
        if path in ("/health", "/"):
            return 200, [], b"application/json", b'{"status":"ok"}'
        if path == "/metrics":
            if scope["method"] not in ("GET", "HEAD"):
                raise codes.MethodError(f"{scope['method'][:20]} is not for /metrics", allow="GET, HEAD")
            assert self._control is not None
            page = await self._watch.show(headers.get(b"authorization"), self._control.gauges)
            return 200, [], CONTENT_TYPE, page
        parts = path.split("/")
        detail = f"there is no endpoint {parts[2]!r}" if len(parts) > 3 and parts[1] == "endpoints" else "no such path"
        raise codes.UnknownError(detail, "Scoring is POST /endpoints/<endpoint>/score.")

    async def _score(
        self, route: Route, path: str, scope: Scope, headers: dict[bytes, bytes], receive: Receive
    ) -> tuple[int, Headers, bytes, bytes]:
        asked = SCORE if path == _SCORE_PATH else parse_path(path)
        method = scope["method"]
        if asked is not None and method not in (allowed := methods_of(asked.door)):
            shown = ", ".join((*allowed, "OPTIONS"))
            if method == "OPTIONS":
                return 200, [(b"allow", shown.encode())], b"text/plain", b""
            raise codes.MethodError(f"{method[:20]} is not for {path[:200]}", allow=shown)
        self._keys.check(headers.get(b"authorization"), route.keys)
        body = await self._read_body(headers, receive)
        route = self._routes.again(route)  # a slow body outlasts a change
        header = headers.get(_DEPLOYMENT_HEADER)
        name = route.pick(asked or _ANY, None if header is None else header.decode("latin-1"))
        backend = route.backends[name]
        mark = backend.mark
        if asked is None or not speaks(route.runtimes[name], asked.door):
            detail = f"deployment {name} of endpoint {route.name} does not answer {path[:200]}"
            raise codes.UnknownError(detail, protocols_of(route.runtimes[name])).of(name)
        steering = route.steering if asked.door in SCORING_DOORS else None
        began = None if steering is None else steering.begin(name)
        if asked.door in HEALTH_DOORS and not backend.is_script:
            said = answer_health(asked, is_ready=backend.is_ready)
            return said.status, [mark], said.content_type.encode(), said.body
        meta_part = _request_meta(scope, headers, path, route, name)
        try:
            if steering is None or began is None:
                meta, content = await backend.score(meta_part, body)
            else:
                mirror = steering.mirror
                if mirror is not None and speaks(route.runtimes[mirror.to], asked.door) and mirror.is_chosen():
                    mirror.send(_request_meta(scope, headers, path, route, mirror.to), body)
                meta, content = await steering.score(name, began, backend, meta_part, body)
        except codes.ScoringError as error:
            raise error.of(name) from None
        if not meta:
            return 200, [mark], b"application/json", content
        reply = _decode_reply(meta)
        content_type = _header_value(reply.content_type) or b"application/octet-stream"
        shown_headers = _model_headers(reply.headers)
        if asked.door not in SCORING_DOORS:
            return reply.status, [mark, *shown_headers], content_type, content
        status = codes.client_status(reply.status, is_script=backend.is_script)
        return status.status, [mark, *status.headers, *shown_headers], content_type, content

    async def _read_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        limit = self._settings.max_body_bytes
        if int(headers.get(b"content-length", b"0")) > limit:
            raise codes.TooLargeError(f"the body has more than {limit} bytes")
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            whole: bytes = message.get("body", b"")
            if len(whole) > limit:
                raise codes.TooLargeError(f"the body has more than {limit} bytes")
            return whole
        return await self._read_pieces(message, limit, receive)

    async def _read_pieces(self, message: MutableMapping[str, Any], limit: int, receive: Receive) -> bytes:
        """Collect a body that does not come at once, within what all such bodies may take together."""
        parts: list[bytes] = []
        length = 0
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise _ClientGone
                part: bytes = message.get("body", b"")
                parts.append(part)
                length += len(part)
                self._buffered += len(part)
                if length > limit:
                    raise codes.TooLargeError(f"the body has more than {limit} bytes")
                if self._buffered > self._settings.buffered_bytes:
                    raise codes.OverloadedError("too many large bodies are on their way")
                if not message.get("more_body"):
                    return b"".join(parts)
                message = await receive()
        finally:
            self._buffered -= length


def _request_ids(headers: dict[bytes, bytes]) -> Headers:
    """Return the id headers of the answer, as the shim's ``score_identifiers`` does for a script that is alone."""
    found = {name: headers[name] for name in _ID_HEADERS if name in headers}
    for name, value in found.items():
        if len(value) > MAX_ID_LENGTH:
            raise codes.LongIdError(f"{name.decode()} has more than {MAX_ID_LENGTH} characters")
    request_id = found.get(b"x-request-id")
    if request_id is None:
        request_id = found[b"x-request-id"] = make_id()
    legacy = found.get(b"x-ms-request-id")
    client = found.get(b"x-ms-client-request-id") or legacy
    found[b"x-ms-request-id"] = legacy or client or request_id
    if client:
        found[b"x-ms-client-request-id"] = client
    return list(found.items())


def _request_meta(scope: Scope, headers: dict[bytes, bytes], path: str, route: Route, name: str) -> bytes:
    content_type = headers.get(b"content-type", b"application/json").decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    if route.backends[name].is_script:
        if path == "/openapi.json":
            path, query = "/swagger.json", "version=3.1"
        shown = {
            header.decode("latin-1").title(): value.decode("latin-1")
            for header, value in headers.items()
            if header not in _HIDDEN_HEADERS
        }
        meta = {"method": scope["method"], "path": path, "query": query, "content_type": content_type}
        return _encode({**meta, "headers": shown})
    passed = {h.decode(): headers[h].decode("latin-1") for h in _MODEL_HEADERS if h in headers}
    if path == _SCORE_PATH:
        if content_type.startswith("application/json") and scope["method"] == "POST" and not passed:
            return b""
        return _encode({"content_type": content_type, "method": scope["method"], "query": query, "headers": passed})
    return _encode(
        {
            "content_type": content_type,
            "method": scope["method"],
            "path": path,
            "query": query,
            "headers": passed,
            "endpoint": route.name,
            "deployment": name,
            "version": route.versions[name],
        }
    )


def _model_headers(headers: list[tuple[str, str]] | dict[str, str]) -> Headers:
    """Return a script's own headers, without those of the connection and what is none."""
    found = []
    for name, text in headers.items() if isinstance(headers, dict) else headers:
        value = _header_value(text)
        if value is not None and _TOKEN.fullmatch(name) and name.lower().encode() not in _CONNECTION_HEADERS:
            found.append((name.encode(), value))
    return found


def _header_value(text: str) -> bytes | None:
    return None if "\n" in text or "\r" in text or "\0" in text else text.encode("latin-1", "replace")


async def _send(send: Send, status: int, content_type: bytes, body: bytes, headers: Headers) -> None:
    head = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def create_gateway(home: Home, settings: GatewaySettings, *, parent_fd: int | None = None, spares: int = 1) -> Gateway:
    """Return the gateway's ASGI app.

    Parameters
    ----------
    parent_fd : int, optional
        Read end of the supervisor's pipe; without one, replicas end with this process.
    """
    if parent_fd is None:
        parent_fd, _ = os.pipe()
    return Gateway(home, settings, parent_fd=parent_fd, spares=spares)


def serve_gateway(
    home: Home,
    settings: GatewaySettings,
    listening: socket.socket,
    *,
    parent_fd: int | None = None,
    spares: int = 1,
) -> int:
    """Run the gateway on a listening socket until SIGTERM or until the supervisor's pipe closes."""
    import uvicorn

    from penstock.serving.connections import own_limits, protocol_for
    from penstock.serving.shortcut import ShortcutProtocol

    app = create_gateway(home, settings, parent_fd=parent_fd, spares=spares)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol_for(own_limits(), ShortcutProtocol, shortcut=app.shortcut),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.drain_timeout_s),
    )
    server = uvicorn.Server(config)

    replica_host.end_with_parent(parent_fd)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listening]))
    return 0
