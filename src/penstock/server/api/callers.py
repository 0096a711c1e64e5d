"""What every route begins with: the services, who asks, and what was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, TypeVar, cast

import msgspec
from fastapi import Depends, Header, Query, Request
from pydantic import BaseModel
from sqlalchemy import Connection

from penstock.access.actors import Actor
from penstock.entities.errors import AuthenticationError, SpecError, UsageError
from penstock.entities.run import Run
from penstock.rules.permissions import Action, allows, default_action
from penstock.rules.validation import check_entity
from penstock.server.openapi import ACTION
from penstock.server.services import Services
from penstock.stores.metadata import runs
from penstock.stores.metadata.run_log import unknown_run

ModelT = TypeVar("ModelT", bound=BaseModel)
MAX_PAGE = 1000


async def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


async def _caller(request: Request) -> Actor:
    return cast(Actor, request.state.actor)


async def check_action(request: Request) -> None:
    """Raise ForbiddenError unless the caller's role allows what this door does; every door begins with it.

    A door that names no action is judged by its method and closed to jobs and to Penstock's own processes: one
    that was forgotten is refused rather than open.
    """
    described = getattr(request.scope.get("route"), "openapi_extra", None) or {}
    if described.get("security") == []:
        return
    named = described.get(ACTION)
    action = Action(named) if named else default_action(request.method)
    cast(Actor, request.state.actor).check(action)


async def _body(request: Request) -> bytes:
    return await request.body()


Wired = Annotated[Services, Depends(_services)]
Caller = Annotated[Actor, Depends(_caller)]
Body = Annotated[bytes, Depends(_body)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="how many items a page has at most")]
Next = Annotated[str | None, Query(alias="next", description="`next` of the page before")]
OnceKey = Annotated[str | None, Header(alias="Idempotency-Key")]


def is_known(request: Request, services: Services) -> bool:
    """Return whether the caller's token still lives: a revoked one ends the streams it opened."""
    try:
        services.access.authenticate(request.headers.get("authorization"))
    except AuthenticationError:
        return False
    return True


def check_alive(request: Request, services: Services) -> None:
    """Raise AuthenticationError if the caller's token has ended since the request began."""
    with services.store.read() as connection:
        services.access.check_alive(connection, request.headers.get("authorization"))


def holder_of(actor: Actor) -> str:
    """Return under which name it is remembered what a caller brings; empty for one who may read all content."""
    if allows(actor.role, Action.CONTENT_READ, is_limited=actor.experiment_id is not None):
        return ""
    return actor.attempt_id or actor.token_id or actor.name


def read_entity(model: type[ModelT], body: bytes) -> ModelT:
    """Return the entity that a JSON body describes.

    Raises
    ------
    UsageError
        If the body is no JSON.
    SpecError
        If it does not fit; every problem has a pointer.
    """
    try:
        entity, findings = check_entity(model, msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the body is no valid JSON: {error}") from error
    except RecursionError as error:
        raise UsageError("the body's JSON is nested too deeply") from error
    if entity is None:  # a pointer leads to the unknown key itself, which people see in the message already
        raise SpecError([replace(finding.problem, pointer=finding.at) for finding in findings])
    return entity


def check_name(in_path: str, in_body: str, what: str) -> None:
    """Raise UsageError when the path and the body name different things."""
    if in_path != in_body:
        raise UsageError(f'the path names {what} "{in_path}", the body "{in_body}"')


def get_visible_run(connection: Connection, actor: Actor, run_id: str) -> Run:
    """Return a run the caller may see.

    Raises
    ------
    NotFoundError
        If there is none, or the caller is a person whose token is limited to another experiment.
    ForbiddenError
        If the caller is a job of another experiment.
    """
    run = runs.get_run(connection, run_id)
    actor.check_experiment(run.experiment_id, unknown_run(run_id))
    return run
