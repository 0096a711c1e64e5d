"""``penstock online-deployment``: put models behind an endpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.assets import confirm
from penstock.cli.command import command, make_group
from penstock.cli.options import (
    EndpointOption,
    NameOption,
    OptionalNameOption,
    OutputOption,
    QueryOption,
    SetOption,
    WorkspaceOption,
    YesOption,
)
from penstock.cli.output import Format, emit, note, warn
from penstock.cli.session import open_rest
from penstock.entities.errors import UsageError
from penstock.sdk.rest import Json

app = make_group("Put models behind an endpoint.")

COLUMNS = {
    "NAME": "name",
    "ENDPOINT": "endpoint_name",
    "STATE": "provisioning_state",
    "MODEL": "model",
    "REVISION": "revision",
    "SERVING": "serving",
    "UPDATED": "updated_at",
}
DETAILS = {
    "name": "name",
    "endpoint": "endpoint_name",
    "state": "provisioning_state",
    "message": "message",
    "model": "model",
    "instances": "spec.instance_count",
    "revision": "revision",
    "serving": "serving",
    "updated": "updated_at",
    "ready": "ready_at",
    "warnings": "warnings",
}

DeploymentFile = Annotated[Path, typer.Option("--file", "-f", metavar="YAML", help="The deployment's YAML file.")]
OptionalEndpointOption = Annotated[
    str | None, typer.Option("--endpoint-name", "-e", help="The endpoint, instead of the file's.")
]
AllTrafficOption = Annotated[bool, typer.Option("--all-traffic", help="Send every request to it, once it is ready.")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Do not wait until it is ready.")]


@command(
    app,
    "create",
    "penstock online-deployment create -f blue.yml --all-traffic",
    "penstock online-deployment create -f blue.yml -e digits --set model=azureml:digits@latest",
)
def create(
    file: DeploymentFile,
    name: OptionalNameOption = None,
    endpoint: OptionalEndpointOption = None,
    all_traffic: AllTrafficOption = False,
    no_wait: NoWaitOption = False,
    overrides: SetOption = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Create a deployment and wait until it answers.

    If it exists it is updated: the new revision is loaded and warmed up beside the old one, which ends
    when its last request is answered. No request fails meanwhile.
    """
    _put(file, name, endpoint, all_traffic, no_wait, overrides, workspace, output, query, create=True)


@command(
    app,
    "update",
    "penstock online-deployment update -f blue.yml --set instance_count=2",
    "penstock online-deployment update -n blue -e digits --set request_settings.request_timeout_ms=9000",
)
def update(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="YAML", help="Its YAML file; else --set changes what it has.")
    ] = None,
    name: OptionalNameOption = None,
    endpoint: OptionalEndpointOption = None,
    all_traffic: AllTrafficOption = False,
    no_wait: NoWaitOption = False,
    overrides: SetOption = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Update a deployment without dropping a request.

    Waits until the new revision answers.
    """
    if file is None and not (name and endpoint and overrides):
        raise UsageError("nothing to update", hint="Give -f FILE, or -n NAME -e ENDPOINT with --set.")
    _put(file, name, endpoint, all_traffic, no_wait, overrides, workspace, output, query, create=False)


def _put(
    file: Path | None,
    name: str | None,
    endpoint: str | None,
    all_traffic: bool,
    no_wait: bool,
    overrides: list[str] | None,
    workspace: str | None,
    output: Format | None,
    query: str | None,
    *,
    create: bool,
) -> None:
    from penstock.sdk.endpoints import roll_out
    from penstock.sdk.submit import change_deployment, check_file, put_deployment_file

    check_file(file)
    rest = open_rest(workspace, create=create)
    began = time.monotonic()
    if file is None:
        deployment = change_deployment(rest, endpoint or "", name or "", overrides or ())
    else:
        said = {"name": name, "endpoint_name": endpoint}
        deployment = put_deployment_file(rest, file, said, overrides or (), say=note)
    warn(deployment)
    deployment = roll_out(rest, deployment, all_traffic=all_traffic, wait=not no_wait)
    if deployment["ready_revision"] == deployment["revision"]:
        note(f"Ready in {time.monotonic() - began:.1f} s")
    emit(_readable(deployment, output, query), columns=DETAILS, output=output, query=query)


def _readable(deployment: Json, output: Format | None, query: str | None) -> Json:
    """Return a deployment as a table shows it: an inline model by name, and what serves while an update has not."""
    if query or output not in {None, Format.TABLE}:
        return deployment
    shown = dict(deployment)
    if isinstance(deployment["spec"].get("model"), dict) and (deployment.get("model") or "tree:").startswith("tree:"):
        shown["model"] = f"inline ({(deployment.get('model_tree') or '')[:8]})"
    if 0 < deployment["ready_revision"] < deployment["revision"]:
        shown["serving"] = f"revision {deployment['ready_revision']} still serves"
    return shown


@command(app, "show", "penstock online-deployment show -n blue -e digits")
def show(
    name: NameOption,
    endpoint: EndpointOption,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Show a deployment."""
    deployment = open_rest(workspace).get_deployment(endpoint, name)
    emit(_readable(deployment, output, query), columns=DETAILS, output=output, query=query)


@command(app, "list", "penstock online-deployment list -e digits")
def list_(
    endpoint: EndpointOption, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """List an endpoint's deployments."""
    found = [_readable(item, output, query) for item in open_rest(workspace).list_deployments(endpoint)]
    emit(found, columns=COLUMNS, output=output, query=query)


@command(app, "delete", "penstock online-deployment delete -n blue -e digits --yes")
def delete(
    name: NameOption, endpoint: EndpointOption, yes: YesOption = False, workspace: WorkspaceOption = None
) -> None:
    """Delete a deployment that gets no traffic."""
    rest = open_rest(workspace)
    rest.get_deployment(endpoint, name)
    confirm(f"Delete deployment {name} of endpoint {endpoint}?", yes)
    rest.delete_deployment(endpoint, name)
    note(f"Deleted deployment {name} of endpoint {endpoint}")


@command(
    app,
    "get-logs",
    "penstock online-deployment get-logs -n blue -e digits --lines 100",
    "penstock online-deployment get-logs -n blue -e digits --follow",
)
def get_logs(
    name: NameOption,
    endpoint: EndpointOption,
    lines: Annotated[int, typer.Option("--lines", "-l", min=1, help="The last so many lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is written; Ctrl-C ends it.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Print the last lines that a deployment's processes wrote."""
    if follow:
        from penstock.sdk.endpoints import follow_log

        for piece in follow_log(open_rest(workspace), endpoint, name, lines=lines):
            typer.echo(piece, nl=False)
    text = open_rest(workspace).read_deployment_log(endpoint, name, lines=lines)
    typer.echo(text, nl=not text.endswith("\n"))
