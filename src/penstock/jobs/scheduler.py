"""The loop that starts queued jobs and looks after running attempts: load → decide → apply.

It keeps nothing in memory that matters: killed between any two lines, the next start reads the record, finds
the agents that still run, ends what a lost one left behind and goes on.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from penstock.agent.removal import remove_tree
from penstock.compute.base import AgentHandle, ComputeBackend
from penstock.entities.attempt import Attempt
from penstock.entities.job import JobError, JobStatus
from penstock.jobs.attempts import ACTOR, AttemptReports
from penstock.jobs.starting import Starter
from penstock.jobs.transitions import move
from penstock.jobs.watch import Feed
from penstock.rules import lifecycle, scheduling
from penstock.rules.lifecycle import EndReason
from penstock.rules.scheduling import Action, AgentSight, Begin, End, SeenAttempt, Tell, Withdraw
from penstock.stores.metadata import attempts, events, jobs
from penstock.stores.metadata.base import MetadataStore

logger = logging.getLogger(__name__)

MAX_COLLECTIONS = 3
MAX_TROUBLES = 3


class Scheduler:
    """Starts attempts on one compute and watches them.

    Parameters
    ----------
    store : MetadataStore
        The record.
    compute : ComputeBackend
        Where agents run.
    starter : Starter
        Starts attempts.
    reports : AttemptReports
        Concludes attempts whose agent was lost.
    feed, clock
        As for :class:`penstock.jobs.service.Jobs`.
    slots : int
        Attempts at the same time.
    watch_interval_s : float
        Seconds between looks at running agents.
    folder, spool : Path
        ``jobs`` and ``spool`` of the workspace.
    """

    def __init__(
        self,
        store: MetadataStore,
        compute: ComputeBackend,
        starter: Starter,
        reports: AttemptReports,
        feed: Feed,
        *,
        clock: Callable[[], int],
        slots: int,
        watch_interval_s: float,
        folder: Path,
        spool: Path,
    ) -> None:
        self._store = store
        self._compute = compute
        self._starter = starter
        self._reports = reports
        self._feed = feed
        self._clock = clock
        self._slots = slots
        self._watch_interval_s = watch_interval_s
        self._folder = folder
        self._spool = spool
        self._wake = threading.Event()
        self._stopping = False
        self._told: set[str] = set()
        self._collections: Counter[str] = Counter()
        self._troubles: Counter[str] = Counter()
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
        self._starter.stop()
        self._wake.set()
        self._thread.join()

    def _loop(self) -> None:
        try:
            self._sweep()
        except Exception:
            logger.exception("what ended attempts left behind could not be removed")
        while not self._stopping:
            try:
                look_again = self._step()
            except Exception:
                logger.exception("a look at the jobs failed; it is tried again")
                look_again = True
            self._wake.wait(self._watch_interval_s if look_again else None)
            self._wake.clear()

    def _step(self) -> bool:
        """Load, decide, apply; return whether to look again without being woken."""
        with self._store.read() as connection:
            unfinished = jobs.list_unfinished_jobs(connection)
            live = attempts.list_live_attempts(connection)
        seen = {a.job_name: SeenAttempt(a, self._sight(a), a.attempt_id in self._told) for a in live}
        decision = scheduling.decide(unfinished, seen, slots=self._slots)
        for action in decision.actions:
            job_name = action.job_name if isinstance(action, Begin | End) else action.attempt.job_name
            try:
                self._apply(action)
                self._troubles.pop(job_name, None)
            except Exception as error:  # one job's trouble must not hold up the others
                logger.exception("%s failed", type(action).__name__, extra={"run_id": job_name})
                self._troubles[job_name] += 1
                if self._troubles[job_name] >= MAX_TROUBLES:
                    self._give_up(job_name, error)
        return decision.look_again

    def _sight(self, attempt: Attempt) -> AgentSight:
        if self._starter.is_starting(attempt.attempt_id):
            return AgentSight.STARTING
        if attempt.pid:
            return AgentSight.ALIVE if self._compute.is_alive(_handle_of(attempt)) else AgentSight.GONE
        spool = self._spool / attempt.attempt_id
        handle = self._compute.find(spool)
        if handle is not None:
            self._starter.record_handle(attempt.attempt_id, handle)
            return AgentSight.ALIVE
        return AgentSight.GONE if spool.exists() else AgentSight.UNSTARTED

    def _apply(self, action: Action) -> None:
        if isinstance(action, Begin):
            self._starter.begin(action.job_name)
        elif isinstance(action, End):
            self._end(action.job_name)
        elif isinstance(action, Tell):
            self._told.add(action.attempt.attempt_id)
            self._compute.cancel(_handle_of(action.attempt))
        elif isinstance(action, Withdraw):
            self._reports.conclude(action.attempt.attempt_id, reason=EndReason.NOT_STARTED)
        else:
            self._recover(action.attempt)

    def _recover(self, attempt: Attempt) -> None:
        """Let another agent deliver what one that is gone left behind; if that cannot be, end the attempt as lost."""
        with self._store.read() as connection:  # it may have finished between the two looks
            if attempts.get_attempt(connection, attempt.attempt_id).state.is_final:
                return
        ended = self._compute.kill_remains(attempt.attempt_id)
        spool = self._spool / attempt.attempt_id
        if self._collections[attempt.attempt_id] < MAX_COLLECTIONS:
            collector = self._compute.collect(spool)
            if collector is not None:
                self._collections[attempt.attempt_id] += 1
                facts = {"run_id": attempt.job_name, "ended_processes": ended}
                logger.warning("an agent was lost; collecting what it left", extra=facts)
                self._starter.record_handle(attempt.attempt_id, collector)
                return
        self._reports.conclude(attempt.attempt_id, reason=EndReason.LOST)
        remove_tree(str(self._folder / attempt.job_name / str(attempt.number)))
        remove_tree(str(spool))

    def _sweep(self) -> None:
        """Remove what ended attempts left behind because they were killed before they could."""
        with self._store.read() as connection:
            live = {attempt.attempt_id for attempt in attempts.list_live_attempts(connection)}
            unfinished = {job.name for job in jobs.list_unfinished_jobs(connection)}
        for root, kept in ((self._spool, live), (self._folder, unfinished)):
            for left in root.iterdir():
                if left.name not in kept:
                    remove_tree(str(left))
        self._reports.remove_collected_logs(unfinished)

    def _end(self, job_name: str) -> None:
        """Cancel a job that has no attempt."""
        now = self._clock()

        def operation(connection: Connection) -> None:
            move(connection, jobs.get_job(connection, job_name), JobStatus.CANCELED, now=now)
            events.append_event(connection, actor=ACTOR, verb="canceled", ref=f"job:{job_name}", detail={}, now=now)

        self._store.write(operation)
        self._tell_watchers(job_name)

    def _give_up(self, job_name: str, error: Exception) -> None:
        """Fail a job that the controller itself cannot handle, so that it does not stand in the way of others."""
        with self._store.read() as connection:
            live = [a for a in attempts.list_live_attempts(connection) if a.job_name == job_name]
        message = f"{type(error).__name__}: {error}"
        for attempt in live:
            self._reports.conclude(attempt.attempt_id, reason=EndReason.PREPARE_FAILED, message=message)
        now = self._clock()

        def operation(connection: Connection) -> None:
            job = jobs.get_job(connection, job_name)
            if lifecycle.is_terminal(job.status):
                return
            failure = JobError(code="InternalError", message=message)
            move(connection, job, JobStatus.FAILED, now=now, error=failure)
            detail = {"message": message}
            events.append_event(connection, actor=ACTOR, verb="failed", ref=f"job:{job_name}", detail=detail, now=now)

        self._store.write(operation)
        self._troubles.pop(job_name, None)
        self._tell_watchers(job_name)

    def _tell_watchers(self, job_name: str) -> None:
        self._feed.notify(f"job:{job_name}")
        self._feed.notify("jobs")


def _handle_of(attempt: Attempt) -> AgentHandle:
    return AgentHandle(attempt.node, attempt.pid, attempt.process_start, attempt.boot_id)
