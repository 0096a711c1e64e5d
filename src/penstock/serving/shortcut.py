"""The shortest way of a request: answered while its bytes are parsed, without a task, for a model on the event loop.

It takes what most requests are: a small JSON body for ``/score`` that came whole, with a key that was seen before, for
the one deployment that may answer. Anything else, whatever is wrong included, is left to the gateway's ASGI app as if
nothing had happened; so there is one place where requests are understood, and this is only its memory.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock.serving.identifiers import make_id
from penstock.serving.joined import JoinedProtocol
from penstock.serving.keys import KeyRing
from penstock.serving.routing import Routes
from penstock.serving.watch import Watch, clock

MAX_ID_LENGTH = 100
_NOT_PLAIN = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"inference-header-content-length",
        b"traceid",
        b"x-ms-client-request-id",
        b"x-ms-request-id",
    }
)
_JSON = b"application/json"


class Shortcut:
    """Answers plain requests for models on the event loop.

    Parameters
    ----------
    routes, keys, watch
        The gateway's own.
    """

    def __init__(self, routes: Routes, keys: KeyRing, watch: Watch) -> None:
        self._routes = routes
        self._keys = keys
        self._watch = watch

    def may_take(self, url: bytes) -> bool:
        """Return whether requests for this are worth a try."""
        return self._routes.find_quick(url) is not None

    def answer(self, url: bytes, headers: list[tuple[bytes, bytes]], body: bytes, client: str) -> bytes | None:
        """Return the whole response, None for a request that is not plain or has no plain answer."""
        began = clock()
        route = self._routes.find_quick(url)
        sent = dict(headers)
        if route is None or not _NOT_PLAIN.isdisjoint(sent):
            return None
        if not self._keys.knows(sent.get(b"authorization"), route.keys):
            return None
        if not sent.get(b"content-type", _JSON).startswith(_JSON):
            return None
        request_id = sent.get(b"x-request-id")
        if request_id is None:
            request_id = make_id()
        elif len(request_id) > MAX_ID_LENGTH:
            return None
        backend = route.quick
        wanted = sent.get(b"azureml-model-deployment")
        if wanted is not None:
            backend = route.backends.get(wanted.decode("latin-1"))
        if backend is None or backend.direct is None:
            return None
        reply = backend.direct(b"", body)
        if reply is None or reply[0]:
            return None  # a refused or failed request is rare: it is asked again, and its answer told in full
        if wanted is None and route.steering is not None:
            route.steering.count(backend)
        content = reply[1]
        self._watch.note(
            route.name,
            backend.deployment,
            200,
            began,
            request_id,
            "POST",
            route.path,
            len(body),
            len(content),
            client,
        )
        return (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
            b"x-ms-request-id: %b\r\n%b: %b\r\n\r\n%b"
        ) % (len(content), request_id, request_id, *backend.mark, content)


class ShortcutProtocol(JoinedProtocol):
    """Tries the shortcut with a request whose body has come whole with its head."""

    shortcut: Shortcut

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._held: list[bytes] | None = None
        self._has_taken = False

    def begin_request(self) -> None:
        """Hold a request back that may take the shortcut; one of each piece that comes, so nobody hogs the loop."""
        if (
            not self._has_taken
            and not self.is_busy
            and not self.flow.write_paused
            and self.shortcut.may_take(self.url)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
        ):
            self._has_taken = True
            self._held = []
        else:
            super().begin_request()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of a body that is held back."""
        if self._held is None:
            super().on_body(body)
        else:
            self._unused = 0
            self._held.append(body)

    def on_message_complete(self) -> None:
        """Answer a request that was held back, or hand it on."""
        if self._held is not None:
            parts = self._held
            content = parts[0] if len(parts) == 1 else b"".join(parts)
            response = self.shortcut.answer(self.url, self.headers, content, self.client[0] if self.client else "")
            if response is not None:
                self._held = None
                self._unused = 0
                self.transport.write(response)
                self.on_response_complete()
                return
            self._hand_on()
        super().on_message_complete()

    def parse(self, data: bytes) -> None:
        """Parse what came; a request whose body is still to come takes the long way."""
        self._has_taken = False
        super().parse(data)
        if self._held is not None:
            self._hand_on()

    def _hand_on(self) -> None:
        parts, self._held = self._held or [], None
        if self.transport.is_closing():
            return
        super().begin_request()
        if parts:
            HttpToolsProtocol.on_body(self, b"".join(parts))
