"""What agents report: progress, what the command logged, and how it ended.

Reports may come twice, late, or after the server was away; each slice names the offset it starts at and is
applied once, in the same transaction that moves the offset.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import Connection

from penstock.access.tokens import Access
from penstock.entities.asset import TreeEntry
from penstock.entities.attempt import Attempt, AttemptState
from penstock.entities.errors import UsageError
from penstock.entities.job import Job, JobError, JobStatus
from penstock.jobs import logs
from penstock.jobs.brought import Brought
from penstock.jobs.outputs import outputs_of
from penstock.jobs.spooled import apply_lines
from penstock.jobs.transitions import move
from penstock.jobs.watch import Feed
from penstock.rules import artifact_paths, lifecycle
from penstock.rules.lifecycle import EndReason
from penstock.stores.blobs.base import BlobStore
from penstock.stores.metadata import artifacts, attempts, events, jobs
from penstock.stores.metadata.base import MetadataStore

REPORTED = frozenset({AttemptState.PREPARING, AttemptState.RUNNING, AttemptState.FINALIZING})
ENDS = {
    lifecycle.Complete: (AttemptState.SUCCEEDED, JobStatus.COMPLETED),
    lifecycle.Cancel: (AttemptState.CANCELED, JobStatus.CANCELED),
    lifecycle.Fail: (AttemptState.FAILED, JobStatus.FAILED),
    lifecycle.Retry: (AttemptState.LOST, JobStatus.QUEUED),
}
ACTOR = "system:jobs"
MAX_SIZE = 2**63
_DIGEST = re.compile(r"[0-9a-f]{64}")


class AttemptReports:
    """The agents' door.

    Attributes
    ----------
    brought : Brought
        What each attempt's token sent, noted by the doors that take content.

    Parameters
    ----------
    store, blobs
        Where rows and bytes live.
    live_logs : LiveLogs
        Where log slices go.
    feed : Feed
        Told of every change.
    access : Access
        Ends the attempts' tokens.
    clock : callable
        Returns milliseconds since 1970-01-01 UTC.
    wake : callable
        Called when a slot became free.
    max_attempts : int
        Tries per job.
    """

    def __init__(
        self,
        store: MetadataStore,
        blobs: BlobStore,
        live_logs: logs.LiveLogs,
        feed: Feed,
        access: Access,
        *,
        clock: Callable[[], int],
        wake: Callable[[], None],
        max_attempts: int,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._logs = live_logs
        self._feed = feed
        self._access = access
        self._clock = clock
        self._wake = wake
        self._max_attempts = max_attempts
        self.brought = Brought()

    def report(self, attempt_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Apply one report and answer what the server holds now.

        Returns
        -------
        dict
            ``cancel`` (the agent should end its command), ``log_next`` and ``events_next`` (bytes held), and
            ``left_out`` where logged lines of this report were, why.
        """
        with self._store.read() as connection:
            attempt = attempts.get_attempt(connection, attempt_id)
        if attempt.state.is_final:
            return {"cancel": True, "log_next": 1 << 62, "events_next": 1 << 62}
        log_next = self._append_log(attempt, payload.get("log"))
        slice_ = payload.get("events")
        state = AttemptState(payload["state"]) if payload.get("state") in REPORTED else attempt.state
        now = self._clock()

        left_out: list[str] = []

        def operation(connection: Connection) -> tuple[Attempt, Job]:
            left_out.clear()
            current = attempts.get_attempt(connection, attempt_id)
            job = jobs.get_job(connection, current.job_name)
            if current.state.is_final:
                return current, job
            changes: dict[str, Any] = {} if current.pid else _handle(payload.get("agent") or {})
            if slice_ and slice_["offset"] == current.spool_offset:
                left_out.extend(apply_lines(connection, current, slice_["lines"]))
                changes["spool_offset"] = slice_["next"]
            if state is not current.state:
                changes["state"] = state
                job = self._advance(connection, job, state, now)
            return (attempts.update_attempt(connection, attempt_id, **changes) if changes else current), job

        if slice_ or not attempt.pid or state is not attempt.state:
            attempt, job = self._store.write(operation)
        else:
            with self._store.read() as connection:
                job = jobs.get_job(connection, attempt.job_name)
        self._feed.notify(f"job:{attempt.job_name}")
        return {
            "cancel": job.status is JobStatus.CANCEL_REQUESTED or attempt.state.is_final,
            "log_next": log_next,
            "events_next": attempt.spool_offset,
            **({"left_out": left_out} if left_out else {}),
        }

    def finish(self, attempt_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Record how an attempt ended, with everything it left; idempotent.

        Returns
        -------
        dict
            ``done`` true, or false with what the agent must send first: ``missing`` digests, ``log_next``,
            ``events_next``.
        """
        answer = self.report(attempt_id, {key: payload[key] for key in ("log", "events") if key in payload})
        with self._store.read() as connection:
            attempt = attempts.get_attempt(connection, attempt_id)
        if attempt.state.is_final:
            return {"done": True, **answer, "missing": []}
        files = _entries(payload.get("artifacts", []))
        sent = payload.get("outputs", {})
        if not isinstance(sent, dict):
            raise UsageError("outputs must be an object")
        outputs = {name: _entries(items) for name, items in sent.items()}
        wanted = [e.digest for e in (*files, *(e for items in outputs.values() for e in items))]
        missing = self.missing(attempt, wanted)
        behind = any(part in payload and payload[part]["next"] > answer[f"{part}_next"] for part in ("log", "events"))
        # What was left out is said in the log, so the log is not at its end.
        if missing or behind or "left_out" in answer:
            return {"done": False, **answer, "missing": missing}
        files = self._sized(files) + self._collect_build_log(attempt)
        self.conclude(
            attempt_id,
            reason=payload.get("reason", "exited"),
            exit_code=payload.get("exit_code"),
            message=payload.get("message", ""),
            files=files,
            outputs={name: self._sized(items) for name, items in outputs.items()},
            started_at=payload.get("started_at"),
            agent_cpu_s=payload.get("agent_cpu_s"),
        )
        return {"done": True, **answer, "missing": []}

    def keep_artifacts(self, attempt_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Show files among the run's artifacts while its command runs; the end's collection has them again.

        Returns
        -------
        dict
            ``missing`` digests; while there are any, nothing is shown.
        """
        files = _entries(payload.get("artifacts", []))
        with self._store.read() as connection:
            attempt = attempts.get_attempt(connection, attempt_id)
        missing = self.missing(attempt, [entry.digest for entry in files])
        if missing:
            return {"missing": missing}
        files = self._sized(files)
        now = self._clock()

        def operation(connection: Connection) -> str:
            attempt = attempts.get_attempt(connection, attempt_id)
            if not attempt.state.is_final:
                artifacts.put_artifacts(connection, attempt.job_name, files, now=now)
            return attempt.job_name

        self._feed.notify(f"job:{self._store.write(operation)}")
        return {"missing": []}

    def missing(self, attempt: Attempt, digests: Collection[str]) -> list[str]:
        """Return those of the digests whose content the attempt must send before it may name them, each once.

        It may name what it sent and what its run names already; what others stored is no less missing for it.
        """
        unknown = {digest for digest in digests if not self.brought.has(attempt.attempt_id, digest)}
        if unknown:
            with self._store.read() as connection:
                unknown -= artifacts.digests_of_run(connection, attempt.job_name)
        gone = set(self._blobs.missing([digest for digest in digests if digest not in unknown]))
        return [digest for digest in dict.fromkeys(digests) if digest in unknown or digest in gone]

    def _sized(self, entries: Iterable[TreeEntry]) -> list[TreeEntry]:
        """Return entries with the sizes that the stored contents have, whatever an agent says."""
        return [entry.model_copy(update={"size": self._blobs.size(entry.digest)}) for entry in entries]

    def conclude(
        self,
        attempt_id: str,
        *,
        reason: str,
        exit_code: int | None = None,
        message: str = "",
        files: Iterable[TreeEntry] = (),
        outputs: dict[str, list[TreeEntry]] | None = None,
        started_at: int | None = None,
        agent_cpu_s: float | None = None,
    ) -> Job:
        """End an attempt and decide what becomes of its job; idempotent.

        Called for an agent's finish and, with reason ``lost``, when an agent is gone. ``started_at`` (ms) is
        taken for a command so short that no report said it was running; ``agent_cpu_s``, what the agent itself
        computed, stands in the event.
        """
        now = self._clock()
        files = list(files)
        collected = outputs or {}
        retries: list[str] = []

        def operation(connection: Connection) -> Job:
            attempt = attempts.get_attempt(connection, attempt_id)
            job = jobs.get_job(connection, attempt.job_name)
            if attempt.state.is_final:
                return job
            action = lifecycle.after_attempt(
                reason,
                exit_code=exit_code,
                message=message,
                attempt=1 + _count_lost(connection, attempt),
                max_attempts=self._max_attempts,
                cancel_requested=job.status is JobStatus.CANCEL_REQUESTED,
            )
            state, status = ENDS[type(action)]
            attempts.update_attempt(
                connection, attempt_id, state=state, exit_code=exit_code, reason=reason, ended_at=now
            )
            self._access.revoke(connection, attempt_id)
            detail: dict[str, Any] = {"attempt": attempt.number, "reason": reason, "exit_code": exit_code}
            if agent_cpu_s is not None:
                detail["agent_cpu_s"] = agent_cpu_s
            if isinstance(action, lifecycle.Retry):
                retries.append(action.message)
                events.append_event(
                    connection, actor=ACTOR, verb="retry", ref=f"job:{job.name}", detail=detail, now=now
                )
                return move(connection, job, status, now=now)
            error = None
            if not isinstance(action, lifecycle.Complete) and action.code:
                error = JobError(
                    code=action.code, message=action.message, exit_code=exit_code, log_tail=self._logs.tail(job.name)
                )
            events.append_event(
                connection, actor=ACTOR, verb=status.value.lower(), ref=f"job:{job.name}", detail=detail, now=now
            )
            kept = outputs_of(connection, job, files, collected, now=now, register=status is JobStatus.COMPLETED)
            return move(
                connection,
                job,
                status,
                now=now,
                started_at=job.started_at or started_at,
                error=error,
                outputs=kept.outputs,
                warnings=(*job.warnings, *kept.warnings),
            )

        job = self._store.write(operation)
        self.brought.forget(attempt_id)
        if lifecycle.is_terminal(job.status):
            self._remove_live_log(job.name)
        elif retries:
            self._logs.say(job.name, f"penstock: {retries[0]}")
        self._feed.notify(f"job:{job.name}")
        self._feed.notify("jobs")
        self._wake()
        return job

    def _append_log(self, attempt: Attempt, slice_: dict[str, Any] | None) -> int:
        start = attempt.log_offset
        if not slice_:
            return max(0, self._logs.size(attempt.job_name) - start)
        content = slice_["text"].encode("utf-8", "surrogateescape")
        if len(content) != slice_["next"] - slice_["offset"]:
            raise UsageError("log slice: next is not offset plus the text's length in bytes")
        return max(0, self._logs.append(attempt.job_name, start + slice_["offset"], content) - start)

    def _advance(self, connection: Connection, job: Job, state: AttemptState, now: int) -> Job:
        status = lifecycle.status_of_attempt(state, job.status)
        if status is job.status or not lifecycle.may_become(job.status, status):
            return job
        started = {"started_at": job.started_at or now} if status is JobStatus.RUNNING else {}
        return move(connection, job, status, now=now, **started)

    def _collect_build_log(self, attempt: Attempt) -> list[TreeEntry]:
        if not attempt.log_offset:
            return []
        content = self._logs.read(attempt.job_name, 0, attempt.log_offset)
        digest, size = self._blobs.put(content)
        return [TreeEntry(path=logs.BUILD_LOG_ARTIFACT, digest=digest, size=size)]

    def remove_collected_logs(self, unfinished: Collection[str]) -> None:
        """Remove live logs that are artifacts already; a server killed between the two left them."""
        for job_name in self._logs.names():
            if job_name not in unfinished:
                self._remove_live_log(job_name)

    def _remove_live_log(self, job_name: str) -> None:
        with self._store.read() as connection:
            if artifacts.find_artifact(connection, job_name, logs.STD_LOG_ARTIFACT) is not None:
                self._logs.remove(job_name)


def _count_lost(connection: Connection, attempt: Attempt) -> int:
    """Return how many earlier attempts of the job were lost; one that never started is no try."""
    return sum(
        earlier.state is AttemptState.LOST and earlier.reason != EndReason.NOT_STARTED
        for earlier in attempts.list_attempts(connection, attempt.job_name)
        if earlier.number < attempt.number
    )


def _handle(agent: dict[str, Any]) -> dict[str, Any]:
    """Return an attempt's columns for the process that says it runs it, where the start could not record it."""
    return {key: agent[key] for key in ("pid", "process_start", "boot_id") if key in agent}


def _entries(items: Any) -> list[TreeEntry]:
    """Return the files that an agent names; raises UsageError and InvalidPathError for what can be none."""
    if not isinstance(items, list):
        raise UsageError("files are named in a list")
    return [_entry(item) for item in items]


def _entry(item: Any) -> TreeEntry:
    if not isinstance(item, dict) or not isinstance(item.get("path"), str):
        raise UsageError("a file is an object with a path")
    artifact_paths.check_path(item["path"])
    digest, size = check_content(item)
    return TreeEntry(path=item["path"], digest=digest, size=size, executable=item.get("executable") is True)


def check_content(item: dict[str, Any]) -> tuple[str, int]:
    """Return the digest and size that an agent names.

    Raises
    ------
    UsageError
        If they cannot be those of any content.
    """
    digest, size = item.get("digest"), item.get("size")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise UsageError("a file's digest is a SHA-256 of 64 hex digits")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < MAX_SIZE:
        raise UsageError("a file's size is a number of bytes")
    return digest, size
