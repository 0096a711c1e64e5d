"""``AMLResponse``: what a script returns to choose status and headers. Standard library only, Python >= 3.9."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Mapping, Optional

from .score_headers import Headers

HTML = "text/html; charset=utf-8"


class AMLResponse:
    """An answer that goes to the client as it is.

    Parameters
    ----------
    message : str, bytes, iterable of them, anything for JSON, or None
        The body; None is an empty JSON object.
    status_code : int
        The status.
    response_headers : mapping
        Headers; a comma in a value makes several lines of it.
    json_str : bool
        Encode ``message`` as JSON.
    run_function_failed : bool
        What the header of that name says; 500 and above always say True.
    """

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Optional[Mapping[str, str]] = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        headers = response_headers or {}
        self.status_code = int(status_code)
        self.headers = Headers()
        if message is None or json_str:
            self._body = json.dumps({} if message is None else message).encode("utf-8")
            self.headers.add("Content-Type", "application/json")
        else:
            self._body = _bytes_of(message)
            if "Content-Type" not in headers:
                self.headers.add("Content-Type", HTML)
        self.headers.add("x-ms-run-function-failed", run_function_failed)
        for name, value in headers.items():
            for part in value.split(","):
                self.headers.add(name, part.strip())

    @property
    def status(self) -> str:
        """Status and reason."""
        try:
            return "%d %s" % (self.status_code, HTTPStatus(self.status_code).phrase.upper())
        except ValueError:
            return "%d UNKNOWN" % self.status_code

    @property
    def data(self) -> bytes:
        """The body."""
        return self._body

    @data.setter
    def data(self, value: Any) -> None:
        self.set_data(value)

    @property
    def content_type(self) -> Optional[str]:
        """The content type."""
        value: Optional[str] = self.headers.get("Content-Type")
        return value

    @content_type.setter
    def content_type(self, value: str) -> None:
        self.headers.set("Content-Type", value)

    @property
    def mimetype(self) -> str:
        """The content type without parameters."""
        return (self.content_type or "").partition(";")[0].strip().lower()

    def get_data(self, as_text: bool = False) -> Any:
        """Return the body as bytes or text."""
        return self._body.decode("utf-8") if as_text else self._body

    def set_data(self, value: Any) -> None:
        """Replace the body."""
        self._body = _bytes_of(value)

    def get_json(self, force: bool = False, silent: bool = False) -> Any:
        """Return the body as JSON."""
        try:
            return json.loads(self._body)
        except ValueError:
            if silent:
                return None
            raise


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return b"".join(part.encode("utf-8") if isinstance(part, str) else bytes(part) for part in value)
