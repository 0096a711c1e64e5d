"""``Idempotency-Key``: a request that is sent again gets the answer of the first one.

The first answer is kept for 24 hours, in the transaction that makes the change: after a kill -9 either both are
there or neither. Requests with the same key that arrive while the first is still being worked on wait for it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel
from sqlalchemy import Connection

from penstock.access.actors import Actor
from penstock.entities.errors import ConflictError, UsageError
from penstock.server.api import wire
from penstock.server.services import Services
from penstock.stores.metadata.idempotency import find_reply, put_reply

MAX_KEY = 255


Keep = Callable[[Connection, BaseModel], None]
"""Keeps the answer that shows this entity; called in the operation that makes it."""


def _keep_nothing(connection: Connection, made: BaseModel) -> None:
    """Stand in where the caller sent no key."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer worth repeating: its status and its JSON."""

    status: int
    content: Any


class Once:
    """Does the work behind an ``Idempotency-Key`` once; thread-safe.

    One server process writes a workspace, so waiting for a request in progress is a lock in memory.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._busy: dict[tuple[str, str], threading.Lock] = {}

    def run(
        self, key: str | None, scope: str, actor: Actor, body: Any, work: Callable[[Keep], BaseModel], *, status: int
    ) -> Reply:
        """Return the kept answer, or do ``work`` and keep its answer; without a key just do it.

        Parameters
        ----------
        scope : str
            What is done, such as ``POST jobs``; a key of one caller and scope never meets another's.
        body : Any
            What was sent, as JSON types; a key that comes back with another body is refused.
        work : callable
            Makes something and returns it; calls what it is given in its own transaction.
        status : int
            The answer's status.

        Raises
        ------
        ConflictError
            If the key was used for another request.
        """
        if key is None:
            return Reply(status, wire.entity(work(_keep_nothing)))
        if not 0 < len(key) <= MAX_KEY or not key.isprintable():
            raise UsageError(f"an Idempotency-Key has 1 to {MAX_KEY} printable characters")
        place = f"{actor.name} {scope}"
        sent = hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()

        def keep(connection: Connection, made: BaseModel) -> None:
            text = msgspec.json.encode({"sent": sent, "status": status, "content": wire.entity(made)}).decode()
            put_reply(connection, key, place, text, self._services.now())

        with self._guard((key, place)):
            kept = self._find(key, place)
            if kept is None:
                return Reply(status, wire.entity(work(keep)))
            if kept["sent"] != sent:
                raise ConflictError(
                    "this Idempotency-Key was used for another request", hint="Send a new key with each new request."
                )
            return Reply(kept["status"], kept["content"])

    def _find(self, key: str, place: str) -> Any:
        with self._services.store.read() as connection:
            text = find_reply(connection, key, place, self._services.now())
        return None if text is None else msgspec.json.decode(text)

    def _guard(self, place: tuple[str, str]) -> _Guard:
        return _Guard(self._lock, self._busy, place)


class _Guard:
    """A lock by name that leaves nothing behind."""

    def __init__(
        self, lock: threading.Lock, busy: dict[tuple[str, str], threading.Lock], place: tuple[str, str]
    ) -> None:
        self._lock = lock
        self._busy = busy
        self._place = place
        self._own = threading.Lock()

    def __enter__(self) -> None:
        self._own.acquire()
        while True:
            with self._lock:
                other = self._busy.setdefault(self._place, self._own)
            if other is self._own:
                return
            with other:
                pass

    def __exit__(self, *_: object) -> None:
        with self._lock:
            del self._busy[self._place]
        self._own.release()
