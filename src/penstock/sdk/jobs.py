"""``ws.jobs``: submit jobs and find them again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.sdk.rest import Rest
from penstock.sdk.run import Run
from penstock.sdk.submit import submit_file, submit_spec

if TYPE_CHECKING:
    from penstock.entities.job import CommandJobSpec


class JobsClient:
    """The jobs of a workspace."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def submit(self, job: CommandJobSpec | str | os.PathLike[str], *, overrides: Sequence[str] = ()) -> Run:
        """Submit a job and return it at once.

        Parameters
        ----------
        job : CommandJobSpec or path
            What `penstock.command` returns, or a YAML file.
        overrides : sequence of str
            ``path=value`` assignments on a YAML file, such as ``inputs.learning_rate=0.01``.

        Raises
        ------
        SpecError
            With file, line and column of every mistake of a YAML file.
        """
        self._rest.ensure_workspace()
        if isinstance(job, str | os.PathLike):
            return Run(self._rest, submit_file(self._rest, Path(job), overrides))
        return Run(self._rest, submit_spec(self._rest, job))

    def get(self, name: str) -> Run:
        """Return a job by its name, or a unique prefix of at least six characters."""
        return Run(self._rest, self._rest.get_job(name))

    def list(
        self, *, status: str | None = None, experiment_name: str | None = None, limit: int | None = None
    ) -> Iterator[Run]:
        """Yield jobs, newest first."""
        for data in self._rest.list_jobs(status=status, experiment_name=experiment_name, limit=limit):
            yield Run(self._rest, data)

    def stream(self, name: str) -> Run:
        """Print a job's log as it grows until it has ended, and return the job."""
        return self.get(name).stream()

    def cancel(self, name: str) -> Run:
        """Ask for a job's end and return it as it is now."""
        return self.get(name).cancel()

    def download(self, name: str, folder: str | os.PathLike[str] = ".", *, prefix: str = "") -> Sequence[Path]:
        """Write a job's files below ``folder`` and return what was written."""
        return self.get(name).download_files(prefix, folder)
