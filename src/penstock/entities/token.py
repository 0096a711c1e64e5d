"""Tokens of people and services, and the roles they carry."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from penstock.entities.base import Entity, TimestampMs

TOKEN_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.@-]*$"
MAX_TOKEN_NAME = 64

TokenName = Annotated[str, Field(pattern=TOKEN_NAME_PATTERN, max_length=MAX_TOKEN_NAME)]


class Role(StrEnum):
    """What a token was made for; the last two are of Penstock's own processes."""

    READER = "reader"
    CONTRIBUTOR = "contributor"
    ADMIN = "admin"
    JOB = "job"
    INTERNAL = "internal"


PEOPLE = (Role.READER, Role.CONTRIBUTOR, Role.ADMIN)
"""The roles that people and services hold, each with everything the one before it may do."""


class TokenSpec(Entity):
    """A token to make: who will hold it, and what it allows.

    Parameters
    ----------
    name : str
        Stands in the audit log as the actor; one live token has it.
    experiment : str, optional
        The name of the one experiment it is limited to.
    expires_at : str, optional
        RFC 3339 with a time zone; without it the token lives until it is revoked.
    """

    name: TokenName
    role: Literal["reader", "contributor", "admin"]
    experiment: str | None = None
    expires_at: Annotated[str | None, WithJsonSchema({"type": "string", "format": "date-time"})] = None


class Token(Entity):
    """A token as it is listed: everything but its secret, which is shown once, when it is made."""

    id: str
    name: str
    role: Role
    experiment_id: str | None = None
    created_at: TimestampMs
    created_by: str
    expires_at: TimestampMs | None = None
    revoked_at: TimestampMs | None = None
