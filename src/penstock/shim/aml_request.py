"""``AMLRequest``: what a ``@rawhttp`` script gets where flask is not installed, with the members that flask's has.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import io
import json
from http.cookies import CookieError, SimpleCookie
from typing import Any, Optional
from urllib.parse import parse_qsl, quote

from .score_headers import Headers, Pairs
from .score_inputs import FORM_TYPES, MULTIPART, Request, is_json, mimetype_of


class AMLRequest:
    """A request as ``@rawhttp`` scripts see it.

    Parameters
    ----------
    request : Request
        What came.
    """

    def __init__(self, request: Request) -> None:
        self.method = request.method
        self.path = request.path
        self.query_string = request.query.encode("latin-1", "replace")
        self.headers = Headers(request.headers.items())
        self.scheme = "http"
        self.remote_addr: Optional[str] = None
        self._body = request.body
        self._parsed: Optional[tuple[Pairs, Pairs]] = None
        self._is_read = False

    @property
    def content_type(self) -> Optional[str]:
        """The header as it came."""
        value: Optional[str] = self.headers.get("Content-Type")
        return value

    @property
    def mimetype(self) -> str:
        """The content type without parameters, in lower case."""
        return mimetype_of(self.content_type or "")

    @property
    def content_length(self) -> Optional[int]:
        """The body's length as it was announced."""
        value: Optional[int] = self.headers.get("Content-Length", type=int)
        return value

    @property
    def is_json(self) -> bool:
        """Whether the content type says JSON."""
        return is_json(self.content_type or "")

    @property
    def args(self) -> Pairs:
        """The query's parameters."""
        return Pairs(parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True))

    @property
    def form(self) -> Pairs:
        """The fields of a form; a form that was taken apart is no longer in :attr:`data`."""
        return self._parse()[0]

    @property
    def files(self) -> Pairs:
        """The files of a multipart form."""
        return self._parse()[1]

    @property
    def values(self) -> Pairs:
        """Parameters of query and form together."""
        return Pairs([*self.args.items(multi=True), *self.form.items(multi=True)])

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies."""
        try:
            return {name: morsel.value for name, morsel in SimpleCookie(self.headers.get("Cookie", "")).items()}
        except CookieError:
            return {}

    @property
    def data(self) -> bytes:
        """The body, empty where it is a form."""
        if mimetype_of(self.content_type or "") in FORM_TYPES:
            self._parse()
        body: bytes = self.get_data()
        return body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return self.get_json()

    @property
    def stream(self) -> io.BytesIO:
        """The body as a file."""
        return io.BytesIO(self._body)

    @property
    def full_path(self) -> str:
        """Path and query."""
        return "%s?%s" % (self.path, self.query_string.decode("latin-1"))

    @property
    def host(self) -> str:
        """The name the client used."""
        return str(self.headers.get("Host", "localhost"))

    @property
    def base_url(self) -> str:
        """The URL without its query."""
        return "%s://%s%s" % (self.scheme, self.host, quote(self.path))

    @property
    def url(self) -> str:
        """The whole URL."""
        query = self.query_string.decode("latin-1")
        return self.base_url + ("?" + query if query else "")

    def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        """Return the body as bytes or text; it stays readable whatever ``cache`` says."""
        if parse_form_data:
            self._parse()
        body = b"" if self._is_read else self._body
        return body.decode("utf-8", "replace") if as_text else body

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the body as JSON; None with ``silent`` where it is none.

        Raises
        ------
        ValueError
            If it is no JSON, or does not say so and ``force`` is not given.
        """
        if not (force or self.is_json):
            if silent:
                return None
            raise ValueError("the request's Content-Type is not application/json")
        try:
            return json.loads(self.get_data())
        except ValueError:
            if silent:
                return None
            raise

    def _parse(self) -> tuple[Pairs, Pairs]:
        if self._parsed is None:
            kind = self.mimetype
            form, files = Pairs(), Pairs()
            if kind == MULTIPART:
                form, files = parse_multipart(self.content_type or "", self._body)
            elif kind in FORM_TYPES:
                form = Pairs(parse_qsl(self._body.decode("utf-8", "replace"), keep_blank_values=True))
            self._is_read = kind in FORM_TYPES
            self._parsed = form, files
        return self._parsed


class UploadedFile(io.BytesIO):
    """A file of a multipart form; it is read like any open file."""

    def __init__(self, content: bytes, name: str, filename: str, content_type: str) -> None:
        super().__init__(content)
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.mimetype = mimetype_of(content_type)
        self.content_length = len(content)
        self.stream = self

    def save(self, target: Any) -> None:
        """Write the file to a path or an open file."""
        if hasattr(target, "write"):
            target.write(self.getvalue())
            return
        with open(target, "wb") as file:
            file.write(self.getvalue())


def parse_multipart(content_type: str, body: bytes) -> tuple[Pairs, Pairs]:
    """Return the fields and files of a multipart form; parts that are none are left out."""
    boundary = _parameters(content_type).get("boundary", "").encode("latin-1", "replace")
    fields: list[tuple[str, Any]] = []
    files: list[tuple[str, Any]] = []
    if not boundary:
        return Pairs(), Pairs()
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:]:
        if part.startswith(b"--"):
            break
        head, separator, content = part.partition(b"\r\n\r\n")
        if not separator:
            continue
        headers = Headers()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                headers.add(name.strip(), value.strip())
        said = _parameters(headers.get("Content-Disposition", ""))
        name = said.get("name", "")
        if "filename" in said:
            kind = headers.get("Content-Type", "application/octet-stream")
            files.append((name, UploadedFile(content, name, said["filename"], kind)))
        else:
            fields.append((name, content.decode("utf-8", "replace")))
    return Pairs(fields), Pairs(files)


def _parameters(value: str) -> dict[str, str]:
    """Return the parameters of a header such as ``form-data; name="image"; filename="a; b.png"``."""
    found: dict[str, str] = {}
    _, _, rest = value.partition(";")
    while rest.strip():
        name, _, rest = rest.partition("=")
        rest = rest.lstrip()
        if rest.startswith('"'):
            text, position = "", 1
            while position < len(rest) and rest[position] != '"':
                position += rest[position] == "\\" and rest[position + 1 : position + 2] in ('"', "\\")
                text += rest[position : position + 1]
                position += 1
            _, _, rest = rest[position + 1 :].partition(";")
        else:
            text, _, rest = rest.partition(";")
            text = text.strip()
        found[name.strip().lower()] = text
    return found
