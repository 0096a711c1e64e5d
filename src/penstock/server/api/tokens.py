"""``/api/v1/tokens``: make, list and revoke the tokens of people and services; for admins.

``POST`` knows no ``Idempotency-Key``: repeating its answer would need the secret to be kept.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response

from penstock.access.people import PeopleTokens
from penstock.entities.errors import Problem, SpecError
from penstock.entities.token import Token, TokenSpec
from penstock.rules.permissions import Action
from penstock.server.api import wire
from penstock.server.api.callers import Body, Caller, Limit, Next, Wired, read_entity
from penstock.server.openapi import describe, page_of, record, text
from penstock.server.services import Services

router = APIRouter(prefix="/tokens", tags=["workspace"])

_MADE = record(id=text(), name=text(), role=text(), secret=text("what opens doors; it is never shown again"))


@router.post(
    "",
    **describe(
        "Make a token", _MADE, takes=TokenSpec, status=201, fails=(400, 404, 409, 422), action=Action.TOKEN_CREATE
    ),
)
def create_token(services: Wired, actor: Caller, body: Body) -> Response:
    """Make a token; its secret is in this answer alone."""
    spec = read_entity(TokenSpec, body)
    made, secret = _tokens(services).create(spec, expires_at=read_time(spec.expires_at), by=actor.name)
    shown = {**wire.entity(made), "secret": secret}
    return wire.JsonResponse(shown, 201, headers={"cache-control": "no-store"})


@router.get("", **describe("List tokens", page_of(Token), fails=(400,), action=Action.TOKEN_READ))
def list_tokens(services: Wired, _: Caller, limit: Limit = 100, following: Next = None) -> Response:
    """List people's tokens without their secrets, those that are revoked or expired too."""
    found = _tokens(services).list(after=wire.read_next(following), limit=limit + 1)
    return wire.page(found, limit, wire.entity, lambda token: token.id)


@router.delete("/{name}", **describe("Revoke a token", status=204, fails=(404,), action=Action.TOKEN_REVOKE))
def revoke_token(services: Wired, actor: Caller, name: str) -> Response:
    """Revoke the live token of this name or id; from this answer on it opens no door."""
    _tokens(services).revoke(name, by=actor.name)
    return Response(None, 204)


def read_time(sent: str | None, pointer: str = "/expires_at") -> int | None:
    """Return an RFC 3339 time as milliseconds UTC.

    Raises
    ------
    SpecError
        If it is none, or has no time zone.
    """
    if sent is None:
        return None
    try:
        when = datetime.fromisoformat(sent)
    except ValueError as error:
        raise _no_time(sent, pointer) from error
    if when.tzinfo is None or "T" not in sent.upper():
        raise _no_time(sent, pointer)
    try:
        return round(when.astimezone(UTC).timestamp() * 1000)
    except OverflowError as error:
        raise _no_time(sent, pointer) from error


def _no_time(sent: str, pointer: str) -> SpecError:
    hint = "Write it like 2030-01-31T12:00:00Z."
    return SpecError([Problem(f'"{sent[:50]}" is no time with a zone', pointer, hint)])


def _tokens(services: Services) -> PeopleTokens:
    return PeopleTokens(services.store, services.access, services.now)
