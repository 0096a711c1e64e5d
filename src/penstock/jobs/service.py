"""What the doors ask of jobs: submit, get, list, cancel, read the log.

Nothing here starts a process; the scheduler does, woken by ``wake``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from penstock.entities.errors import ConflictError, NotFoundError, UsageError
from penstock.entities.job import CommandJobSpec, Job, JobStatus
from penstock.entities.run import Experiment, RunStatus
from penstock.entities.tags import SOURCE_NAME_TAG, SOURCE_TYPE_TAG, USER_TAG
from penstock.jobs import logs
from penstock.jobs.kinds import command
from penstock.jobs.reach import Reach
from penstock.jobs.transitions import move
from penstock.jobs.watch import Feed
from penstock.rules import lifecycle, names
from penstock.rules.suggest import did_you_mean
from penstock.stores.blobs.base import BlobStore
from penstock.stores.metadata import artifacts, events, experiments, jobs, runs
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.search.run_lookup import SHORTEST_PREFIX, lookup_hint

DEFAULT_EXPERIMENT = "Default"
MOST_COMPARED = 1000


class Jobs:
    """The workspace's jobs, as the doors see them.

    Parameters
    ----------
    store, blobs
        Where rows and bytes live.
    live_logs : LiveLogs
        The logs of jobs that have not ended.
    feed : Feed
        Told of every change.
    clock : callable
        Returns milliseconds since 1970-01-01 UTC.
    wake : callable
        Called after a change the scheduler should look at.
    new_id : callable
        Returns 32 random hex digits.
    """

    def __init__(
        self,
        store: MetadataStore,
        blobs: BlobStore,
        live_logs: logs.LiveLogs,
        feed: Feed,
        *,
        clock: Callable[[], int],
        wake: Callable[[], None],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._logs = live_logs
        self._feed = feed
        self._clock = clock
        self._wake = wake
        self._new_id = new_id

    def submit(
        self,
        spec: CommandJobSpec,
        *,
        actor: str,
        reach: Reach | None = None,
        keep: Callable[[Connection, Job], None] | None = None,
    ) -> Job:
        """Record a job as queued and return it; ``keep`` is called with it in the same transaction.

        Parameters
        ----------
        reach : Reach, optional
            How far the submitter's token reaches, where it is limited.

        Raises
        ------
        SpecError
            If the spec names something that does not exist; lists all problems.
        ForbiddenError
            If it names something that the submitter may not give a job.
        ConflictError
            If a run of that name exists.
        """
        now = self._clock()
        name = spec.name or self._new_id()

        def operation(connection: Connection) -> Job:
            checked = command.check(connection, spec, reach)
            if runs.find_run(connection, name) is not None:
                raise ConflictError(
                    f'a job named "{name}" exists already',
                    hint="Choose another name, or leave it out.",
                    ref=f"job:{name}",
                )
            experiment = _ensure_experiment(connection, spec.experiment_name or DEFAULT_EXPERIMENT, actor, now)
            display_name = spec.display_name or names.new_display_name(os.urandom)
            tags = {
                **spec.tags,
                USER_TAG: actor,
                SOURCE_TYPE_TAG: "JOB",
                SOURCE_NAME_TAG: spec.command[:500],
            }
            runs.create_run(
                connection,
                run_id=name,
                experiment_id=experiment.experiment_id,
                run_name=display_name,
                user_id=actor,
                status=RunStatus.SCHEDULED,
                start_time=now,
                tags=tags,
            )
            job = Job(
                name=name,
                display_name=display_name,
                experiment_name=experiment.name,
                status=JobStatus.QUEUED,
                spec=checked.spec,
                tags=spec.tags,
                created_at=now,
                created_by=actor,
                compute=command.LOCAL_COMPUTE,
                warnings=checked.warnings,
            )
            jobs.create_job(connection, job)
            detail = {"experiment": experiment.name, "display_name": display_name}
            events.append_event(connection, actor=actor, verb="submit", ref=f"job:{name}", detail=detail, now=now)
            if keep is not None:
                keep(connection, job)
            return job

        job = self._store.write(operation)
        self._wake()
        self._feed.notify("jobs")
        return job

    def get(self, reference: str) -> Job:
        """Return a job by its name or a unique prefix of at least six characters.

        Raises
        ------
        NotFoundError
            If there is none.
        UsageError
            If the prefix is not unique.
        """
        with self._store.read() as connection:
            return find_job(connection, reference)

    def list(
        self,
        *,
        statuses: Sequence[JobStatus] | None = None,
        experiment_name: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> list[Job]:
        """Return jobs, newest first.

        Raises
        ------
        UsageError
            If no experiment has that name or id.
        """
        with self._store.read() as connection:
            if experiment_name is not None:
                experiment_name = _find_experiment(connection, experiment_name)
            return jobs.list_jobs(
                connection, statuses=statuses, experiment_name=experiment_name, limit=limit, after=after
            )

    def cancel(self, reference: str, *, actor: str) -> Job:
        """Ask a job to end; a queued one ends at once. Idempotent while it is ending.

        Raises
        ------
        ConflictError
            If it has ended already.
        """
        now = self._clock()

        def operation(connection: Connection) -> Job:
            job = find_job(connection, reference)
            if job.status is JobStatus.CANCEL_REQUESTED:
                return job
            if lifecycle.is_terminal(job.status):
                raise ConflictError(f"job {job.name} is {job.status} already", ref=f"job:{job.name}")
            events.append_event(connection, actor=actor, verb="cancel", ref=f"job:{job.name}", detail={}, now=now)
            return move(connection, job, JobStatus.CANCEL_REQUESTED if job.attempt else JobStatus.CANCELED, now=now)

        job = self._store.write(operation)
        self._wake()
        self._feed.notify(f"job:{job.name}")
        return job

    def read_log(self, name: str, offset: int, limit: int = 1 << 20) -> tuple[bytes, int]:
        """Return log bytes from ``offset`` and the offset after them; the same before and after the job's end."""
        content = self._logs.read(name, offset, limit)
        if not content and not self._logs.path(name).exists():
            content = self._read_collected(name, offset, limit)
        return content, offset + len(content)

    def _read_collected(self, name: str, offset: int, limit: int) -> bytes:
        with self._store.read() as connection:
            parts = [
                artifacts.find_artifact(connection, name, p) for p in (logs.BUILD_LOG_ARTIFACT, logs.STD_LOG_ARTIFACT)
            ]
        content = b""
        for part in parts:
            if part is None:
                continue
            if offset < part.size and len(content) < limit:
                end = min(part.size, offset + limit - len(content))
                content += b"".join(self._blobs.open(part.digest, start=offset, end=end))
            offset = max(0, offset - part.size)
        return content


def find_job(connection: Connection, reference: str) -> Job:
    """Return a job by name or unique prefix; see :meth:`Jobs.get`."""
    found = jobs.find_jobs_by_prefix(connection, reference, limit=3)
    for job in found:
        if job.name == reference:
            return job
    if not found or len(reference) < SHORTEST_PREFIX:
        is_run = runs.find_run(connection, reference, details=False) is not None
        hint = f"It is a run: penstock run show {reference}" if is_run else lookup_hint(reference, "job")
        raise NotFoundError(f'no job "{reference}"', hint=hint, ref=f"job:{reference}")
    if len(found) > 1:
        raise UsageError(f'"{reference}" fits several jobs', hint="Such as " + ", ".join(job.name for job in found))
    return found[0]


def _ensure_experiment(connection: Connection, name: str, actor: str, now: int) -> Experiment:
    """Return the experiment of this name, made with its event where there is none."""
    known = experiments.find_experiment_by_name(connection, name)
    made = experiments.ensure_experiment(connection, name, now=now)
    if known is None:
        ref = f"experiment:{made.experiment_id}"
        events.append_event(connection, actor=actor, verb="create", ref=ref, detail={"name": name}, now=now)
    return made


def _find_experiment(connection: Connection, wanted: str) -> str:
    """Return the name of the experiment that a name or an id means."""
    if experiments.find_experiment_by_name(connection, wanted) is not None:
        return wanted
    try:
        return experiments.get_experiment(connection, wanted).name
    except NotFoundError:
        known = [one.name for one in experiments.list_experiments(connection, limit=MOST_COMPARED)]
        hint = did_you_mean(wanted, known) or "List them with: penstock experiment list"
        raise UsageError(f'no experiment has the name or id "{wanted}"', hint=hint) from None
