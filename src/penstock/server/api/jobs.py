"""``/api/v1/jobs``: submit, list, show, cancel, stream and read what a job logged."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from penstock.access.actors import Actor
from penstock.entities.errors import NotFoundError, UsageError
from penstock.entities.job import CommandJobSpec, Job, JobStatus
from penstock.jobs.reach import Reach
from penstock.jobs.service import DEFAULT_EXPERIMENT
from penstock.rules.permissions import Action
from penstock.rules.suggest import did_you_mean
from penstock.server.api import wire
from penstock.server.api.callers import (
    Body,
    Caller,
    Limit,
    Next,
    OnceKey,
    Wired,
    holder_of,
    is_known,
    read_entity,
)
from penstock.server.api.streams import stream_job
from penstock.server.idempotency import Keep
from penstock.server.openapi import array, describe, page_of, record, text
from penstock.server.services import Services
from penstock.stores.metadata import attempts as attempt_rows
from penstock.stores.metadata import experiments, runs
from penstock.stores.metadata.search.run_lookup import lookup_hint

router = APIRouter(prefix="/jobs", tags=["jobs"])

Offset = Annotated[int, Query(ge=0, description="byte of the log to begin at")]
_POINT = record(step={"type": "integer"}, timestamp=text(), value={"type": ["number", "string"]})


@router.post(
    "",
    **describe("Submit a job", Job, takes=CommandJobSpec, status=201, fails=(400, 409, 422), action=Action.JOB_SUBMIT),
)
def submit_job(
    request: Request,
    services: Wired,
    actor: Caller,
    body: Body,
    key: OnceKey = None,
) -> Response:
    """Record a job as queued. With an ``Idempotency-Key`` a repeated request gives the first one's job."""
    spec = read_entity(CommandJobSpec, body)
    check_experiment_name(services, actor, spec.experiment_name or DEFAULT_EXPERIMENT)
    reach = _reach_of(services, actor)

    def submit(keep: Keep) -> Job:
        return services.jobs.submit(spec, actor=actor.name, reach=reach, keep=keep)

    sent = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    reply = request.app.state.once.run(key, "POST jobs", actor, sent, submit, status=201)
    return wire.JsonResponse(reply.content, reply.status)


def _reach_of(services: Services, actor: Actor) -> Reach | None:
    """Return how far a limited token reaches; None for one that sees everything."""
    if actor.sees_all:
        return None
    brought, holder = services.attempts.brought, holder_of(actor)
    return Reach(actor.name, actor.experiment_id or "", lambda digest: brought.has(holder, digest))


@router.get("", **describe("List jobs, newest first", page_of(Job), fails=(400,), action=Action.JOB_LIST))
def list_jobs(
    services: Wired,
    actor: Caller,
    status: Annotated[list[str] | None, Query(description="only jobs in these states")] = None,
    experiment_name: Annotated[str | None, Query(description="only jobs of this experiment")] = None,
    limit: Limit = 50,
    following: Next = None,
) -> Response:
    """List jobs, newest first."""
    if not actor.sees_all:
        own = get_own_experiment(services, actor)
        experiment_name = own if experiment_name is None else experiment_name
        check_experiment_name(services, actor, experiment_name)
    jobs = services.jobs.list(
        statuses=_read_statuses(status),
        experiment_name=experiment_name,
        limit=limit + 1,
        after=wire.read_next(following),
    )
    return wire.page(jobs, limit, wire.entity, lambda job: job.name)


def _read_statuses(names: list[str] | None) -> list[JobStatus] | None:
    if not names:
        return None
    try:
        return [JobStatus(name) for joined in names for name in joined.split(",")]
    except ValueError as error:
        known = [status.value for status in JobStatus]
        wrong = next(name for joined in names for name in joined.split(",") if name not in known)
        hint = did_you_mean(wrong, known) or f"Known: {', '.join(known)}."
        raise UsageError(f'"{wrong}" is no state of a job', hint=hint) from error


@router.post("/{name}:cancel", **describe("Cancel a job", Job, status=202, fails=(404, 409), action=Action.JOB_CANCEL))
def cancel_job(services: Wired, actor: Caller, name: str) -> Response:
    """Ask a job to end: its whole process tree gets SIGTERM, then SIGKILL."""
    get_visible_job(services, actor, name)
    return wire.JsonResponse(wire.entity(services.jobs.cancel(name, actor=actor.name)), 202)


@router.get(
    "/{name}:stream",
    **describe(
        "Follow a job",
        text("events: status, log, metric, end"),
        media="text/event-stream",
        fails=(404,),
        action=Action.JOB_READ,
    ),
)
async def follow_job(
    request: Request,
    services: Wired,
    actor: Caller,
    name: str,
    log_offset: Offset = 0,
    metrics_after: Annotated[int, Query(ge=0, description="`id` of the last metric seen")] = 0,
) -> Response:
    """Send server-sent events until the job has ended; begin where the caller stopped.

    ``status`` {status, at} · ``log`` {offset, next, text} · ``metric`` {id, key, value, step, timestamp} ·
    ``end`` the job.
    """
    job = await to_thread.run_sync(get_visible_job, services, actor, name)
    events = stream_job(services, job.name, log_offset, metrics_after, partial(is_known, request, services))
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


@router.get("/{name}", **describe("Show a job", Job, fails=(400, 404), action=Action.JOB_READ))
def get_job(services: Wired, actor: Caller, name: str) -> Response:
    """Show a job by its name or a unique prefix of six or more characters."""
    return wire.JsonResponse(wire.entity(get_visible_job(services, actor, name)))


@router.get(
    "/{name}/log", **describe("Read a job's log", text(), media="text/plain", fails=(404,), action=Action.JOB_READ)
)
def read_log(services: Wired, actor: Caller, name: str, offset: Offset = 0) -> Response:
    """Return what the log holds now, from a byte on."""
    job = get_visible_job(services, actor, name)
    return StreamingResponse(_log_pieces(services, job.name, offset), media_type="text/plain; charset=utf-8")


def _log_pieces(services: Services, name: str, offset: int) -> Iterator[bytes]:
    while True:
        piece, offset = services.jobs.read_log(name, offset)
        if not piece:
            return
        yield piece


@router.get(
    "/{name}/metrics",
    **describe(
        "Show what a job logged",
        record(
            metrics={"type": "object", "additionalProperties": array(_POINT)},
            latest={"type": "object", "additionalProperties": {"type": ["number", "string"]}},
            params={"type": "object", "additionalProperties": text()},
        ),
        fails=(404,),
        action=Action.JOB_READ,
    ),
)
def get_metrics(services: Wired, actor: Caller, name: str) -> Response:
    """Return every metric's history, its latest value, and the parameters; also while the job runs."""
    job = get_visible_job(services, actor, name)
    with services.store.read() as connection:
        run = runs.get_run(connection, job.name)
        keys = [metric.key for metric in run.latest_metrics]
        history = {key: [wire.point(m) for m in runs.metric_history(connection, job.name, key)] for key in keys}
    latest = {metric.key: wire.number(metric.value) for metric in run.latest_metrics}
    return wire.JsonResponse({"metrics": history, "latest": latest, "params": run.params})


@router.get(
    "/{name}/attempts",
    **describe(
        "List a job's attempts",
        page_of(record(id=text(), number={"type": "integer"}, state=text())),
        action=Action.JOB_READ,
    ),
)
def list_attempts(services: Wired, actor: Caller, name: str) -> Response:
    """List the tries at running a job, oldest first."""
    job = get_visible_job(services, actor, name)
    with services.store.read() as connection:
        found = attempt_rows.list_attempts(connection, job.name)
    return wire.JsonResponse({"items": [wire.attempt(attempt) for attempt in found]})


def get_own_experiment(services: Services, actor: Actor) -> str:
    """Return the name of the one experiment the caller's token is limited to."""
    with services.store.read() as connection:
        return experiments.get_experiment(connection, actor.experiment_id or "").name


def check_experiment_name(services: Services, actor: Actor, name: str) -> None:
    """Raise ForbiddenError if the caller's token is limited to another experiment than the one of this name."""
    if actor.sees_all:
        return
    with services.store.read() as connection:
        found = experiments.find_experiment_by_name(connection, name)
    actor.check_experiment(found.experiment_id if found else "")


def get_visible_job(services: Services, actor: Actor, name: str) -> Job:
    """Return a job the caller may see.

    Raises
    ------
    NotFoundError
        If there is none, or the caller is a person whose token is limited to another experiment.
    ForbiddenError
        If the caller is a job of another experiment.
    """
    if actor.sees_all:
        return services.jobs.get(name)
    absent = NotFoundError(f'no job "{name[:300]}"', hint=lookup_hint(name, "job"), ref=f"job:{name[:300]}")
    try:
        job = services.jobs.get(name)
    except (NotFoundError, UsageError):  # which would say what else there is
        raise absent from None
    with services.store.read() as connection:
        run = runs.get_run(connection, job.name, details=False)
    actor.check_experiment(run.experiment_id, absent)
    return job
