"""The client's HTTP: a thin layer over the standard library's ``http.client``.

Why not a client library: httpx costs 220 ms to import, urllib3 99 ms, ``http.client`` 20 ms, and a command
line pays it each time. What is here is what a client of Penstock needs: kept-alive connections, streamed
answers, retries that cannot do a thing twice, certificates, and problems turned back into errors. No
redirects, cookies or proxies.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from penstock.entities.errors import AuthenticationError, PenstockError, UnavailableError, UsageError
from penstock.sdk.problems import details_of, error_from_response
from penstock.sdk.response import Response

DEFAULT_TIMEOUT_S = 60.0
RETRY_DELAYS_S = (0.05, 0.2, 0.5, 1.0)
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "PATCH"})  # PATCH names the offset it is for
_TEMPORARY = frozenset({502, 503, 504})

Body = bytes | Iterable[bytes] | None


class HttpClient:
    """Requests to one server; may be used from several threads.

    Parameters
    ----------
    url : str
        Base address, ``http://…`` or ``https://…``, with an optional path before every request's own.
    token : str, optional
        Sent as ``Authorization: Bearer``.
    timeout_s : float
        Longest silence of the server before a request counts as failed.
    ca_file : str, optional
        Certificates to trust instead of the system's, for ``https``.
    hint : str
        What to do when the server cannot be reached.

    Notes
    -----
    A request is sent again, at most four times within two seconds, when the connection fails or the server
    answers 502, 503 or 504, if doing it twice is the same as doing it once: GET, HEAD, PUT, DELETE, PATCH and every
    request with an ``Idempotency-Key``. A kept connection that the server has closed meanwhile is noticed
    before anything is sent.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        ca_file: str | None = None,
        hint: str = "",
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f'"{url}" is no server\'s address', hint="It looks like http://host:port or https://host.")
        self.url = url.rstrip("/")
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._hint = hint or "Is it running? See `penstock status`."
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """GET ``path`` and return its JSON."""
        return self._read("GET", path, self.request("GET", path, query=query))

    def post(self, path: str, content: Any = None, *, key: str | None = None) -> Any:
        """POST JSON with an ``Idempotency-Key`` and return the answer's JSON."""
        headers = {"Idempotency-Key": key or new_key()}
        return self._read("POST", path, self.request("POST", path, content=content, headers=headers))

    def put(self, path: str, content: Any) -> Any:
        """PUT JSON and return the answer's JSON."""
        return self.request("PUT", path, content=content).json()

    def delete(self, path: str) -> Any:
        """DELETE ``path`` and return the answer's JSON, if it has any."""
        return self.request("DELETE", path).json()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        content: Any = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Send one request and return its answer, whose body is still to be read.

        Parameters
        ----------
        method, path : str
            ``path`` starts with a slash and is quoted already; see `quoted`.
        query : mapping, optional
            Parameters; those that are None are left out.
        content : object, optional
            Sent as JSON.
        body : bytes or iterable of bytes, optional
            Sent as it is; an iterable is sent in chunks and never sent twice.
        headers : mapping, optional
            Further headers.
        timeout_s : float, optional
            Instead of the client's own.

        Raises
        ------
        PenstockError
            What the server answered with a status of 400 and above.
        UnavailableError
            If the server cannot be reached.
        """
        target = self._prefix + path + _query_text(query)
        sent = {**self._headers, **(headers or {})}
        if content is not None:
            body = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
            sent["Content-Type"] = "application/json"
        repeatable = (method in _REPEATABLE or "Idempotency-Key" in sent) and (body is None or isinstance(body, bytes))
        for delay_s in (*RETRY_DELAYS_S, None):
            try:
                response = self._send(method, target, body, sent, timeout_s or self._timeout_s)
            except http.client.ImproperConnectionState:
                raise  # a defect of ours, which another try would only hide
            except (OSError, http.client.HTTPException) as error:
                if delay_s is None or not repeatable or isinstance(error, ssl.SSLCertVerificationError):
                    raise self.unreachable(error) from error
            else:
                if response.status < 400:
                    return response
                if delay_s is None or not repeatable or response.status not in _TEMPORARY:
                    raise self._error(response, method, path)
                response.read()
            time.sleep(delay_s)
        raise AssertionError("the last round returns or raises")

    def _read(self, method: str, path: str, response: Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise self._stranger(f"{method} {path} was answered with what is no JSON") from error

    def _send(self, method: str, target: str, body: Body, headers: Mapping[str, str], timeout_s: float) -> Response:
        connection = self._take()
        try:
            if connection.sock is None:
                connection.timeout = timeout_s
                connection.connect()
            assert connection.sock is not None
            connection.sock.settimeout(timeout_s)
            connection.request(method, target, body, dict(headers))
            return Response(connection, connection.getresponse(), put_back=self._put_back, explain=self.unreachable)
        except BaseException:
            connection.close()
            raise

    def _error(self, response: Response, method: str, path: str) -> PenstockError:
        error = error_from_response(
            response.status, response.read(), method=method, path=path, headers=response.headers
        )
        if not details_of(error) and "text/html" in response.headers.get("content-type", "") and _is_ours(path):
            return self._stranger(f"{method} {path} was answered with status {response.status} and a web page")
        if isinstance(error, AuthenticationError):  # the server speaks of headers, people have a variable
            error.hint = "Set PENSTOCK_TOKEN to what `penstock token` prints on the server's machine."
        return error

    def _stranger(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"no Penstock answers at {self.url}: {reason}",
            hint="Check the address; `penstock status` on the server's machine says it.",
        )

    def unreachable(self, error: Exception) -> UnavailableError:
        """Return the error to raise when the connection failed with ``error``."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return UnavailableError(
                f"the certificate of {self.url} is not trusted: {error.verify_message}",
                hint="Name its issuer with SSL_CERT_FILE, or ca_file=… in Python.",
            )
        if isinstance(error, TimeoutError):
            reason = "no answer in time"
        else:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return UnavailableError(f"the server at {self.url} cannot be reached: {reason}", hint=self._hint)

    def _take(self) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                break
            if connection.sock is not None and not _has_ended(connection.sock):
                return connection
            connection.close()
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port)

    def _put_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.append(connection)

    def __del__(self) -> None:
        if hasattr(self, "_idle"):
            self.close()

    def close(self) -> None:
        """Close idle connections; the client can still be used afterwards."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _is_ours(path: str) -> bool:
    """Return whether only a server of ours answers there; what models answer at their own paths is theirs."""
    return path.startswith(("/api/", "/health"))


def new_key() -> str:
    """Return a fresh ``Idempotency-Key``."""
    return os.urandom(16).hex()


def quoted(*parts: str) -> str:
    """Join path segments, each percent-encoded, with a leading slash; ``@`` and ``:`` stay readable.

    A segment's own slashes are encoded too; pass the parts of a file path one by one.
    """
    return "".join("/" + quote(part, safe="@:+,=-_.~") for part in parts)


def _query_text(query: Mapping[str, Any] | None) -> str:
    pairs = [(name, _text(value)) for name, value in (query or {}).items() if value is not None]
    return "?" + urlencode(pairs) if pairs else ""


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _has_ended(sock: socket.socket) -> bool:
    """Return whether an idle connection has something to read, which can only be its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
