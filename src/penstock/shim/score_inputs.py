"""A scoring request, and what ``run`` is called with for it. Standard library only, Python >= 3.9."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any, Callable, Mapping
from urllib.parse import parse_qsl

MULTIPART = "multipart/form-data"
FORM_TYPES = frozenset({MULTIPART, "application/x-www-form-urlencoded", "application/x-url-encoded"})


class Request:
    """One request; ``headers`` have names such as ``Content-Type``."""

    __slots__ = ("body", "headers", "method", "path", "query")

    def __init__(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body


class InputError(Exception):
    """A client's mistake, with the status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Arguments = Callable[[Request], "dict[str, Any]"]


def mimetype_of(content_type: str) -> str:
    """Return a content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Return whether a content type is JSON or built on it."""
    kind = mimetype_of(content_type)
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def read_query(query: str) -> dict[str, Any]:
    """Return a GET's parameters: each value parsed as JSON where it is some, a repeated name a list."""
    values: dict[str, list[Any]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        values.setdefault(name, []).append(parsed)
    return {name: found if len(found) > 1 else found[0] for name, found in values.items()}


def text_arguments(name: str) -> Arguments:
    """Return what gives an undecorated ``run`` its text."""

    def read(request: Request) -> dict[str, Any]:
        if request.method == "GET":
            return {name: json.dumps(read_query(request.query))}
        # As in the public server, a form's body is taken apart before a script could see it.
        kind = mimetype_of(request.headers.get("Content-Type", ""))
        if kind in FORM_TYPES:
            if request.body:
                sys.stderr.write("run() gets an empty text: the request says it is a form (Content-Type: %s)\n" % kind)
            return {name: ""}
        try:
            return {name: request.body.decode("utf-8")}
        except UnicodeDecodeError as error:
            raise InputError(400, "Input cannot be decoded as UTF-8: %s" % error) from None

    return read


def schema_arguments(parameters: list[inspect.Parameter]) -> Arguments:
    """Return what gives a ``run`` with ``@input_schema`` its arguments by name."""

    def read(request: Request) -> dict[str, Any]:
        sent = read_query(request.query) if request.method == "GET" else _read_object(request)
        arguments = {}
        for parameter in parameters:
            value = sent.get(parameter.name, parameter.default)
            if value is parameter.empty:
                raise InputError(400, "A value is not provided for the %r parameter." % parameter.name)
            arguments[parameter.name] = value
        return arguments

    return read


def _read_object(request: Request) -> dict[str, Any]:
    if not is_json(request.headers.get("Content-Type", "")):
        raise InputError(415, "Expects Content-Type to be application/json")
    if not request.body:
        raise InputError(400, "POST body is empty. Expecting a JSON dictionary.")
    try:
        value = json.loads(request.body)
    except ValueError as error:
        raise InputError(400, "POST body could not be decoded as JSON: %s" % error) from None
    if not isinstance(value, dict):
        raise InputError(400, "POST body should be a JSON dictionary.")
    return value
