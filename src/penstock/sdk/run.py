"""A job one can hold: look at it while it runs, wait for it, take its files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.entities.errors import JobFailedError, NotFoundError
from penstock.sdk.files import download_run_files
from penstock.sdk.rest import Json, Rest
from penstock.sdk.statuses import FINAL_STATUSES
from penstock.sdk.stream import JobEnd, JobEvent, LogText, StatusChange, follow_job

if TYPE_CHECKING:
    from penstock.entities.asset import AssetVersion
    from penstock.entities.job import Job
    from penstock.shim.context import Run as JobContext

FILES_HINT = "List them with: run.get_file_names()"


class Run:
    """One job of a workspace, also an MLflow run: ``name`` is both ids.

    Nothing here holds the job: interrupting a call, or ending this process, leaves it running.
    """

    def __init__(self, rest: Rest, data: Json) -> None:
        self._rest = rest
        self._data = data

    @classmethod
    def get_context(cls, allow_offline: bool = True) -> JobContext:
        """Return the job this very process runs in, to log to it as scripts for Azure ML v1 do.

        Outside a job it is an offline run, which keeps nothing.
        """
        from penstock.shim.context import Run as Context  # only jobs need it

        return Context.get_context(allow_offline)

    def __repr__(self) -> str:
        return f"Run(name={self.name!r}, status={self._data['status']!r}, display_name={self.display_name!r})"

    @property
    def name(self) -> str:
        """Return the job's name, which is also the run's id."""
        return str(self._data["name"])

    id = name

    @property
    def display_name(self) -> str:
        """Return the name for people."""
        return str(self._data.get("display_name") or self.name)

    @property
    def experiment_name(self) -> str:
        """Return the experiment's name."""
        return str(self._data["experiment_name"])

    @property
    def status(self) -> str:
        """Return the state as it is now, such as ``Running`` or ``Completed``."""
        if self._data["status"] not in FINAL_STATUSES:
            self.refresh()
        return str(self._data["status"])

    @property
    def is_finished(self) -> bool:
        """Return whether nothing more will happen to the job."""
        return self.status in FINAL_STATUSES

    @property
    def job(self) -> Job:
        """Return the whole record, as it was when last asked for."""
        from penstock.entities.job import Job as JobEntity
        from penstock.sdk.wire import as_entity

        return as_entity(JobEntity, self._data)

    def refresh(self) -> Run:
        """Ask the server for the job's present state."""
        self._data = self._rest.get_job(self.name)
        return self

    def get_metrics(self, name: str | None = None) -> dict[str, list[float]]:
        """Return what was logged so far: a list of values for each metric, in the order of their steps.

        May be called while the job runs; the lists grow.

        Parameters
        ----------
        name : str, optional
            Only this metric; an empty mapping while it was not logged yet.
        """
        metrics = self._rest.get_metrics(self.name)["metrics"]
        wanted = metrics if name is None else {key: metrics[key] for key in (name,) if key in metrics}
        return {key: [float(point["value"]) for point in points] for key, points in wanted.items()}

    def get_metric_history(self, name: str) -> list[tuple[int, float]]:
        """Return (step, value) of one metric so far."""
        points = self._rest.get_metrics(self.name)["metrics"].get(name, [])
        return [(int(point.get("step") or 0), float(point["value"])) for point in points]

    def get_latest_metrics(self) -> dict[str, float]:
        """Return the latest value of each metric."""
        return {key: float(value) for key, value in self._rest.get_metrics(self.name)["latest"].items()}

    def get_params(self) -> dict[str, str]:
        """Return the run's parameters."""
        return dict(self._rest.get_metrics(self.name).get("params") or {})

    def get_log(self) -> str:
        """Return what the command has written so far."""
        return self._rest.read_log(self.name)

    def events(self) -> Iterator[JobEvent]:
        """Yield statuses, log text and metrics as they happen, from the job's start to its end."""
        for event in follow_job(self._rest, self.name):
            if isinstance(event, JobEnd):
                self._data = event.job
            yield event

    def stream(self) -> Run:
        """Print the log as it grows until the job has ended; never raises because the job failed."""
        return self.wait_for_completion(show_output=True, raise_on_error=False)

    def wait_for_completion(self, *, show_output: bool = True, raise_on_error: bool = True) -> Run:
        """Wait until the job has ended.

        Parameters
        ----------
        show_output : bool
            Print the log to standard output and status changes to standard error.
        raise_on_error : bool
            Whether a job that did not complete is an error.

        Raises
        ------
        JobFailedError
            If the job failed or was canceled.
        KeyboardInterrupt
            When interrupted; the job goes on, and a line says how to get back to it.
        """
        try:
            for event in self.events():
                if show_output:
                    _show(event)
        except KeyboardInterrupt:
            sys.stderr.write(f"\nJob {self.name} goes on. Back to it: run.wait_for_completion()\n")
            raise
        if raise_on_error and self._data["status"] != "Completed":
            raise failure_of(self._data, log_was_shown=show_output)
        return self

    def cancel(self) -> Run:
        """Ask for the job's end; its whole process tree is ended."""
        self._data = self._rest.cancel_job(self.name)
        return self

    def get_file_names(self, prefix: str = "") -> list[str]:
        """Return the paths of the run's files, such as ``outputs/model.onnx``."""
        items = self._rest.list_artifacts(self.name, prefix, recursive=True)
        return sorted(item["path"] for item in items if not item.get("is_dir"))

    def download_files(self, prefix: str = "", output_directory: str | os.PathLike[str] = ".") -> list[Path]:
        """Write the run's files under ``prefix`` below a folder and return what was written.

        Parameters
        ----------
        prefix : str
            A file or folder of the run, such as ``outputs``; all files without it.
        output_directory : str or path
            Where to; the files keep their path within the run.
        """
        folder = Path(output_directory)
        return download_run_files(self._rest, self.name, folder, paths=(prefix,), hint=FILES_HINT)

    def download_file(self, name: str, output_file_path: str | os.PathLike[str] | None = None) -> Path:
        """Write one file of the run and return where; by default under its own name in this folder."""
        target = Path(output_file_path) if output_file_path is not None else Path(Path(name).name)
        if target.is_dir():
            target /= Path(name).name
        try:
            answer = self._rest.open_artifact(self.name, name)
        except NotFoundError as error:
            raise NotFoundError(error.message, hint=FILES_HINT, ref=error.ref) from error
        answer.save(target)
        return target

    def register_model(
        self, name: str, path: str = "outputs", *, description: str | None = None, tags: dict[str, str] | None = None
    ) -> AssetVersion:
        """Register what the job wrote at ``path`` as a new version of a model."""
        from penstock.entities.asset import AssetVersion as AssetEntity
        from penstock.sdk.wire import as_entity

        spec: dict[str, Any] = {"name": name, "path": f"azureml://jobs/{self.name}/outputs/artifacts/paths/{path}"}
        spec |= {key: value for key, value in (("description", description), ("tags", tags)) if value}
        return as_entity(AssetEntity, self._rest.create_asset("models", spec))


def failure_of(job: Json, *, log_was_shown: bool = False) -> JobFailedError:
    """Return the error of a job that ended without completing: its reason, exit code and last lines.

    The last lines are left out where ``log_was_shown`` just before.
    """
    error = job.get("error") or {}
    what = "was canceled" if job["status"] == "Canceled" else job["status"].lower()
    code = f" [{error['code']}]" if error.get("code") else ""
    reason = f": {error['message']}" if error.get("message") else ""
    tail = "" if log_was_shown else (error.get("log_tail") or "").rstrip("\n")
    return JobFailedError(
        f'job "{job["name"]}" {what}{code}{reason}',
        hint="Last lines of its log:\n" + "\n".join(f"    {line}" for line in tail.splitlines()) if tail else "",
        ref=f"job:{job['name']}",
    )


def _show(event: JobEvent) -> None:
    if isinstance(event, LogText):
        sys.stdout.write(event.text)
        sys.stdout.flush()
    elif isinstance(event, StatusChange):
        sys.stderr.write(f"{event.status}\n")
