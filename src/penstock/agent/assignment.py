"""What the server asks of an agent: one line of JSON, checked before anything is touched.

The assignment is trusted to come from our server, and still no path in it may leave the attempt's folder.
"""

from __future__ import annotations

import json
import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs 2 ms of every start
    from typing import Any


ATTEMPT = re.compile(r"[\w.~-]{1,200}", re.ASCII)


class AssignmentError(Exception):
    """The assignment cannot be carried out; the message is one sentence."""


class Entry:
    """One file to put in place: relative POSIX path, SHA-256 of its content, size in bytes."""

    __slots__ = ("digest", "executable", "path", "size")

    def __init__(self, path: str, digest: str, size: int, executable: bool = False) -> None:
        self.path = checked_path(path)
        self.digest = digest
        self.size = size
        self.executable = executable


class Input:
    """One input with a path: files from the blob store, or a URL to fetch."""

    __slots__ = ("entries", "is_file", "name", "path", "url")

    def __init__(self, name: str, path: str, entries: list[Entry], is_file: bool, url: str | None) -> None:
        self.name = name
        self.path = checked_path(path)
        self.entries = entries
        self.is_file = is_file
        self.url = url


class Output:
    """One named output, a folder or (``uri_file``) a file, relative to the attempt's folder."""

    __slots__ = ("name", "path", "type")

    def __init__(self, name: str, path: str, type: str) -> None:
        self.name = name
        self.path = checked_path(path)
        self.type = type


class Address:
    """An attempt and the server that waits for its end: enough to say that it cannot begin."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.attempt = str(data["attempt"])
        self.server_record = str(data["server_record"])
        self.server_url = str(data["server_url"])
        self.token = str(data["token"])


class Assignment(Address):
    """Everything an agent needs to know about its attempt.

    Parameters
    ----------
    data : dict
        ``attempt``, ``job``, ``server_record``, ``server_url``, ``token``, ``folder``, ``spool``, ``blobs``,
        ``code``, ``inputs``, ``outputs``, ``command``, ``environment``, ``path_prepend``, ``timeout_s``,
        ``shim``; and, with defaults, ``cancel_grace_s`` (10 s) and ``number``, which attempt of the job this is.

    Raises
    ------
    AssignmentError
        If a key is missing, has another type, or a path would leave the attempt's folder.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        try:
            super().__init__(data)
            self.job = str(data["job"])
            self.folder = absolute(data["folder"])
            self.spool = absolute(data["spool"])
            self.blobs = absolute(data["blobs"])
            self.code = [_entry(entry) for entry in data.get("code") or ()]
            self.inputs = [_input(name, item) for name, item in (data.get("inputs") or {}).items()]
            self.outputs = [_output(name, item) for name, item in (data.get("outputs") or {}).items()]
            self.command = str(data["command"])
            self.environment = {str(k): str(v) for k, v in (data.get("environment") or {}).items()}
            self.path_prepend = [str(folder) for folder in data.get("path_prepend") or ()]
            timeout_s = data.get("timeout_s")
            self.timeout_s = None if timeout_s is None else float(timeout_s)
            self.cancel_grace_s = float(data.get("cancel_grace_s", 10.0))
            self.shim = str(data.get("shim") or "")
            self.number = int(data.get("number", 0))
        except KeyError as error:
            raise AssignmentError(f"the assignment lacks the key {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise AssignmentError(f"the assignment is damaged: {error}") from error
        self.data = data

    @property
    def work(self) -> str:
        """Return the command's working directory."""
        return os.path.join(self.folder, "work")


def parse_assignment(line: bytes) -> Assignment:
    """Return the assignment in one line of JSON."""
    try:
        data = json.loads(line)
    except ValueError as error:
        raise AssignmentError(f"the assignment is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise AssignmentError("the assignment is not a JSON object")
    return Assignment(data)


def find_address(line: bytes) -> Address | None:
    """Return whom to tell of an assignment that ``parse_assignment`` refused, if that much can be read."""
    try:
        address = Address(json.loads(line))
    except (KeyError, TypeError, ValueError):
        return None
    return address if ATTEMPT.fullmatch(address.attempt) and ATTEMPT.fullmatch(address.token) else None


def checked_path(path: str) -> str:
    """Return a relative POSIX path as it is, or refuse one that could leave its root."""
    parts = path.split("/")
    if not path or "\0" in path or any(part in {"", ".", ".."} for part in parts):
        raise AssignmentError(f"the path {path!r} would leave its folder or cannot be a name there")
    return path


def absolute(path: str) -> str:
    """Return an absolute path as it is, or refuse it."""
    if not os.path.isabs(path):
        raise AssignmentError(f"the path {path!r} must be absolute")
    return path


def _entry(data: dict[str, Any]) -> Entry:
    digest = data["digest"]
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise AssignmentError(f"{digest!r} is not a SHA-256 digest")
    return Entry(data["path"], digest, int(data["size"]), bool(data.get("executable", False)))


def _input(name: str, data: dict[str, Any]) -> Input:
    entries = [_entry(entry) for entry in data.get("entries") or ()]
    return Input(name, data["path"], entries, bool(data.get("is_file", False)), data.get("url"))


def _output(name: str, data: dict[str, Any]) -> Output:
    return Output(checked_path(name), data["path"], str(data.get("type") or "uri_folder"))
