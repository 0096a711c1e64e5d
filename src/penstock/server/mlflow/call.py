"""One request to the MLflow door: what was sent, who asks, and the two ways to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from anyio import to_thread
from msgspec import Raw
from sqlalchemy import Connection
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from penstock.access.actors import Actor, Role
from penstock.access.audit import record_event
from penstock.entities.errors import NotFoundError, UsageError
from penstock.entities.run import LifecycleStage, Metric
from penstock.entities.tags import CREATOR_TAG
from penstock.server.hanging_up import caller_of, unless_gone
from penstock.server.mlflow.limits import check_content_type, required
from penstock.server.mlflow.wire import StructT, read_body, read_query
from penstock.server.readers.answers import AnswerResponse
from penstock.server.readers.question import A, Question
from penstock.server.services import Services
from penstock.stores.metadata.run_log import RunRow, find_row, log_points
from penstock.stores.metadata.runs import find_tag

T = TypeVar("T")

PROMISED_MODEL = "x-penstock-model-id"
PROMISED_RUN = "x-penstock-run-id"
"""The header in which a job's relay names the run to create, so that one asked for twice is one run."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    services: Services
    actor: Actor
    request: Request

    async def read(self, kind: type[StructT]) -> StructT:
        """Return the message that was sent, from the body or, for a GET that has one, the query."""
        if self.request.method == "GET" and self.request.query_params:
            return read_query(kind, dict(self.request.query_params))
        if self.request.method == "POST":
            check_content_type(self.request.headers.get("content-type"))
        return read_body(kind, await _body(self.request))

    async def write(self, operation: Callable[[Connection], T]) -> T:
        """Run an operation on the writer and return its result once it is durable; the loop stays free."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[T] = loop.create_future()
        future = self.services.store.submit(operation)
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(_settle, answered, done))
        return await answered

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Run a question on a snapshot, in a thread."""

        def run() -> T:
            with self.services.store.read() as connection:
                return question(connection)

        return await to_thread.run_sync(run)

    async def answer(self, question: Question[A], argument: A) -> Raw | Response:
        """Return the finished JSON that a question gives; it is asked in a reader process where there is one."""
        readers = self.services.readers
        asking = readers.answer(question, argument, caller=caller_of(self.actor, self.request))
        answer = await unless_gone(self.request, asking)
        return AnswerResponse(answer) if answer.short is None else Raw(answer.short)

    async def log_point(self, run_id: str, metric: Metric) -> None:
        """Log one value to a run; raises as :meth:`check_run`."""

        def operation(connection: Connection) -> None:
            row = self.open_run(connection, run_id)
            log_points(connection, [(row, self.attempt(run_id), metric)])

        await self.write(operation)
        self.changed(run_id)

    def promised_model(self) -> str:
        """Return the id that a job chose for the logged model to create, as :meth:`promised_run`."""
        return self.request.headers.get(PROMISED_MODEL, "") if self.actor.role is Role.JOB else ""

    def record(self, connection: Connection, verb: str, ref: str, **detail: str) -> None:
        """Write the audit event of a change into its transaction."""
        record_event(connection, self.actor.name, verb, ref, now=self.now, detail=detail)

    def record_change(self, connection: Connection, verb: str, run_id: str, **detail: str) -> None:
        """Write the event of a change to a run; what a job does to its own runs is content and no event."""
        if self.actor.role is not Role.JOB:
            self.record(connection, verb, f"run:{run_id}", **detail)

    @property
    def now(self) -> int:
        """Return milliseconds UTC."""
        return self.services.now()

    def check_run(self, connection: Connection, run_id: str, *, is_write: bool = True) -> str:
        """Return the experiment of a run the caller may read, or write.

        Raises
        ------
        NotFoundError
            If there is no such run.
        ForbiddenError
            If the caller's token is limited to another experiment, or to read this run.
        UsageError
            If it is to be written and was deleted.
        """
        return str(self.open_run(connection, run_id, is_write=is_write).experiment)

    def open_run(self, connection: Connection, run_id: str, *, is_write: bool = True) -> RunRow:
        """Return the row of a run the caller may read, or write; raises as :meth:`check_run`."""
        required(run_id, "run_id")
        return self.check_row(connection, run_id, find_row(connection, run_id), is_write=is_write)

    def check_row(self, connection: Connection, run_id: str, row: RunRow | None, *, is_write: bool = True) -> RunRow:
        """Return a row that was found under an id, if the caller may read or write that run; raises as before."""
        if row is None:
            required(run_id, "run_id")
            raise _no_run(run_id)
        if not self.actor.sees_all:
            self.actor.check_experiment(str(row.experiment), _no_run(run_id))
        if is_write:
            self.check_owner(connection, run_id)
            if row.lifecycle_stage != LifecycleStage.ACTIVE:
                raise UsageError(
                    f"The run {run_id} must be in the 'active' state. Current state is {row.lifecycle_stage}."
                )
        return row

    def check_owner(self, connection: Connection, run_id: str) -> None:
        """Raise ForbiddenError if a job would change a run that is neither its own nor one that it created."""
        if self.actor.role is Role.JOB and run_id != self.actor.job_name:
            self.actor.check_creator(find_tag(connection, run_id, CREATOR_TAG), run_id)

    def promised_run(self) -> str:
        """Return the id that a job chose for the run to create, empty where the server chooses; not checked."""
        return self.request.headers.get(PROMISED_RUN, "") if self.actor.role is Role.JOB else ""

    def check_alive(self, connection: Connection) -> None:
        """Raise AuthenticationError if the caller's token has ended since the request began."""
        self.services.access.check_alive(connection, self.request.headers.get("authorization"))

    def attempt(self, run_id: str) -> int:
        """Return the attempt whose points these are: a job's own token, logging to the job's own run."""
        return self.actor.attempt if run_id == self.actor.job_name else 0

    def changed(self, run_id: str) -> None:
        """Wake those who follow the run."""
        self.services.feed.notify(f"job:{run_id}")


async def _body(request: Request) -> bytes:
    """Return a request's body, most of which come in one piece."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    pieces: list[bytes] = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _settle(answered: asyncio.Future[T], done: Future[T]) -> None:
    """Pass an outcome on; a third of what asyncio's own chain of futures costs."""
    if answered.done():  # nobody waits any more
        return
    error = done.exception()
    if error is None:
        answered.set_result(done.result())
    else:
        answered.set_exception(error)


def _no_run(run_id: str) -> NotFoundError:
    return NotFoundError(f"Run with id={run_id} not found.", ref=f"job:{run_id}")
