"""The ``penstock`` command: a table of groups, each loaded only when it is asked for.

``penstock --help`` prints from the table alone, so it loads neither the groups nor what they need.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from penstock.cli.command import CONTEXT_SETTINGS
from penstock.version import __version__

SERVER = "penstock.cli.server"
GC = "penstock.cli.gc"
COMMANDS: dict[str, tuple[str, str]] = {
    "up": (SERVER, "Start the workspace's server and stay with it."),
    "down": (SERVER, "Stop the workspace's server; jobs go on."),
    "status": (SERVER, "Say whether the server runs, and where."),
    "token": ("penstock.cli.token", "Print the workspace's token; make, list and revoke others."),
    "env": (SERVER, "Print the exports other clients need, such as MLflow's."),
    "job": ("penstock.cli.job", "Run jobs and look at them."),
    "run": ("penstock.cli.run", "Find, compare and look after runs, whoever made them."),
    "experiment": ("penstock.cli.experiment", "Look after the groups that runs are in."),
    "model": ("penstock.cli.model", "Register models and take them out again."),
    "data": ("penstock.cli.data", "Register data and take it out again."),
    "environment": ("penstock.cli.environment", "Register what commands run in."),
    "online-endpoint": ("penstock.cli.online_endpoint", "Give models a stable URL."),
    "online-deployment": ("penstock.cli.online_deployment", "Put models behind an endpoint."),
    "score": ("penstock.cli.score", "Try or serve a score.py alone, without a workspace."),
    "audit": ("penstock.cli.audit", "See who did what, and whether that record is whole."),
    "gc": (GC, "Remove for good what was deleted."),
    "store": ("penstock.cli.store", "Move the rows of a workspace to PostgreSQL."),
    "compute": ("penstock.cli.compute", "See where jobs can run."),
}


class LazyGroup(TyperGroup):
    """The root: knows the groups' names and one line about each."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load a group, or a command of a file with several."""
        if cmd_name not in COMMANDS:
            # What click compares a mistyped name with.
            self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment] # the names are all it looks at
            return None
        path = COMMANDS[cmd_name][0]
        app: typer.Typer = importlib.import_module(path).app
        if path in {SERVER, GC}:
            command: Any = get_command(app)
            return getattr(command, "commands", {cmd_name: command})[cmd_name]
        group = get_group(app)
        group.name = cmd_name
        return group

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


app = typer.Typer(
    name="penstock",
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT_SETTINGS,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"penstock {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Jobs, models and endpoints on machines you own.

    A workspace is a folder or a server's URL: -w, else PENSTOCK_WORKSPACE, else the nearest from here upwards of
    a folder with penstock.toml and a workspace .penstock. `up` and every `create` make one where there is none. A
    folder's server starts by itself when a command needs it.

    For a URL set PENSTOCK_TOKEN to what `penstock token` prints on the server's machine; `penstock env` prints
    both as exports.
    """


def main() -> NoReturn:
    """Run the command line and end the process."""
    try:
        get_command(app)(prog_name="penstock")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # Taking the interpreter down in order costs 40 ms after everything is done and closed.
    os._exit(status)
