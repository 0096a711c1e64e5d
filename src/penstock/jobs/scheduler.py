"""The loop that starts queued jobs and looks after running attempts: load → decide → apply.

It keeps nothing in memory that matters: killed between any two lines, the next start reads the record, finds
the agents that still run, ends what a lost one left behind and goes on.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from penstock.access.tokens import Access
from penstock.compute.base import AgentHandle, ComputeBackend
from penstock.compute.environments.base import EnvironmentBackend, Prepared
from penstock.entities.attempt import Attempt, AttemptState
from penstock.entities.errors import PenstockError
from penstock.entities.job import Job, JobStatus
from penstock.entities.run import RunStatus
from penstock.jobs.attempts import AttemptReports
from penstock.jobs.kinds import command
from penstock.jobs.logs import LiveLogs
from penstock.jobs.watch import Feed
from penstock.rules import placement
from penstock.rules.lifecycle import EndReason
from penstock.rules.names import hash_token
from penstock.stores.metadata import attempts, jobs, runs
from penstock.stores.metadata.base import MetadataStore

logger = logging.getLogger(__name__)

Fixed = Callable[[Job, Attempt, str, str, Prepared], Mapping[str, Any]]


class Scheduler:
    """Starts attempts on one compute and watches them.

    Parameters
    ----------
    store : MetadataStore
        The record.
    compute : ComputeBackend
        Where agents run.
    environments : EnvironmentBackend
        Builds what commands run in.
    reports : AttemptReports
        Concludes attempts whose agent was lost.
    live_logs, feed, clock
        As for :class:`penstock.jobs.service.Jobs`.
    slots : int
        Attempts at the same time.
    watch_interval_s : float
        Seconds between looks at running agents.
    folder, spool : Path
        ``jobs`` and ``spool`` of the workspace.
    access : Access
        Issues the attempts' tokens.
    fixed : callable
        (job, attempt, token, experiment id, prepared) → what an assignment holds whatever the spec says.
    new_id : callable
        Returns 32 random hex digits.
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
        slots: int,
        watch_interval_s: float,
        folder: Path,
        spool: Path,
        access: Access,
        fixed: Fixed,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._compute = compute
        self._environments = environments
        self._reports = reports
        self._logs = live_logs
        self._feed = feed
        self._clock = clock
        self._slots = slots
        self._watch_interval_s = watch_interval_s
        self._folder = folder
        self._spool = spool
        self._fixed = fixed
        self._access = access
        self._new_id = new_id
        self._wake = threading.Event()
        self._stopping = False
        self._building: dict[str, threading.Thread] = {}
        self._canceled: set[str] = set()
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self) -> None:
        """Start the loop."""
        self._thread.start()

    def wake(self) -> None:
        """Make the loop look at once; from any thread."""
        self._wake.set()

    def stop(self) -> None:
        """End the loop; running agents are left alone."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _loop(self) -> None:
        try:
            self._adopt()
        except Exception:
            logger.exception("running attempts could not be taken over")
        while not self._stopping:
            try:
                has_work = self._step()
            except Exception:
                logger.exception("a scheduling step failed; it is tried again")
                has_work = True
            self._wake.wait(self._watch_interval_s if has_work else None)
            self._wake.clear()

    def _step(self) -> bool:
        with self._store.read() as connection:
            unfinished = jobs.list_unfinished_jobs(connection)
            live = attempts.list_live_attempts(connection)
        by_job = {attempt.job_name: attempt for attempt in live}
        for job in unfinished:
            attempt = by_job.get(job.name)
            if attempt is not None:
                self._look_after(job, attempt)
            elif job.status is JobStatus.CANCEL_REQUESTED:
                self._end_canceled(job)
        waiting = [
            placement.Waiting(job.name, job.created_at)
            for job in unfinished
            if job.status is JobStatus.QUEUED and job.name not in by_job
        ]
        for name in placement.place(waiting, free=self._slots - len(live), total=self._slots):
            self._begin(name)
        return bool(live or self._building)

    def _begin(self, job_name: str) -> None:
        """Record a new attempt and start it, here if its environment is at hand, else in a thread."""
        now = self._clock()
        attempt_id = self._new_id()
        preamble = self._logs.size(job_name)

        def operation(connection: Connection) -> tuple[Job, Attempt, str, str] | None:
            job = jobs.get_job(connection, job_name)
            if job.status is not JobStatus.QUEUED:
                return None
            run = runs.get_run(connection, job_name)
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
            job = jobs.update_job(connection, job_name, status=JobStatus.STARTING, attempt=attempt.number)
            return job, attempt, token, run.experiment_id

        begun = self._store.write(operation)
        if begun is None:
            return
        job, attempt, token, experiment_id = begun
        with self._store.read() as connection:
            environment = command.resolve_environment(connection, job.spec.environment, [])
        prepared = self._environments.find(environment)
        if prepared is not None:
            self._launch(job, attempt, token, experiment_id, prepared)
            return
        thread = threading.Thread(
            target=self._build_and_launch,
            args=(job, attempt, token, experiment_id, environment),
            name=f"environment-{job.name[:8]}",
            daemon=True,
        )
        self._building[attempt.attempt_id] = thread
        thread.start()

    def _build_and_launch(self, job: Job, attempt: Attempt, token: str, experiment_id: str, environment: Any) -> None:
        try:
            self._set_status(job.name, JobStatus.PREPARING)
            prepared = self._environments.prepare(environment, log=lambda line: self._say(job.name, line))
        except PenstockError as error:
            self._say(job.name, str(error))
            self._reports.conclude(attempt.attempt_id, reason=EndReason.PREPARE_FAILED, message=error.message)
            return
        except Exception as error:
            logger.exception("an environment could not be built", extra={"run_id": job.name})
            self._reports.conclude(attempt.attempt_id, reason=EndReason.PREPARE_FAILED, message=str(error))
            return
        finally:
            self._building.pop(attempt.attempt_id, None)
        preamble = self._logs.size(job.name)
        attempt = self._store.write(
            lambda connection: attempts.update_attempt(connection, attempt.attempt_id, log_offset=preamble)
        )
        self._launch(job, attempt, token, experiment_id, prepared)

    def _launch(self, job: Job, attempt: Attempt, token: str, experiment_id: str, prepared: Prepared) -> None:
        folder = self._folder / job.name / str(attempt.number)
        try:
            with self._store.read() as connection:
                if jobs.get_job(connection, job.name).status is JobStatus.CANCEL_REQUESTED:
                    self._reports.conclude(attempt.attempt_id, reason=EndReason.CANCELED)
                    return
                fixed = self._fixed(job, attempt, token, experiment_id, prepared)
                assignment = command.build_assignment(connection, job, attempt, folder, fixed)
            handle = self._compute.start(assignment)
        except PenstockError as error:
            logger.warning("an attempt could not be started: %s", error, extra={"run_id": job.name})
            self._reports.conclude(attempt.attempt_id, reason=EndReason.PREPARE_FAILED, message=error.message)
            return
        self._store.write(lambda connection: self._record_handle(connection, attempt.attempt_id, handle))

    @staticmethod
    def _record_handle(connection: Connection, attempt_id: str, handle: AgentHandle) -> None:
        attempts.update_attempt(
            connection,
            attempt_id,
            node=handle.node,
            pid=handle.pid,
            process_start=handle.process_start,
            boot_id=handle.boot_id,
        )

    def _look_after(self, job: Job, attempt: Attempt) -> None:
        if attempt.attempt_id in self._building or not attempt.pid:
            return
        handle = AgentHandle(attempt.node, attempt.pid, attempt.process_start, attempt.boot_id)
        if self._compute.is_alive(handle):
            if job.status is JobStatus.CANCEL_REQUESTED and attempt.attempt_id not in self._canceled:
                self._canceled.add(attempt.attempt_id)
                self._compute.cancel(handle)
            return
        self._canceled.discard(attempt.attempt_id)
        self._recover(job, attempt)

    def _recover(self, job: Job, attempt: Attempt) -> None:
        """Go on after an agent that is gone: collect what it recorded, else conclude it as lost."""
        with self._store.read() as connection:  # it may have finished between the two looks
            if attempts.get_attempt(connection, attempt.attempt_id).state.is_final:
                return
        spool = self._spool / attempt.attempt_id
        collector = self._compute.collect(spool)
        if collector is not None:
            logger.info("collecting what a lost agent recorded", extra={"run_id": job.name})
            self._store.write(lambda connection: self._record_handle(connection, attempt.attempt_id, collector))
            return
        ended = self._compute.kill_remains(attempt.attempt_id)
        logger.warning("an agent was lost; %d of its processes ended", ended, extra={"run_id": job.name})
        self._reports.conclude(attempt.attempt_id, reason=EndReason.LOST)
        shutil.rmtree(self._folder / job.name / str(attempt.number), ignore_errors=True)
        shutil.rmtree(spool, ignore_errors=True)

    def _adopt(self) -> None:
        """At start: attempts whose handle was never recorded are known by what their agent wrote, or lost."""
        with self._store.read() as connection:
            live = attempts.list_live_attempts(connection)
            unfinished = {job.name: job for job in jobs.list_unfinished_jobs(connection)}
        for attempt in live:
            if attempt.pid or attempt.job_name not in unfinished:
                continue
            handle = self._compute.find(self._spool / attempt.attempt_id)
            if handle is not None:
                self._store.write(partial(self._record_handle, attempt_id=attempt.attempt_id, handle=handle))
            else:
                self._recover(unfinished[attempt.job_name], attempt)
        self._sweep(spools={attempt.attempt_id for attempt in live}, folders=set(unfinished))

    def _sweep(self, spools: set[str], folders: set[str]) -> None:
        """Remove what ended attempts left behind because they were killed before they could."""
        for root, kept in ((self._spool, spools), (self._folder, folders)):
            for left in root.iterdir():
                if left.name not in kept:
                    shutil.rmtree(left, ignore_errors=True)

    def _end_canceled(self, job: Job) -> None:
        now = self._clock()

        def operation(connection: Connection) -> None:
            runs.update_run(connection, job.name, status=RunStatus.KILLED, end_time=now)
            jobs.update_job(connection, job.name, status=JobStatus.CANCELED, ended_at=now)

        self._store.write(operation)
        self._feed.notify(f"job:{job.name}")

    def _set_status(self, job_name: str, status: JobStatus) -> None:
        self._store.write(lambda connection: jobs.update_job(connection, job_name, status=status))
        self._feed.notify(f"job:{job_name}")

    def _say(self, job_name: str, line: str) -> None:
        self._logs.say(job_name, line)
        self._feed.notify(f"job:{job_name}")
