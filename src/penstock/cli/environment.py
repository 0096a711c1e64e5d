"""``penstock environment``: register what commands run in."""

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

app = make_group("Register what commands run in.")


@command(
    app,
    "create",
    "penstock environment create -f environment.yml",
    "penstock environment create -n train --conda-file conda.yml",
)
def create(
    file: FileOption = None,
    name: OptionalNameOption = None,
    version: VersionOption = None,
    image: Annotated[
        str | None, typer.Option("--image", "-i", help="Kept; without a container engine not used.")
    ] = None,
    conda_file: Annotated[
        str | None, typer.Option("--conda-file", "-c", metavar="YAML", help="The packages, as conda writes them.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", "-d", help="One sentence.")] = None,
    overrides: SetOption = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Register a new version of an environment.

    Without --version it gets the next number.
    """
    from penstock.sdk.submit import check_file, create_asset

    check_file(file)
    rest = open_rest(workspace, create=True)
    said = {"name": name, "version": version, "image": image, "conda_file": conda_file, "description": description}
    asset = create_asset(rest, "environments", file, said, overrides or (), say=note)
    emit(asset, columns=DETAILS, output=output, query=query)


add_verbs(app, "environment", "environments", has_files=False)
add_update(app, "environment", "environments")
