"""``ws.runs``: search, compare and look after runs, whoever made them: a job, MLflow's client, or `penstock.log_*`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from penstock.entities.errors import UsageError
from penstock.rules.column_names import parse_columns
from penstock.sdk.arguments import check_id, check_limit, check_tags, check_text, check_texts
from penstock.sdk.files import download_run_files
from penstock.sdk.response import check_folder
from penstock.sdk.rest import Json, Rest
from penstock.sdk.run_frames import DataFrame, flatten, frame_of_points, frame_of_runs

if TYPE_CHECKING:
    from penstock.sdk.run import Run

FORMATS = {".parquet": "parquet", ".arrow": "arrow", ".arrows": "arrow", ".csv": "csv", ".jsonl": "jsonl"}
What = Literal["runs", "metrics", "points"]


class RunRecord:
    """One run as it was when it was asked for."""

    def __init__(self, rest: Rest, data: Json) -> None:
        self._rest = rest
        self._data = data

    def __repr__(self) -> str:
        return f"RunRecord(run_id={self.run_id!r}, run_name={self.run_name!r}, status={self.status!r})"

    @property
    def run_id(self) -> str:
        """Return the run's id, which is the job's name where it is a job's."""
        return str(self._data["run_id"])

    id = run_id

    @property
    def run_name(self) -> str:
        """Return the name for people."""
        return str(self._data["run_name"])

    @property
    def experiment_name(self) -> str:
        """Return the experiment's name."""
        return str(self._data["experiment_name"])

    @property
    def status(self) -> str:
        """Return MLflow's state, such as ``RUNNING`` or ``FINISHED``."""
        return str(self._data["status"])

    @property
    def is_deleted(self) -> bool:
        """Return whether the run is deleted, which :meth:`RunsClient.restore` undoes."""
        return bool(self._data["lifecycle_stage"] == "deleted")

    @property
    def is_job(self) -> bool:
        """Return whether it is the run of a job, which :meth:`job` returns."""
        return bool(self._data["is_job"])

    @property
    def start_time(self) -> datetime:
        """Return when it began, UTC."""
        return datetime.fromisoformat(self._data["start_time"])

    @property
    def end_time(self) -> datetime | None:
        """Return when it ended, UTC."""
        return datetime.fromisoformat(self._data["end_time"]) if "end_time" in self._data else None

    @property
    def metrics(self) -> dict[str, float]:
        """Return the latest value of each metric."""
        return {key: float(value) for key, value in self._data["metrics"].items()}

    @property
    def params(self) -> dict[str, str]:
        """Return the parameters."""
        return dict(self._data["params"])

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags, MLflow's own among them."""
        return dict(self._data["tags"])

    @property
    def data(self) -> Json:
        """Return the whole record as REST shows it."""
        return dict(self._data)

    def job(self) -> Run:
        """Return the job this is the run of: to wait for it, cancel it, read its log."""
        from penstock.sdk.run import Run as JobRun

        return JobRun(self._rest, self._rest.get_job(self.run_id))

    def get_file_names(self, prefix: str = "") -> list[str]:
        """Return the paths of the run's artifacts."""
        items = self._rest.list_artifacts(self.run_id, prefix, recursive=True)
        return sorted(item["path"] for item in items if not item.get("is_dir"))

    def download_files(self, prefix: str = "", output_directory: str | os.PathLike[str] = ".") -> list[Path]:
        """Write the run's artifacts under ``prefix`` below a folder and return what was written."""
        return download_run_files(self._rest, self.run_id, Path(output_directory), paths=(prefix,))


class RunsClient:
    """The runs of a workspace."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    @overload
    def search(
        self,
        filter: str = ...,
        *,
        order_by: str | Sequence[str] = ...,
        experiments: str | Sequence[str] | None = ...,
        columns: str | Sequence[str] | None = ...,
        limit: int | None = ...,
        view: str = ...,
        as_dicts: Literal[False] = ...,
    ) -> DataFrame: ...

    @overload
    def search(
        self,
        filter: str = ...,
        *,
        order_by: str | Sequence[str] = ...,
        experiments: str | Sequence[str] | None = ...,
        columns: str | Sequence[str] | None = ...,
        limit: int | None = ...,
        view: str = ...,
        as_dicts: Literal[True],
    ) -> list[dict[str, Any]]: ...

    def search(
        self,
        filter: str = "",
        *,
        order_by: str | Sequence[str] = (),
        experiments: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        limit: int | None = 1000,
        view: str = "active",
        as_dicts: bool = False,
    ) -> DataFrame | list[dict[str, Any]]:
        """Return the runs that a filter finds, a row each.

        Parameters
        ----------
        filter : str
            Such as ``metrics.accuracy > 0.9 and (params.model = 'tree' or tags.best = 'yes')``.
        order_by : str or sequence of str
            Such as ``metrics.accuracy desc``; newest first without it.
        experiments : str or sequence of str, optional
            Names or ids; all without it.
        columns : str or sequence of str, optional
            Such as ``["metrics.accuracy", "params.*", "status"]``; all without it. Fewer are faster.
        limit : int, optional
            At most so many; None for all.
        view : str
            ``active``, ``deleted`` or ``all``.
        as_dicts : bool
            Return a list of dictionaries with the same names instead, which needs no pandas.

        Raises
        ------
        SpecError
            If the filter or the order cannot be read. A name that no run has finds nothing, with a warning.
        MissingPartError
            If pandas is not installed.
        """
        chosen = None if columns is None else parse_columns(_column_names(columns))
        found = self.iterate(
            filter, order_by=order_by, experiments=experiments, columns=columns, limit=limit, view=view
        )
        return [flatten(run) for run in found] if as_dicts else frame_of_runs(found, chosen)

    def iterate(
        self,
        filter: str = "",
        *,
        order_by: str | Sequence[str] = (),
        experiments: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        limit: int | None = None,
        view: str = "active",
    ) -> Iterator[Json]:
        """Yield the runs as REST shows them, asked for a page at a time; see :meth:`search`."""
        selection = selection_of(filter, order_by, experiments, columns, view)
        return self._rest.search_runs(selection, limit=check_limit(limit), say=_warn)

    def get(self, run_id: str) -> RunRecord:
        """Return a run by its id, or a unique prefix of at least six characters."""
        return RunRecord(self._rest, self._rest.get_run(check_id(run_id)))

    def metric_history(
        self,
        run_id: str,
        key: str,
        *,
        from_step: int | None = None,
        to_step: int | None = None,
        max_points: int | None = None,
    ) -> DataFrame:
        """Return the values logged under one name: step, timestamp, value, in the order of time.

        Parameters
        ----------
        from_step, to_step : int, optional
            Only between these steps, both included.
        max_points : int, optional
            At most so many, evenly apart; at least 2.
        """
        span = {"from_step": from_step, "to_step": to_step, "max_points": max_points}
        return frame_of_points(list(self._rest.read_history(check_id(run_id), key, **span)))

    def export(
        self,
        path: str | os.PathLike[str],
        filter: str = "",
        *,
        order_by: str | Sequence[str] = (),
        experiments: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        view: str = "active",
        what: What = "runs",
    ) -> Path:
        """Write all runs that a filter finds to a file, which appears only once it is whole; see :meth:`search`.

        Parameters
        ----------
        path : str or path
            Its ending is the format: ``.parquet``, ``.arrow``, ``.csv`` or ``.jsonl``.
        what : str
            A row for each of the ``runs``, for the latest value of each of their ``metrics``, or for each of the
            ``points`` ever logged.

        Raises
        ------
        UsageError
            If the ending names no format, or there is no such folder.
        """
        target = Path(path)
        check_folder(target)
        selection = selection_of(filter, order_by, experiments, columns, view)
        remark(self._rest, selection, _warn)
        self._rest.export_runs({**selection, "format": format_of(target), "what": what}).save(target)
        return target

    def rename(self, run_id: str, name: str) -> RunRecord:
        """Give a run another name for people."""
        return RunRecord(self._rest, self._rest.change_run(check_id(run_id), {"run_name": name}))

    def set_tags(self, run_id: str, tags: Mapping[str, str | None]) -> RunRecord:
        """Set tags; one that is None is removed, the others stay."""
        return RunRecord(self._rest, self._rest.change_run(check_id(run_id), {"tags": check_tags(tags)}))

    def delete(self, run_id: str) -> RunRecord:
        """Hide a run from searches; it can be restored until a permanent deletion."""
        return RunRecord(self._rest, self._rest.delete_run(check_id(run_id)))

    def restore(self, run_id: str) -> RunRecord:
        """Show a deleted run again."""
        return RunRecord(self._rest, self._rest.delete_run(check_id(run_id), restore=True))


def selection_of(
    filter: str,
    order_by: str | Sequence[str],
    experiments: str | Sequence[str] | None,
    columns: str | Sequence[str] | None,
    view: str = "active",
) -> Json:
    """Return the part of a request that says which runs and columns are meant."""
    selection: dict[str, Any] = {
        "filter": check_text(filter, "filter"),
        "order_by": check_texts(order_by, "order_by"),
        "view": view,
    }
    if experiments is not None:
        selection["experiments"] = check_texts(experiments, "experiments")
    if columns is not None:
        selection["columns"] = parse_columns(_column_names(columns))
    return selection


def remark(rest: Rest, selection: Json, say: Callable[[str], object]) -> None:
    """Say what the server remarks on a selection, which the file of an export has no place for."""
    if selection["filter"] or selection["order_by"]:
        asked = {**selection, "columns": {"attributes": ["run_id"]}}
        next(iter(rest.search_runs(asked, limit=1, say=say)), None)


def _column_names(columns: Any) -> list[str]:
    """Return names of columns: of one text, those between its commas."""
    return columns.split(",") if isinstance(columns, str) else check_texts(columns, "columns")


def _warn(line: str) -> None:
    """Say what the server remarks on a search, where the caller's program says warnings."""
    warnings.warn(line, UserWarning, stacklevel=2)


def format_of(path: Path) -> str:
    """Return the format that a file's ending names.

    Raises
    ------
    UsageError
        If it names none.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UsageError(f'"{path.name}" names no format', hint="Let it end in .parquet, .arrow, .csv or .jsonl.")
    return found
