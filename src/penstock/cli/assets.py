"""The verbs that models, data and environments share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.command import command
from penstock.cli.options import (
    DownloadPathOption,
    LabelOption,
    LimitOption,
    NameOption,
    OptionalNameOption,
    OutputOption,
    QueryOption,
    VersionOption,
    WorkspaceOption,
    YesOption,
)
from penstock.cli.output import emit, note
from penstock.cli.session import open_rest
from penstock.entities.errors import UsageError
from penstock.sdk.rest import Json, Rest

COLUMNS = {
    "NAME": "name",
    "VERSION": "version",
    "TYPE": "type",
    "SIZE": "size",
    "JOB": "job_name",
    "CREATED": "created_at",
    "DESCRIPTION": "description",
}
MODEL_COLUMNS = {
    "NAME": "name",
    "VERSION": "version",
    "ALIASES": "aliases",
    "STAGE": "stage",
    "TYPE": "type",
    "SIZE": "size",
    "RUN": "job_name",
    "CREATED": "created_at",
    "DESCRIPTION": "description",
}
DETAILS = {
    "name": "name",
    "version": "version",
    "type": "type",
    "size": "size",
    "job": "job_name",
    "source": "source_path",
    "logged model": "model_id",
    "uri": "uri",
    "content": "tree",
    "description": "description",
    "tags": "tags",
    "aliases": "aliases",
    "stage": "stage",
    "status": "status",
    "created": "created_at",
    "created by": "created_by",
    "archived": "is_archived",
}
RequiredVersionOption = Annotated[str, typer.Option("--version", "-v", help="Its version.")]


def add_verbs(app: typer.Typer, noun: str, kind: str, *, has_files: bool = True) -> None:
    """Add list, show, archive, restore, delete and download to a group.

    Parameters
    ----------
    app : Typer
        The group.
    noun : str
        Its name on the command line.
    kind : str
        The plural in the server's paths.
    has_files : bool
        Whether its versions hold files to download.
    """

    @command(app, "list", f"penstock {noun} list", f"penstock {noun} list -n digits")
    def list_(
        name: OptionalNameOption = None,
        limit: LimitOption = 100,
        workspace: WorkspaceOption = None,
        output: OutputOption = None,
        query: QueryOption = None,
    ) -> None:
        """List the latest version of each name, or every version of one."""
        rest = open_rest(workspace)
        found = rest.list_versions(kind, name, limit=limit) if name else rest.list_assets(kind, limit=limit)
        emit(list(found), columns=MODEL_COLUMNS if kind == "models" else COLUMNS, output=output, query=query)

    @command(app, "show", f"penstock {noun} show -n digits", f"penstock {noun} show -n digits -v 3 -o json")
    def show(
        name: NameOption,
        version: VersionOption = None,
        label: LabelOption = None,
        workspace: WorkspaceOption = None,
        output: OutputOption = None,
        query: QueryOption = None,
    ) -> None:
        """Show a version, by default the one created last."""
        emit(find(open_rest(workspace), kind, name, version, label), columns=DETAILS, output=output, query=query)

    @command(app, "archive", f"penstock {noun} archive -n digits -v 3")
    def archive(
        name: NameOption,
        version: RequiredVersionOption,
        workspace: WorkspaceOption = None,
        output: OutputOption = None,
        query: QueryOption = None,
    ) -> None:
        """Hide a version from lists; what names it still finds it."""
        emit(open_rest(workspace).archive_asset(kind, name, version), columns=DETAILS, output=output, query=query)

    @command(app, "restore", f"penstock {noun} restore -n digits -v 3")
    def restore(
        name: NameOption,
        version: RequiredVersionOption,
        workspace: WorkspaceOption = None,
        output: OutputOption = None,
        query: QueryOption = None,
    ) -> None:
        """Bring back a deleted or archived version."""
        asset = open_rest(workspace).archive_asset(kind, name, version, restore=True)
        emit(asset, columns=DETAILS, output=output, query=query)

    if kind == "models":

        @command(app, "delete", f"penstock {noun} delete -n digits -v 3 --yes")
        def delete_model(
            name: NameOption,
            version: RequiredVersionOption,
            yes: YesOption = False,
            force: Annotated[
                bool, typer.Option("--force", help="Although deployments use it; they keep its files.")
            ] = False,
            workspace: WorkspaceOption = None,
        ) -> None:
            """Hide a version; `restore` brings it back until `gc`.

            Its number is never given again. One that a deployment uses is refused.
            """
            confirm(f"Delete {noun} {name}:{version}?", yes)
            open_rest(workspace).delete_asset(kind, name, version, force=force)
            note(f"Deleted {noun} {name}:{version} (bring it back: penstock {noun} restore -n {name} -v {version})")

    else:

        @command(app, "delete", f"penstock {noun} delete -n digits -v 3 --yes")
        def delete(
            name: NameOption, version: RequiredVersionOption, yes: YesOption = False, workspace: WorkspaceOption = None
        ) -> None:
            """Hide a version; `restore` brings it back until `gc`.

            Its number is never given again.
            """
            confirm(f"Delete {noun} {name}:{version}?", yes)
            open_rest(workspace).delete_asset(kind, name, version)
            note(f"Deleted {noun} {name}:{version} (bring it back: penstock {noun} restore -n {name} -v {version})")

    if has_files:

        @command(app, "download", f"penstock {noun} download -n digits -p ./digits")
        def download(
            name: NameOption,
            version: VersionOption = None,
            label: LabelOption = None,
            path: DownloadPathOption = None,
            workspace: WorkspaceOption = None,
        ) -> None:
            """Bring a version's files here."""
            from penstock.sdk.files import download_asset_files

            rest = open_rest(workspace)
            asset = find(rest, kind, name, version, label)
            folder = path or Path(asset["name"])
            written = download_asset_files(rest, kind, asset, folder)
            count = f"{len(written)} {'file' if len(written) == 1 else 'files'}"
            note(f"{count} of {asset['name']}:{asset['version']} in {folder}")


def find(rest: Rest, kind: str, name: str, version: str | None, label: str | None) -> Json:
    """Return a version named by number or label."""
    if version and label:
        raise UsageError("--version and --label exclude each other")
    return rest.get_asset(kind, name, f"@{label.removeprefix('@')}" if label else version)


def confirm(question: str, yes: bool) -> None:
    """Ask before something is deleted; where nobody can answer, ``--yes`` is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"nobody can answer here: {question}", hint="Say --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        note("Nothing was deleted")
        raise typer.Exit
