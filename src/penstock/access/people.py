"""Tokens of people and services: made, listed, revoked; each change with its event, in one transaction.

A token's secret leaves this file once, as what :meth:`PeopleTokens.create` returns; it is in no row, log or event.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from penstock.access.audit import record_event
from penstock.access.tokens import Access
from penstock.entities.errors import ConflictError, NotFoundError, UsageError
from penstock.entities.token import Role, Token, TokenSpec
from penstock.rules.names import hash_token, new_token, new_token_id
from penstock.stores.metadata import experiments
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.tokens import (
    USER,
    TokenRecord,
    find_live_token,
    list_tokens,
    put_token,
    revoke_token,
)


class PeopleTokens:
    """The tokens that an admin hands out; thread-safe.

    Parameters
    ----------
    access : Access
        Told at once what is revoked.
    now : callable
        Returns milliseconds UTC.
    """

    def __init__(self, store: MetadataStore, access: Access, now: Callable[[], int]) -> None:
        self._store = store
        self._access = access
        self._now = now

    def create(self, spec: TokenSpec, *, expires_at: int | None, by: str) -> tuple[Token, str]:
        """Make a token; return it and its secret, of which only a hash is kept.

        Parameters
        ----------
        expires_at : int, optional
            Milliseconds UTC, in the future.
        by : str
            The admin's name; whoever is refused by this token's role is told to ask them.

        Raises
        ------
        ConflictError
            If a live token, or the workspace's own, has the name.
        NotFoundError
            If there is no such experiment.
        """
        if expires_at is not None and expires_at <= self._now():
            raise UsageError("expires_at lies in the past", hint="Give a time to come, such as --expires 90d.")
        if spec.role == "admin" and spec.experiment is not None:
            raise UsageError("an admin cannot be limited to an experiment", hint="Give the role contributor or reader.")
        secret, token_id = new_token(os.urandom), new_token_id(os.urandom)

        def operation(connection: Connection) -> Token:
            self._refuse_taken(connection, spec.name)
            made = Token(
                id=token_id,
                name=spec.name,
                role=Role(spec.role),
                experiment_id=_experiment(connection, spec.experiment),
                created_at=self._now(),
                created_by=by,
                expires_at=expires_at,
            )
            put_token(
                connection,
                hash_token(secret),
                kind=USER,
                actor=made.name,
                role=made.role.value,
                experiment_id=made.experiment_id,
                attempt_id=None,
                now=made.created_at,
                expires_at=expires_at,
                token_id=token_id,
                created_by=by,
            )
            self._record(connection, by, "create", made)
            return made

        return self._store.write(operation), secret

    def list(self, *, after: str | None = None, limit: int = 100) -> list[Token]:
        """Return tokens by their ids, those that are revoked or expired too."""
        with self._store.read() as connection:
            return [_token(row) for row in list_tokens(connection, after=after, limit=limit)]

    def revoke(self, name: str, *, by: str) -> None:
        """End a token, named by name or id; once this returns it opens no door.

        Raises
        ------
        NotFoundError
            If no live token has this name or id.
        """

        def operation(connection: Connection) -> None:
            row = find_live_token(connection, name, now=self._now())
            if row is None:
                hint = "List them: penstock token list"
                raise NotFoundError(f'no live token "{name}"', hint=hint, ref=f"token:{name}")
            found = _token(row)
            self._access.forget(found.id)
            revoke_token(connection, found.id, now=self._now())
            self._record(connection, by, "revoke", found)

        self._store.write(operation)

    def _refuse_taken(self, connection: Connection, name: str) -> None:
        if name == self._access.owner:
            raise ConflictError(f'the workspace\'s own token has the name "{name}"', hint="Choose another name.")
        if find_live_token(connection, name, now=self._now()) is not None:
            hint = f"Choose another name, or end that one first: penstock token revoke {name}"
            raise ConflictError(f'a token named "{name}" exists', hint=hint, ref=f"token:{name}")

    def _record(self, connection: Connection, by: str, verb: str, token: Token) -> None:
        detail: dict[str, Any] = {"name": token.name, "role": token.role.value}
        detail |= {} if token.experiment_id is None else {"experiment_id": token.experiment_id}
        detail |= {} if token.expires_at is None else {"expires_at": _text(token.expires_at)}
        record_event(connection, by, verb, f"token:{token.id}", now=self._now(), detail=detail)


def _text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _experiment(connection: Connection, name: str | None) -> str | None:
    if name is None:
        return None
    found = experiments.find_experiment_by_name(connection, name)
    if found is None:
        raise NotFoundError(f'no experiment named "{name}"', hint="List them: penstock experiment list")
    return found.experiment_id


def _token(row: TokenRecord) -> Token:
    return Token(
        id=row.token_id or "",
        name=row.actor,
        role=Role(row.role),
        experiment_id=row.experiment_id,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
