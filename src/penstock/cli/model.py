"""``penstock model``: register models and take them out again."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.asset_update import add_model_update
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

app = make_group("Register models and take them out again.")


@command(
    app,
    "create",
    "penstock model create -n digits -p azureml://jobs/JOB/outputs/artifacts/paths/outputs/model",
    "penstock model create -n digits -p ./model",
    "penstock model create -n digits -p runs:/RUN/model",
    "penstock model create -n served -p azureml:digits@champion",
    "penstock model create -f model.yml --set tags.from=cli",
)
def create(
    file: FileOption = None,
    name: OptionalNameOption = None,
    path: Annotated[
        str | None,
        typer.Option(
            "--path", "-p", help="A local file or folder, azureml://jobs/…, runs:/…, models:/… or azureml:NAME@ALIAS."
        ),
    ] = None,
    version: VersionOption = None,
    type_: Annotated[str | None, typer.Option("--type", "-t", help="custom_model or mlflow_model.")] = None,
    description: Annotated[str | None, typer.Option("--description", "-d", help="One sentence.")] = None,
    overrides: SetOption = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Register a new version of a model.

    Without --version it gets the next number.
    """
    from penstock.sdk.submit import check_file, create_asset

    check_file(file)
    rest = open_rest(workspace, create=True)
    said = {"name": name, "path": path, "version": version, "type": type_, "description": description}
    asset = create_asset(rest, "models", file, said, overrides or (), say=note)
    emit(asset, columns=DETAILS, output=output, query=query)


add_verbs(app, "model", "models")
add_model_update(app)
