"""``ws.tokens``: tokens of people and services, for admins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from penstock.entities.errors import UsageError
from penstock.entities.token import Token
from penstock.rules.durations import time_of
from penstock.sdk.rest import Json, Rest
from penstock.sdk.wire import as_entity


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made; ``secret`` is shown here and nowhere again, also not by ``repr``."""

    token: Token
    secret: str = field(repr=False)


class TokensClient:
    """Make, list and revoke tokens.

    Examples
    --------
    >>> made = ws.tokens.create("ci", "contributor", expires="90d")  # doctest: +SKIP
    >>> made.secret  # doctest: +SKIP
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def create(
        self,
        name: str,
        role: str,
        *,
        expires: str | datetime | timedelta | None = None,
        experiment: str | None = None,
    ) -> NewToken:
        """Make a token and return it with its secret.

        Parameters
        ----------
        name : str
            Who will hold it; stands in the audit log.
        role : str
            ``reader``, ``contributor`` or ``admin``.
        expires : str, datetime or timedelta, optional
            When it ends: ``90d``, ``12h``, or an RFC 3339 time; never by default.
        experiment : str, optional
            The name of the one experiment it is limited to.

        Raises
        ------
        ConflictError
            If a live token has the name.
        """
        made = self._rest.create_token(token_spec(name, role, expires=expires, experiment=experiment))
        return NewToken(
            as_entity(Token, {key: value for key, value in made.items() if key != "secret"}), made["secret"]
        )

    def list(self, *, live_only: bool = False) -> Iterator[Token]:
        """Yield tokens without their secrets, those that are revoked or expired too unless ``live_only``."""
        for data in self._rest.list_tokens():
            if not (live_only and state_of(data) != "live"):
                yield as_entity(Token, data)

    def revoke(self, name: str) -> None:
        """End the live token of this name or id; from then on it opens no door.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        self._rest.revoke_token(name)


def token_spec(
    name: str,
    role: str,
    *,
    expires: str | datetime | timedelta | None = None,
    experiment: str | None = None,
) -> Json:
    """Return what the server takes to make a token."""
    said = {"name": name, "role": role, "experiment": experiment, "expires_at": _expiry(expires)}
    return {key: value for key, value in said.items() if value is not None}


def state_of(token: Json) -> str:
    """Return ``live``, ``revoked`` or ``expired`` for a token as the server shows it."""
    if token.get("revoked_at"):
        return "revoked"
    ends = token.get("expires_at")
    return "expired" if ends and datetime.fromisoformat(ends) <= datetime.now(UTC) else "live"


def _expiry(expires: str | datetime | timedelta | None) -> str | None:
    if expires is None:
        return None
    now = datetime.now(UTC)
    if isinstance(expires, str):
        expires = time_of(expires, "expires", now=now, is_past=False)
    when = now + expires if isinstance(expires, timedelta) else expires.astimezone(UTC)
    if when <= now:
        raise UsageError(f"expires lies in the past: {when:%Y-%m-%d %H:%M} UTC", hint="Give a time to come, or 90d.")
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")
