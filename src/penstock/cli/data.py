"""``penstock data``: register data and take it out again."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.asset_update import add_update
from penstock.cli.assets import DETAILS, add_verbs
from penstock.cli.command import command, make_group
from penstock.cli.options import (
    FileOption,
    OptionalNameOption,
    OutputOption,
    QueryOption,
    SetOption,
    VersionOption,
    WorkspaceOption,
)
from penstock.cli.output import emit, note
from penstock.cli.session import open_rest

app = make_group("Register data and take it out again.")


@command(
    app, "create", "penstock data create -n digits -p ./digits", "penstock data create -f data.yml --version 2026-05"
)
def create(
    file: FileOption = None,
    name: OptionalNameOption = None,
    path: Annotated[
        str | None, typer.Option("--path", "-p", help="A local file or folder, azureml://jobs/… or http(s)://….")
    ] = None,
    version: VersionOption = None,
    type_: Annotated[
        str | None, typer.Option("--type", "-t", help="uri_file, uri_folder or mltable; by default what the path is.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", "-d", help="One sentence.")] = None,
    overrides: SetOption = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Register a new version of data.

    Without --version it gets the next number.
    """
    from penstock.sdk.submit import check_file, create_asset

    check_file(file)
    rest = open_rest(workspace, create=True)
    said = {"name": name, "path": path, "version": version, "type": type_, "description": description}
    asset = create_asset(rest, "data", file, said, overrides or (), say=note)
    emit(asset, columns=DETAILS, output=output, query=query)


add_verbs(app, "data", "data")
add_update(app, "data", "data")
