"""``penstock up``, ``down``, ``status`` and ``env``: the server of a workspace folder."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from typing import Annotated, Any

import typer

from penstock.cli.command import command, make_group
from penstock.cli.options import OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import UNREACHABLE, emit, note
from penstock.cli.session import read_token
from penstock.entities.errors import ConflictError, PenstockError, UnavailableError, UsageError
from penstock.home import Home
from penstock.sdk.http import HttpClient
from penstock.sdk.launch import find_server, shorten, stop_server
from penstock.sdk.locate import Location, locate_workspace
from penstock.sdk.rest import Rest
from penstock.sdk.statuses import UNFINISHED_STATUSES
from penstock.sdk.workspace import connect, start_server

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
CANCEL_TIMEOUT_S = 25.0
"""How long canceled jobs may take to end: the ten seconds a command gets after SIGTERM, and fifteen to collect."""
POLL_S = 0.1
MAX_NAMED = 5
FACTS = {
    "workspace": "workspace",
    "status": "status",
    "url": "url",
    "gateway url": "gateway_url",
    "pid": "pid",
    "version": "version",
    "unfinished jobs": "unfinished_jobs",
    "endpoints": "endpoints",
    "metadata": "metadata",
}


@command(app, "up", "penstock up", "penstock up -w ./lab --port 5600", "penstock up --background")
def up(
    host: HostOption = None,
    port: PortOption = None,
    background: Annotated[bool, typer.Option("--background", "-b", help="Return when it answers.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Start the workspace's server and stay with it; Ctrl-C ends it, running jobs go on."""
    location = locate_workspace(workspace)
    home = _folder(location)
    if background:
        record = start_server(home, is_new=location.is_new, host=host, port=port)
        typer.echo(record.url)
        return
    running = find_server(home)
    if running is not None:
        note(f"A server runs for {home.root} already (stop it with: penstock down -w {shorten(home.root)})")
        typer.echo(running.url)
        return
    # A fresh interpreter: the supervisor lives for weeks and should not carry the command line's modules.
    arguments = ["--workspace", str(home.root), "--place", shorten(home.root)]
    arguments += ["--new"] if location.is_new else []
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
    home = _folder(locate_workspace(workspace).must_exist())
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
        _cancel(rest, [job["name"] for job in running])
    stop_server(record)
    note(f"Stopped the server of {shorten(home.root)}")
    if len(running) == 1 and not cancel_jobs:
        note("1 unfinished job goes on without it; it reports when it is up again")
    elif running and not cancel_jobs:
        note(f"{len(running)} unfinished jobs go on without it; they report when it is up again")


@command(app, "status", "penstock status", "penstock status -o json")
def status(workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None) -> None:
    """Say whether the server runs, and where; exit status 5 if it does not. Starts nothing."""
    location = locate_workspace(workspace).must_exist()
    if location.home is None:
        rest = connect(location)
        health = rest.health()
        facts = {"status": "running", "url": rest.http.url, "version": health["version"]}
        emit(facts, columns=FACTS, output=output, query=query)
        return
    home = location.home
    record = find_server(home)
    facts = {"workspace": str(home.root), "status": "not running"}
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
            "metadata": rest.features().get("metadata", ""),
        }
    emit(facts, columns=FACTS, output=output, query=query)
    if record is None:
        raise typer.Exit(UNREACHABLE)


@command(app, "env", 'eval "$(penstock env)"')
def env(workspace: WorkspaceOption = None) -> None:
    """Print the exports other clients need, such as MLflow's.

    Starts the workspace's server if none runs.
    """
    location = locate_workspace(workspace).must_exist()
    url = connect(location).http.url
    secret = read_token(location)
    values = {
        "PENSTOCK_WORKSPACE": url,
        "PENSTOCK_TOKEN": secret,
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_TRACKING_TOKEN": secret,
    }
    for name, value in values.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _folder(location: Location) -> Home:
    if location.home is None:
        raise UsageError(f"{location.url} is a server's address", hint="Name the workspace's folder with -w.")
    return location.home


def _unfinished(rest: Rest) -> list[Any]:
    return list(rest.list_jobs(status=",".join(UNFINISHED_STATUSES)))


def _cancel(rest: Rest, names: list[str]) -> None:
    """Cancel jobs and wait for their ends, which are said; those that do not end in time are named."""
    for name in names:
        with contextlib.suppress(ConflictError):  # it has ended by itself
            rest.cancel_job(name)
    left = names
    deadline = time.monotonic() + CANCEL_TIMEOUT_S
    try:
        while left and time.monotonic() < deadline:
            unfinished = {job["name"] for job in _unfinished(rest)}
            for name in left:
                if name not in unfinished:
                    note(f"Job {name}: {rest.get_job(name)['status']}")
            left = [name for name in left if name in unfinished]
            if left:
                time.sleep(POLL_S)
    except UnavailableError as error:
        note(f"It does not say what became of the jobs: {error.message}")
        return
    if left:
        named = ", ".join(left[:MAX_NAMED]) + (f" and {len(left) - MAX_NAMED} more" if len(left) > MAX_NAMED else "")
        note(f"Not ended {CANCEL_TIMEOUT_S:.0f} s after they were canceled: {named}")
