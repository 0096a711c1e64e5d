"""``penstock job``: run jobs and look at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.command import command, make_group
from penstock.cli.options import (
    DownloadPathOption,
    LimitOption,
    NameOption,
    OptionalNameOption,
    OutputOption,
    QueryOption,
    SetOption,
    WorkspaceOption,
)
from penstock.cli.output import Format, emit, note, warn
from penstock.cli.run_files import FILES
from penstock.cli.session import open_rest

app = make_group("Run jobs and look at them.")

COLUMNS = {
    "NAME": "name",
    "DISPLAY NAME": "display_name",
    "EXPERIMENT": "experiment_name",
    "STATUS": "status",
    "CREATED": "created_at",
    "ENDED": "ended_at",
}
DETAILS = {
    "name": "name",
    "display name": "display_name",
    "experiment": "experiment_name",
    "status": "status",
    "compute": "compute",
    "command": "spec.command",
    "created": "created_at",
    "started": "started_at",
    "ended": "ended_at",
    "attempt": "attempt",
    "error": "error.message",
    "exit code": "error.exit_code",
    "metrics": "metrics",
    "outputs": "output_paths",
    "tags": "tags",
    "warnings": "warnings",
}


@command(
    app,
    "create",
    "penstock job create -f job.yml --stream",
    "penstock job create -f job.yml --set inputs.learning_rate=0.01 --set tags.try=two",
    "name=$(penstock job create -f job.yml --query name -o tsv)",
)
def create(
    file: Annotated[Path, typer.Option("--file", "-f", metavar="YAML", help="The job's YAML file.")],
    overrides: SetOption = None,
    name: OptionalNameOption = None,
    stream: Annotated[
        bool, typer.Option("--stream", "-s", help="Show the log until the job ends; exit status 1 if it fails.")
    ] = False,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Submit a job.

    The code folder and local inputs are uploaded; what the server has already is not sent again.
    """
    from penstock.sdk.submit import check_file, submit_file

    check_file(file)
    rest = open_rest(workspace, create=True)
    assignments = [*(overrides or []), *([f"name={json.dumps(name)}"] if name else [])]
    job = submit_file(rest, file, assignments, say=note)
    warn(job)
    if not stream:
        emit(job, columns=DETAILS, output=output, query=query)
        return
    note(f"Submitted {job['display_name']} ({job['name']})")
    _follow(rest, job, output, query)


@command(app, "show", "penstock job show -n 3f2a91", "penstock job show -n 3f2a91 --query status -o tsv")
def show(
    name: NameOption, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """Show a job.

    Six characters of its name are enough where they are unique.
    """
    rest = open_rest(workspace)
    job = rest.get_job(name)
    if not query and output in {None, Format.TABLE}:
        latest = rest.get_metrics(job["name"])["latest"]
        job["metrics"] = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in latest.items()}
        job["output_paths"] = {key: value["path"] for key, value in (job.get("outputs") or {}).items()}
    emit(job, columns=DETAILS, output=output, query=query)
    tail = (job.get("error") or {}).get("log_tail")
    if tail and not query and output in {None, Format.TABLE}:
        note(f"Last lines of its log (all of it: penstock job stream -n {job['name']}):\n{tail}")


@command(app, "stream", "penstock job stream -n 3f2a91")
def stream_(
    name: NameOption, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """Show a job's log from its start until it ends.

    Exit status 1 if it fails. Ctrl-C ends the showing, not the job.
    """
    rest = open_rest(workspace)
    _follow(rest, rest.get_job(name), output, query)


@command(app, "list", "penstock job list", "penstock job list --status Failed -o json --query '[].name'")
def list_(
    status: Annotated[str | None, typer.Option("--status", help="Only these, such as Running or Failed.")] = None,
    experiment: Annotated[str | None, typer.Option("--experiment-name", help="Only of this experiment.")] = None,
    limit: LimitOption = 50,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """List jobs, newest first."""
    from penstock.sdk.statuses import read_statuses

    wanted = read_statuses(status) if status else None
    rest = open_rest(workspace)
    jobs = rest.list_jobs(status=wanted, experiment_name=experiment, limit=limit)
    emit(list(jobs), columns=COLUMNS, output=output, query=query)
    if not query and output in {None, Format.TABLE} and not wanted:
        _tell_of_runs(rest, experiment)


@command(app, "cancel", "penstock job cancel -n 3f2a91")
def cancel(
    name: NameOption, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """End a job with its whole process tree.

    What it wrote so far is kept.
    """
    from penstock.sdk.statuses import FINAL_STATUSES

    rest = open_rest(workspace)
    job = rest.get_job(name)
    if job["status"] in FINAL_STATUSES:
        note(f"Job {job['name']} has ended already: {job['status']}")
    else:
        job = rest.cancel_job(job["name"])
    emit(job, columns=DETAILS, output=output, query=query)


@command(
    app,
    "metrics",
    "penstock job metrics -n 3f2a91",
    "penstock job metrics -n 3f2a91 --query latest.accuracy",
)
def metrics(
    name: NameOption, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """Show what a job has logged so far.

    Each metric's latest value; all values with -o json.
    """
    rest = open_rest(workspace)
    data = rest.get_metrics(rest.get_job(name)["name"])
    if query or output not in {None, Format.TABLE}:
        emit(data, output=output, query=query)
        return
    rows = [
        {"METRIC": key, "LATEST": value, "POINTS": len(data["metrics"].get(key, ()))}
        for key, value in sorted(data["latest"].items())
    ]
    emit(rows, output=output)


@command(
    app,
    "download",
    "penstock job download -n 3f2a91",
    "penstock job download -n 3f2a91 --list",
    "penstock job download -n 3f2a91 --output-name model -p ./model",
)
def download(
    name: NameOption,
    output_name: Annotated[
        str | None, typer.Option("--output-name", help="Only this output; `artifacts` is outputs/ and logs/.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The named outputs too.")] = False,
    path: DownloadPathOption = None,
    listing: Annotated[bool, typer.Option("--list", help="Only list the job's files.")] = False,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Bring a job's files here.

    They are outputs/, logs/ and user_logs/, or a named output.
    """
    from penstock.cli.progress import file_progress
    from penstock.entities.errors import NotFoundError
    from penstock.sdk.files import download_run_files

    rest = open_rest(workspace)
    job = rest.get_job(name)
    if listing:
        emit(rest.list_artifacts(job["name"], recursive=True), columns=FILES, output=output, query=query)
        return
    folder = path or Path(job["name"])
    outputs: dict[str, Any] = job.get("outputs") or {}
    if output_name and output_name != "artifacts":
        if output_name not in outputs:
            raise NotFoundError(
                f'job "{job["name"]}" has no output "{output_name}"',
                hint=f"It has: {', '.join(sorted({*outputs, 'artifacts'}))}.",
            )
        prefix = outputs[output_name]["path"].strip("/")
        with file_progress() as on_progress:
            written = download_run_files(
                rest, job["name"], folder / output_name, paths=(prefix,), strip=prefix, on_progress=on_progress
            )
    else:
        top = [item["path"] for item in rest.list_artifacts(job["name"])]
        wanted = top if everything else [item for item in top if item != "named"]
        with file_progress() as on_progress:
            written = download_run_files(rest, job["name"], folder, paths=wanted, on_progress=on_progress)
        if outputs and not everything:
            note(f"Left out: {', '.join(sorted(outputs))} (named outputs come with --all or --output-name)")
    note(f"{len(written)} {'file' if len(written) == 1 else 'files'} in {folder}")


def _tell_of_runs(rest: Any, experiment: str | None) -> None:
    """Say where runs are that are no jobs, such as those that MLflow's client made."""
    from penstock.entities.errors import UsageError

    selection = {"filter": "NOT tags.`mlflow.source.type` = 'JOB'", "columns": {"attributes": ["run_id"]}}
    try:
        found = list(rest.search_runs(selection | ({"experiments": [experiment]} if experiment else {}), limit=1))
    except UsageError:  # an experiment that does not exist has no jobs either
        return
    if found:
        where = f" -e {experiment}" if experiment else ""
        note(f"There are also runs that are no jobs: `penstock run list{where}` shows them.")


def _follow(rest: Any, job: dict[str, Any], output: Format | None, query: str | None) -> None:
    """Show the job until it ends, then its record where one was asked for; a failure becomes the exit status."""
    from penstock.cli.live import show_job
    from penstock.sdk.run import failure_of

    ended = show_job(rest, job["name"])
    if output is not None or query:
        emit(ended, columns=DETAILS, output=output, query=query)
    if ended["status"] != "Completed":
        raise failure_of(ended, log_was_shown=True)
