"""``penstock online-endpoint``: give models a stable URL."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.assets import confirm
from penstock.cli.command import command, make_group
from penstock.cli.options import (
    FileOption,
    NameOption,
    OptionalNameOption,
    OutputOption,
    QueryOption,
    SetOption,
    WorkspaceOption,
    YesOption,
)
from penstock.cli.output import Format, emit, note, warn
from penstock.cli.rollout import add_rollout_command
from penstock.cli.session import open_rest
from penstock.entities.errors import UsageError

app = make_group("Give models a stable URL.")

_JSON = "application/json"
_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".csv": "text/csv",
}

COLUMNS = {
    "NAME": "name",
    "STATE": "provisioning_state",
    "TRAFFIC": "traffic",
    "SCORING URI": "scoring_uri",
    "CREATED": "created_at",
}
DETAILS = {
    "name": "name",
    "state": "provisioning_state",
    "scoring uri": "scoring_uri",
    "traffic": "traffic",
    "mirror": "mirror_traffic",
    "mirrored": "mirrored",
    "release of": "rollout.spec.to",
    "release": "rollout.state",
    "release percent": "rollout.percent",
    "release says": "rollout.message",
    "its requests": "rollout.requests",
    "its failures": "rollout.failures",
    "requests before": "rollout.old_requests",
    "failures before": "rollout.old_failures",
    "auth mode": "spec.auth_mode",
    "description": "spec.description",
    "tags": "spec.tags",
    "warnings": "warnings",
    "created": "created_at",
    "created by": "created_by",
}


@command(app, "create", "penstock online-endpoint create -n digits", "penstock online-endpoint create -f endpoint.yml")
def create(
    file: FileOption = None,
    name: OptionalNameOption = None,
    auth_mode: Annotated[str | None, typer.Option("--auth-mode", help="key, which clients send.")] = None,
    overrides: SetOption = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Create an endpoint.

    If it exists, what the file says about it is brought up to date.
    """
    from penstock.sdk.submit import check_file, put_endpoint

    check_file(file)
    rest = open_rest(workspace, create=True)
    endpoint = put_endpoint(rest, file, {"name": name, "auth_mode": auth_mode}, overrides or ())
    warn(endpoint)
    emit(endpoint, columns=DETAILS, output=output, query=query)


@command(
    app,
    "update",
    'penstock online-endpoint update -n digits --traffic "blue=90 green=10"',
    "penstock online-endpoint update -f endpoint.yml",
)
def update(
    file: FileOption = None,
    name: OptionalNameOption = None,
    traffic: Annotated[
        list[str] | None, typer.Option("--traffic", metavar="NAME=PERCENT", help="Shares that sum to 0 or 100.")
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option("--mirror-traffic", metavar="NAME=PERCENT", help="One that gets copies, of 50 % at most."),
    ] = None,
    overrides: SetOption = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Change an endpoint.

    Its description and tags from a file, or the shares of its deployments.
    """
    from penstock.sdk.submit import put_endpoint

    if not file and not traffic and not mirror and not overrides:
        raise UsageError("nothing to update", hint="Give --traffic, --mirror-traffic, --set or -f.")
    rest = open_rest(workspace)
    if file or overrides:
        base = None if file or not name else rest.get_endpoint(name)["spec"]
        endpoint = put_endpoint(rest, file, {"name": name}, overrides or (), base=base)
        name = endpoint["name"]
        warn(endpoint)
    if traffic or mirror:
        if not name:
            raise UsageError("--traffic needs the endpoint's name", hint="Give -n NAME.")
        split = _shares(traffic, "--traffic") if traffic else rest.get_endpoint(name).get("traffic") or {}
        endpoint = rest.set_traffic(name, split, _shares(mirror, "--mirror-traffic") if mirror else None)
    emit(endpoint, columns=DETAILS, output=output, query=query)


@command(app, "show", "penstock online-endpoint show -n digits --query scoring_uri -o tsv")
def show(
    name: NameOption, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """Show an endpoint.

    Its scoring uri is exactly what a client posts to.
    """
    emit(open_rest(workspace).get_endpoint(name), columns=DETAILS, output=output, query=query)


@command(app, "list", "penstock online-endpoint list")
def list_(workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None) -> None:
    """List endpoints."""
    emit(list(open_rest(workspace).list_endpoints()), columns=COLUMNS, output=output, query=query)


@command(
    app,
    "export",
    "penstock online-endpoint export -n digits -o digits-alone",
    "penstock online-endpoint export -n digits --deployment-name blue --target docker -o digits-image",
)
def export(
    name: NameOption,
    folder: Annotated[Path, typer.Option("--output-folder", "-o", metavar="FOLDER", help="A new or empty folder.")],
    deployment: Annotated[
        str | None, typer.Option("--deployment-name", "-d", help="This one; else the one with most traffic.")
    ] = None,
    target: Annotated[str, typer.Option("--target", help="folder, or docker for one with a Dockerfile.")] = "folder",
    workspace: WorkspaceOption = None,
) -> None:
    """Write a folder that scores without Penstock.

    It holds the runner, the model, the code, pinned requirements, and a README with the commands. It needs no network
    once its requirements are installed.
    """
    from penstock.sdk.export import export_deployment

    exported, files = export_deployment(open_rest(workspace), name, deployment, target, folder)
    note(f"Wrote {files} files of {name}/{exported} to {folder}; its README.md says how it is started")


@command(app, "delete", "penstock online-endpoint delete -n digits --yes")
def delete(name: NameOption, yes: YesOption = False, workspace: WorkspaceOption = None) -> None:
    """Delete an endpoint with its deployments.

    Its models stay registered.
    """
    rest = open_rest(workspace)
    rest.get_endpoint(name)
    confirm(f"Delete endpoint {name} and its deployments?", yes)
    rest.delete_endpoint(name)
    note(f"Deleted endpoint {name}")


@command(
    app,
    "invoke",
    "penstock online-endpoint invoke -n digits -r request.json",
    "penstock online-endpoint invoke -n digits -r nine.png",
    "echo '{\"data\": [[0, 1]]}' | penstock online-endpoint invoke -n digits -r -",
)
def invoke(
    name: NameOption,
    request: Annotated[str, typer.Option("--request-file", "-r", help="The file to send; - reads standard input.")],
    deployment: Annotated[
        str | None, typer.Option("--deployment-name", "-d", help="This one, whatever the shares say.")
    ] = None,
    content_type: Annotated[
        str | None, typer.Option("--content-type", help="What it is; else the file's name says, and JSON is meant.")
    ] = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Score one request and print the answer."""
    from penstock.sdk.endpoints import invoke as score

    body = _read(request)
    kind = content_type or _TYPES.get(Path(request).suffix.lower(), _JSON)
    answer = score(open_rest(workspace), name, body, deployment=deployment, content_type=kind)
    try:
        data = json.loads(answer)
    except ValueError:
        sys.stdout.write(answer.decode("utf-8", "replace") + "\n")
        return
    emit(data, output=output or Format.JSON, query=query)


@command(
    app,
    "get-credentials",
    "penstock online-endpoint get-credentials -n digits",
    "key=$(penstock online-endpoint get-credentials -n digits --query primary_key -o tsv)",
)
def get_credentials(
    name: NameOption, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """Print the endpoint's two keys.

    A client sends one as `Authorization: Bearer`.
    """
    emit(open_rest(workspace).get_credentials(name), output=output, query=query)


@command(app, "regenerate-keys", "penstock online-endpoint regenerate-keys -n digits --key-type primary")
def regenerate_keys(
    name: NameOption,
    key_type: Annotated[str, typer.Option("--key-type", help="primary or secondary.")] = "primary",
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Replace one of the endpoint's keys.

    Clients that use it must change.
    """
    emit(open_rest(workspace).rotate_key(name, key_type), output=output, query=query)


add_rollout_command(app, DETAILS)


def _shares(texts: list[str], option: str) -> dict[str, int]:
    """Return ``["blue=90 green=10"]`` as a mapping."""
    shares: dict[str, int] = {}
    for part in " ".join(texts).replace(",", " ").split():
        name, equals, percent = part.partition("=")
        if not name or not equals or not percent.isdecimal():
            raise UsageError(f'{option} "{part}" is no NAME=PERCENT', hint='Write for example "blue=90 green=10".')
        shares[name] = int(percent)
    return shares


def _read(request: str) -> bytes:
    from penstock.sdk.submit import check_file

    if request == "-":
        return sys.stdin.buffer.read()
    check_file(Path(request))
    try:
        return Path(request).read_bytes()
    except OSError as error:
        raise UsageError(f'request file "{request}" cannot be read: {error.strerror}') from error
