"""Starting attempts: recorded first, then its environment, then its agent.

The attempt's row is there before anything runs, so a server killed in between finds it. What goes wrong before the
command runs ends the attempt with the reason in the job's log.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from penstock.access.tokens import Access
from penstock.compute.base import AgentHandle, ComputeBackend
from penstock.compute.environments.base import EnvironmentBackend, Prepared
from penstock.entities.asset import EnvironmentSpec
from penstock.entities.attempt import Attempt, AttemptState
from penstock.entities.errors import PenstockError
from penstock.entities.job import Job, JobStatus
from penstock.jobs.attempts import AttemptReports
from penstock.jobs.kinds import command
from penstock.jobs.logs import LiveLogs
from penstock.jobs.transitions import move
from penstock.jobs.watch import Feed
from penstock.rules.lifecycle import EndReason
from penstock.rules.names import hash_token
from penstock.stores.metadata import attempts, jobs, runs
from penstock.stores.metadata.base import MetadataStore

logger = logging.getLogger(__name__)

Fixed = Callable[[Job, Attempt, str, str, Prepared], Mapping[str, Any]]


class Starter:
    """Hands attempts over to agents; :meth:`begin` from one thread, the rest from any.

    Parameters
    ----------
    store : MetadataStore
        The record.
    compute : ComputeBackend
        Where agents run.
    environments : EnvironmentBackend
        Builds what commands run in.
    reports : AttemptReports
        Concludes attempts that could not be started.
    live_logs, feed, clock
        As for :class:`penstock.jobs.service.Jobs`.
    folder : Path
        ``jobs`` of the workspace.
    access : Access
        Issues the attempts' tokens.
    fixed : callable
        (job, attempt, token, experiment id, prepared) → what an assignment holds whatever the spec says.
    new_id : callable
        Returns 32 random hex digits.
    wake : callable
        Called when a start in the background has come to its end.
    """

    def __init__(
        self,
        store: MetadataStore,
        compute: ComputeBackend,
        environments: EnvironmentBackend,
        reports: AttemptReports,
        live_logs: LiveLogs,
        feed: Feed,
        *,
        clock: Callable[[], int],
        folder: Path,
        access: Access,
        fixed: Fixed,
        new_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._compute = compute
        self._environments = environments
        self._reports = reports
        self._logs = live_logs
        self._feed = feed
        self._clock = clock
        self._folder = folder
        self._access = access
        self._fixed = fixed
        self._new_id = new_id
        self._wake = wake
        self._starting: set[str] = set()
        self._stopping = False

    def is_starting(self, attempt_id: str) -> bool:
        """Return whether this process is on its way to hand the attempt over."""
        return attempt_id in self._starting

    def stop(self) -> None:
        """Let builds in progress end soon; their attempts stay recorded for the next server."""
        self._stopping = True

    def begin(self, job_name: str) -> None:
        """Record a new attempt and start it, here if its environment is at hand, else in a thread."""
        now = self._clock()
        attempt_id = self._new_id()
        preamble = self._logs.size(job_name)

        def operation(connection: Connection) -> tuple[Job, Attempt, str, str] | None:
            job = jobs.get_job(connection, job_name)
            if job.status is not JobStatus.QUEUED:
                return None
            run = runs.get_run(connection, job_name, details=False)
            token = self._access.issue_attempt_token(connection, attempt_id, job_name, run.experiment_id)
            attempt = Attempt(
                attempt_id=attempt_id,
                job_name=job_name,
                number=job.attempt + 1,
                state=AttemptState.STARTING,
                token_hash=hash_token(token),
                log_offset=preamble,
                created_at=now,
            )
            attempts.create_attempt(connection, attempt)
            job = move(connection, job, JobStatus.STARTING, now=now, attempt=attempt.number)
            return job, attempt, token, run.experiment_id

        self._starting.add(attempt_id)
        try:
            begun = self._store.write(operation)
        except BaseException:
            self._starting.discard(attempt_id)
            raise
        if begun is None:
            self._starting.discard(attempt_id)
            return
        job, attempt, token, experiment_id = begun
        try:
            with self._store.read() as connection:
                environment = command.resolve_environment(connection, job.spec.environment, [])
            prepared = self._environments.find(environment)
            if prepared is None:
                threading.Thread(
                    target=self._build_and_launch,
                    args=(job, attempt, token, experiment_id, environment),
                    name=f"environment-{job.name[:8]}",
                    daemon=True,
                ).start()
                return
            self._launch(job, attempt, token, experiment_id, prepared)
        except Exception as error:
            self._conclude_unprepared(attempt, error)
        self._starting.discard(attempt_id)

    def _build_and_launch(
        self, job: Job, attempt: Attempt, token: str, experiment_id: str, environment: EnvironmentSpec | None
    ) -> None:
        try:
            self._show_preparing(job.name)
            prepared = self._environments.prepare(
                environment,
                log=lambda line: self._say(job.name, line),
                should_stop=lambda: self._stopping or self._is_cancel_requested(job.name),
            )
            preamble = self._logs.size(job.name)
            attempt = self._store.write(
                lambda connection: attempts.update_attempt(connection, attempt.attempt_id, log_offset=preamble)
            )
            self._launch(job, attempt, token, experiment_id, prepared)
        except Exception as error:
            if not self._stopping:  # else the next server finds an attempt that nobody started, and starts it
                self._conclude_unprepared(attempt, error)
        finally:
            self._starting.discard(attempt.attempt_id)
            self._wake()

    def _conclude_unprepared(self, attempt: Attempt, error: Exception) -> None:
        """End an attempt whose command never ran, with the reason where people look for it."""
        if not isinstance(error, PenstockError):
            logger.error("an attempt could not be prepared", exc_info=error, extra={"run_id": attempt.job_name})
        if self._is_cancel_requested(attempt.job_name):
            self._reports.conclude(attempt.attempt_id, reason=EndReason.CANCELED)
            return
        message = error.message if isinstance(error, PenstockError) else f"{type(error).__name__}: {error}"
        self._say(attempt.job_name, f"penstock: {error}")
        self._reports.conclude(attempt.attempt_id, reason=EndReason.PREPARE_FAILED, message=message)

    def _launch(self, job: Job, attempt: Attempt, token: str, experiment_id: str, prepared: Prepared) -> None:
        folder = self._folder / job.name / str(attempt.number)
        if self._is_cancel_requested(job.name):
            self._reports.conclude(attempt.attempt_id, reason=EndReason.CANCELED)
            return
        fixed = self._fixed(job, attempt, token, experiment_id, prepared)
        with self._store.read() as connection:
            assignment = command.build_assignment(connection, job, attempt, folder, fixed)
        self.record_handle(attempt.attempt_id, self._compute.start(assignment))

    def record_handle(self, attempt_id: str, handle: AgentHandle) -> None:
        """Record which process has an attempt."""

        def operation(connection: Connection) -> None:
            attempts.update_attempt(
                connection,
                attempt_id,
                node=handle.node,
                pid=handle.pid,
                process_start=handle.process_start,
                boot_id=handle.boot_id,
            )

        self._store.write(operation)

    def _show_preparing(self, job_name: str) -> None:
        now = self._clock()

        def operation(connection: Connection) -> None:
            job = jobs.get_job(connection, job_name)
            if job.status is JobStatus.STARTING:
                move(connection, job, JobStatus.PREPARING, now=now)

        self._store.write(operation)
        self._feed.notify(f"job:{job_name}")

    def _is_cancel_requested(self, job_name: str) -> bool:
        with self._store.read() as connection:
            return jobs.get_job(connection, job_name).status is JobStatus.CANCEL_REQUESTED

    def _say(self, job_name: str, line: str) -> None:
        self._logs.say(job_name, line)
        self._feed.notify(f"job:{job_name}")
