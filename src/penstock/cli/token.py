"""``penstock token``: print the workspace's token; make, list and revoke those of people and services."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from penstock.cli.command import command, make_group
from penstock.cli.options import NameOption, OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import Format, emit, note, report
from penstock.cli.session import open_rest, read_token
from penstock.entities.errors import NotFoundError, PenstockError
from penstock.sdk.locate import locate_workspace
from penstock.sdk.rest import Json, Rest

app = make_group(
    "Print the workspace's token; make, list and revoke those of people and services.\n\n"
    "Without a command it prints the token that opens every door of the workspace's server; that starts nothing."
)

COLUMNS = {
    "NAME": "name",
    "ROLE": "role",
    "STATE": "state",
    "EXPERIMENT": "experiment",
    "EXPIRES": "expires_at",
    "CREATED": "created_at",
    "BY": "created_by",
    "ID": "id",
}
CALLER = {"name": "actor", "role": "role", "experiment": "experiment", "server": "url", "version": "version"}


class RoleName(StrEnum):
    """What a token allows."""

    READER = "reader"
    CONTRIBUTOR = "contributor"
    ADMIN = "admin"


class TokenGroup(TyperGroup):
    """A group that does something by itself; its errors are reported as those of commands are."""

    def invoke(self, ctx: Any) -> Any:
        """Run the group or its command."""
        try:
            return super().invoke(ctx)
        except PenstockError as error:
            raise typer.Exit(report(error)) from error


@app.callback(cls=TokenGroup, invoke_without_command=True, no_args_is_help=False)
def token(context: typer.Context, workspace: WorkspaceOption = None) -> None:
    """Print the workspace's token; make, list and revoke those of people and services.

    Without a command it prints the token that opens every door of the workspace's server; that starts nothing.
    """
    context.obj = workspace
    if context.invoked_subcommand is None:
        typer.echo(read_token(locate_workspace(workspace).must_exist()))


@command(
    app,
    "create",
    "penstock token create --name ci --role contributor --expires 90d",
    "export PENSTOCK_TOKEN=$(penstock token create --name ann --role reader)",
)
def create(
    context: typer.Context,
    name: NameOption,
    role: Annotated[RoleName, typer.Option("--role", help="What it allows.")],
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            metavar="DURATION|TIME",
            help="When it ends: 90d, 12h, the end of a date, or RFC 3339; else never.",
        ),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", metavar="NAME", help="The one experiment it is limited to.")
    ] = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Make a token and print its secret, which is never shown again."""
    from penstock.sdk.tokens import token_spec

    spec = token_spec(name, role.value, expires=expires, experiment=experiment)
    made = open_rest(workspace or context.obj).create_token(spec)
    if output in {None, Format.TABLE} and not query:
        sys.stdout.write(made["secret"] + "\n")
        ends = f"until {made['expires_at']}" if "expires_at" in made else "until it is revoked"
        note(f"Token {made['id']} of {name}, {role.value}, {ends}. It is not shown again.")
        return
    emit(made, output=output, query=query)


@command(app, "list", "penstock token list", "penstock token list --all -o json")
def list_(
    context: typer.Context,
    all_: Annotated[bool, typer.Option("--all", "-a", help="Those that are revoked or expired too.")] = False,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """List tokens, without their secrets.

    The workspace's own and those of jobs are not among them.
    """
    from penstock.sdk.tokens import state_of

    rest = open_rest(workspace or context.obj)
    tokens = [{**found, "state": state_of(found)} for found in rest.list_tokens()]
    tokens.sort(key=lambda found: found["created_at"])
    shown = _with_experiments(rest, [found for found in tokens if all_ or found["state"] == "live"])
    emit(shown, columns=COLUMNS, output=output, query=query)


@command(app, "revoke", "penstock token revoke ci")
def revoke(
    context: typer.Context,
    token: Annotated[str, typer.Argument(metavar="NAME|ID", help="The token.", show_default=False)],
    workspace: WorkspaceOption = None,
) -> None:
    """End a token: from now on it opens no door."""
    open_rest(workspace or context.obj).revoke_token(token)
    note(f"Token {token} opens no door any more")


@command(app, "whoami", "penstock token whoami")
def whoami(
    context: typer.Context, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """Say whose token this command sends, and what it allows."""
    rest = open_rest(workspace or context.obj)
    (caller,) = _with_experiments(rest, [rest.features()])
    emit({**caller, "url": rest.http.url}, columns=CALLER, output=output, query=query)


def _with_experiments(rest: Rest, items: list[Json]) -> list[Json]:
    """Return tokens with their experiment's name besides its id; the id alone where the experiment is gone."""
    names: dict[str, str] = {}
    for experiment in {item["experiment_id"] for item in items if "experiment_id" in item}:
        try:
            names[experiment] = rest.get_experiment(experiment)["name"]
        except NotFoundError:
            names[experiment] = experiment
    return [{**item, "experiment": names[item["experiment_id"]]} if "experiment_id" in item else item for item in items]
