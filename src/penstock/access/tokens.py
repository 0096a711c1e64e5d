"""Tokens: made once, stored as a hash, compared in constant time.

The workspace's own token and the one its processes share lie in files; a job's token lives as a row and ends
with its attempt, a person's or service's with its revocation or expiry. A token has 256 bits of randomness, so its
SHA-256 needs no salt and no slow hash.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from penstock.access.actors import Actor, Role
from penstock.entities.errors import AuthenticationError
from penstock.rules.names import hash_token, new_token
from penstock.stores.metadata.attempts import find_attempt
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.tokens import find_token, put_token, revoke_tokens

MAX_REMEMBERED = 4096


def read_authorization(authorization: str | None) -> str:
    """Return the token of an ``Authorization`` header: Bearer, or Basic with the token as password.

    Raises
    ------
    AuthenticationError
        If there is no header, or none of these two forms.
    """
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer" and value.strip() and value.isascii():
        return value.strip()
    if scheme.lower() == "basic":
        try:
            _, _, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            password = ""
        if password and password.isascii():
            return password
    raise _unauthenticated("This server wants a token.")


def _unauthenticated(message: str) -> AuthenticationError:
    return AuthenticationError(
        message, hint="Send `Authorization: Bearer <token>`; `penstock token` prints it, `penstock env` exports it."
    )


@dataclass(frozen=True, slots=True)
class _Remembered:
    actor: Actor
    expires_at: int | None

    @property
    def owner(self) -> str | None:
        return self.actor.attempt_id or self.actor.token_id


class Access:
    """Turns tokens into actors; thread-safe.

    Tokens that were seen once are remembered, so a hot path asks memory alone. From the moment :meth:`forget`
    runs, inside the transaction that ends them, they are asked from the store again: so nobody is let in by memory
    after that transaction is durable, and a rolled back one harms nobody.
    """

    def __init__(
        self,
        store: MetadataStore,
        *,
        workspace_token: str,
        internal_token: str,
        now: Callable[[], int],
        owner: str = "admin",
    ) -> None:
        self._store = store
        self._now = now
        self._own = (
            (hash_token(workspace_token), Actor(owner, Role.ADMIN)),
            (hash_token(internal_token), Actor("system:gateway", Role.INTERNAL)),
        )
        self._lock = threading.Lock()
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    @property
    def owner(self) -> str:
        """Return the name that the workspace's own token has in the audit log."""
        return self._own[0][1].name

    def recognise(self, authorization: str | None) -> Actor | None:
        """Return the actor if memory alone knows the token, else None; never blocks.

        Raises
        ------
        AuthenticationError
            If the header holds no token at all.
        """
        digest = hash_token(read_authorization(authorization))
        for known, actor in self._own:
            if hmac.compare_digest(known, digest):
                return actor
        with self._lock:
            found = self._remembered.get(digest)
        if found is None or (found.expires_at is not None and found.expires_at <= self._now()):
            return None
        return found.actor

    def authenticate(self, authorization: str | None) -> Actor:
        """Return the actor of an ``Authorization`` header; may read the store.

        Raises
        ------
        AuthenticationError
            If there is no token, or one that is unknown, revoked or expired.
        """
        actor = self.recognise(authorization)
        if actor is not None:
            return actor
        digest = hash_token(read_authorization(authorization))
        with self._store.read() as connection:
            row = find_token(connection, digest)
            attempt = find_attempt(connection, row.attempt_id) if row and row.attempt_id else None
        if row is None or (row.expires_at is not None and row.expires_at <= self._now()):
            raise _unauthenticated("This token is unknown or no longer valid.")
        actor = Actor(
            row.actor,
            Role(row.role),
            row.experiment_id,
            row.attempt_id,
            row.actor.removeprefix("job:") if row.role == Role.JOB else None,
            attempt.number if attempt else 0,
            row.token_id,
            row.created_by,
        )
        self._remember(digest, _Remembered(actor, row.expires_at))
        return actor

    def check_alive(self, connection: Connection, authorization: str | None) -> None:
        """Raise AuthenticationError if a token has ended by now, as the open transaction sees it.

        For what takes long after its token was recognised: a file is recorded only if whoever sent it still may.
        """
        digest = hash_token(read_authorization(authorization))
        if any(hmac.compare_digest(known, digest) for known, _ in self._own):
            return
        row = find_token(connection, digest)
        if row is None or (row.expires_at is not None and row.expires_at <= self._now()):
            raise _unauthenticated("This token ended before the request did.")

    def authenticate_attempt(self, authorization: str | None, attempt_id: str) -> Actor:
        """Return the actor of an attempt that may have ended: its agent repeats the last report until it is heard.

        Raises
        ------
        AuthenticationError
            If the token is not the one this attempt was started with.
        """
        digest = hash_token(read_authorization(authorization))
        with self._store.read() as connection:
            attempt = find_attempt(connection, attempt_id)
        if attempt is None or not hmac.compare_digest(attempt.token_hash, digest):
            raise _unauthenticated("This token is unknown or no longer valid.")
        return Actor(f"job:{attempt.job_name}", Role.JOB, None, attempt_id, attempt.job_name, attempt.number)

    def issue_attempt_token(self, connection: Connection, attempt_id: str, job_name: str, experiment_id: str) -> str:
        """Make the token of one attempt in the open transaction and return it; only its hash is kept."""
        token = new_token(os.urandom)
        put_token(
            connection,
            hash_token(token),
            kind="attempt",
            actor=f"job:{job_name}",
            role=Role.JOB.value,
            experiment_id=experiment_id,
            attempt_id=attempt_id,
            now=self._now(),
        )
        return token

    def revoke(self, connection: Connection, attempt_id: str) -> None:
        """End the tokens of one attempt in the open transaction; idempotent."""
        self.forget(attempt_id)
        revoke_tokens(connection, attempt_id)

    def forget(self, owner: str) -> None:
        """Let nobody in by memory whose attempt or token has this id, now and later."""
        with self._lock:
            self._ended[owner] = None
            while len(self._ended) > MAX_REMEMBERED:
                self._ended.popitem(last=False)
            ended = [digest for digest, known in self._remembered.items() if known.owner == owner]
            for digest in ended:
                del self._remembered[digest]

    def _remember(self, digest: str, known: _Remembered) -> None:
        with self._lock:
            if known.owner in self._ended:
                return
            self._remembered[digest] = known
            while len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
