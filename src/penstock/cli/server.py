"""``penstock up``, ``down``, ``status``, ``token`` and ``env``: the server of a workspace folder."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Annotated, Any

import typer

from penstock.cli.command import command, make_group
from penstock.cli.options import OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import UNREACHABLE, emit, note
from penstock.entities.errors import PenstockError, UnavailableError, UsageError
from penstock.home import Home
from penstock.sdk.http import HttpClient
from penstock.sdk.launch import ensure_server, find_server, shorten, stop_server
from penstock.sdk.locate import TOKEN_VARIABLE, locate_workspace
from penstock.sdk.rest import Rest
from penstock.sdk.workspace import connect

app = make_group("The server of a workspace.")

HostOption = Annotated[str | None, typer.Option("--host", help="Address to bind; loopback by default.")]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port", min=0, max=65535, help="Port; by default a free one, chosen once and kept.", show_default=False
    ),
]
DOWN_TIMEOUT_S = 20.0
"""How long a server that is to be stopped may be silent: longer than its restart takes."""
UNFINISHED = ("NotStarted", "Queued", "Preparing", "Starting", "Running", "Finalizing", "CancelRequested")


@command(app, "up", "penstock up", "penstock up -w ./lab --port 5600", "penstock up --background")
def up(
    host: HostOption = None,
    port: PortOption = None,
    background: Annotated[bool, typer.Option("--background", "-b", help="Return when it answers.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Start the workspace's server and stay with it; Ctrl-C ends it, running jobs go on."""
    home = _folder(workspace)
    if background:
        record = ensure_server(home, say=note, host=host, port=port)
        typer.echo(record.url)
        return
    running = find_server(home)
    if running is not None:
        note(f"A server runs for {home.root} already (stop it with: penstock down -w {shorten(home.root)})")
        typer.echo(running.url)
        return
    # A fresh interpreter: the supervisor lives for weeks and should not carry the command line's modules.
    arguments = ["--workspace", str(home.root)]
    arguments += ["--host", host] if host else []
    arguments += ["--port", str(port)] if port is not None else []
    sys.stdout.flush()
    # -P: nothing is imported from the current folder, which may hold a uuid.py.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "penstock.cli.up", *arguments])


@command(app, "down", "penstock down", "penstock down --cancel-jobs")
def down(
    cancel_jobs: Annotated[bool, typer.Option("--cancel-jobs", help="End the running jobs first.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Stop the workspace's server; jobs go on and report when it is up again."""
    home = _folder(workspace)
    record = find_server(home)
    if record is None:
        note(f"No server runs for {shorten(home.root)}")
        return
    rest = Rest(HttpClient(record.url, home.read_token(), timeout_s=DOWN_TIMEOUT_S))
    running: list[Any] = []
    try:
        running = _unfinished(rest)
    except PenstockError as error:
        if cancel_jobs:
            raise
        note(f"It does not say which jobs are unfinished: {error.message}")
    if cancel_jobs:
        for job in running:
            rest.cancel_job(job["name"])
        for job in running:
            _await_end(rest, job["name"])
    stop_server(record)
    note(f"Stopped the server of {shorten(home.root)}")
    if len(running) == 1 and not cancel_jobs:
        note("1 unfinished job goes on without it; it reports when it is up again")
    elif running and not cancel_jobs:
        note(f"{len(running)} unfinished jobs go on without it; they report when it is up again")


@command(app, "status", "penstock status", "penstock status -o json")
def status(workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None) -> None:
    """Say whether the server runs, and where; exit status 5 if it does not. Starts nothing."""
    location = locate_workspace(workspace)
    if location.home is None:
        rest = connect(location)
        health = rest.health()
        emit({"status": "running", "url": rest.http.url, "version": health["version"]}, output=output, query=query)
        return
    home = location.home
    record = find_server(home)
    facts: dict[str, Any] = {"workspace": str(home.root), "status": "not running"}
    if record is not None:
        rest = Rest(HttpClient(record.url, home.read_token(), hint=f"Its logs: {home.logs}"))
        facts |= {
            "status": "running",
            "url": record.url,
            "gateway_url": record.gateway_url,
            "pid": record.pid,
            "version": rest.health()["version"],
            "unfinished_jobs": len(_unfinished(rest)),
            "endpoints": sum(1 for _ in rest.list_endpoints()),
        }
    emit(facts, output=output, query=query)
    if record is None:
        raise typer.Exit(UNREACHABLE)


@command(app, "token", "penstock token", 'curl -H "Authorization: Bearer $(penstock token)" …')
def token(workspace: WorkspaceOption = None) -> None:
    """Print the workspace's token, which opens every door of its server."""
    typer.echo(_token(workspace)[1])


@command(app, "env", 'eval "$(penstock env)"')
def env(workspace: WorkspaceOption = None) -> None:
    """Print the exports other clients need, such as MLflow's; starts the server if there is none."""
    url, secret = _token(workspace)
    values = {
        "PENSTOCK_WORKSPACE": url,
        "PENSTOCK_TOKEN": secret,
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_TRACKING_TOKEN": secret,
    }
    for name, value in values.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _folder(workspace: str | None) -> Home:
    location = locate_workspace(workspace)
    if location.home is None:
        raise UsageError(f"{location.url} is a server's address", hint="Name the workspace's folder with -w.")
    return location.home


def _token(workspace: str | None) -> tuple[str, str]:
    """Return the server's URL and the token for it."""
    location = locate_workspace(workspace)
    rest = connect(location)
    found = location.home.read_token() if location.home else os.environ.get(TOKEN_VARIABLE)
    if not found:
        raise UsageError(f"no token for {rest.http.url}", hint=f"Set {TOKEN_VARIABLE}.")
    return rest.http.url, found


def _unfinished(rest: Rest) -> list[Any]:
    return list(rest.list_jobs(status=",".join(UNFINISHED)))


def _await_end(rest: Rest, name: str) -> None:
    from penstock.sdk.stream import JobEnd, follow_job

    for event in follow_job(rest, name):
        if isinstance(event, JobEnd):
            note(f"Job {name}: {event.job['status']}")
            return
    raise UnavailableError(f"job {name} was not seen to end")
