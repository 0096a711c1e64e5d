"""What the supervisor's children have in common: inherited descriptors, the end of the parent, the log."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

GRACE_S = 10.0

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter):
    """One line a record: time, level, logger, message, and the facts given as ``extra``."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        facts = {key: value for key, value in vars(record).items() if key not in _STANDARD and key != "color_message"}
        return f"{text} {json.dumps(facts, default=str)}" if facts else text


def configure_logging(level: str) -> None:
    """Send every log record to standard error, one line each, in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))


def inherited_socket() -> socket.socket:
    """Return the listening socket the supervisor bound and passed on."""
    return socket.socket(fileno=int(os.environ["PENSTOCK_SOCKET_FD"]))


def inherited_control() -> socket.socket:
    """Return the socket on which the server asks the supervisor for other processes."""
    return socket.socket(fileno=int(os.environ["PENSTOCK_CONTROL_FD"]))


def end_with_parent(stop: Callable[[], Any]) -> None:
    """Call ``stop`` when the supervisor is gone, and end the process for good if that takes too long.

    The supervisor holds the write end of a pipe and never writes; so the read ends only with its process,
    however that ended.
    """
    descriptor = int(os.environ["PENSTOCK_PARENT_FD"])

    def watch() -> None:
        select.select([descriptor], [], [])  # not a read: an event loop may have made the pipe non-blocking
        stop()
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
