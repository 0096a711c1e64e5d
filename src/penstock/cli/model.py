"""``penstock model``: register models and take them out again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

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
from penstock.cli.output import Format, emit, note
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


LAYERS = {
    "#": "index",
    "LAYER": "name",
    "OPERATOR": "operator",
    "FROM": "from",
    "WEIGHTS": "weights",
    "PARAMETERS": "parameters",
    "SIZE": "size",
}


@command(
    app,
    "inspect",
    "penstock model inspect digits",
    "penstock model inspect digits@champion --html digits.html",
    "penstock model inspect ./model/model.onnx -o json --query inputs",
)
def inspect(
    source: Annotated[
        str, typer.Argument(metavar="MODEL", help="NAME, NAME:VERSION, NAME@ALIAS, or a folder or ONNX file here.")
    ],
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with all layers to this file.")] = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Show what a model takes and gives, its layers, weights and metadata.

    It is read from the model's own file, nothing is run: an ONNX graph, or the signature in an MLmodel.
    """
    from penstock.sdk.inspection import facts_of, inspect_model, render, shape_text

    title, report = inspect_model(source, lambda: open_rest(workspace))
    if html is not None:
        html.write_text(render(report, title), encoding="utf-8")
        note(f"Wrote {html}")
    if query or output not in {None, Format.TABLE}:
        emit(report, output=output, query=query)
        return
    if html is not None:
        return
    facts: dict[str, Any] = {"model": title, **dict(facts_of(report))}
    for part in ("inputs", "outputs"):
        facts[part] = [f"{t['name']} {t['dtype']} {shape_text(t.get('shape'))}" for t in report.get(part, ())]
    facts["sample request"] = json.dumps(report.get("sample_request"), ensure_ascii=False)
    emit(facts)
    if report.get("layers"):
        emit([_layer(layer, shape_text) for layer in report["layers"]], columns=LAYERS, output=output)


def _layer(layer: dict[str, Any], shape_text: Callable[[Any], str]) -> dict[str, Any]:
    return {
        **layer,
        "name": "  " * layer.get("depth", 0) + layer["name"],
        "from": " ".join(layer["inputs"]),
        "weights": " ".join(shape_text(weight["shape"]) for weight in layer["weights"]),
        "parameters": layer["parameters"] or "",
        "size": layer["size"] or "",
    }


add_verbs(app, "model", "models")
add_model_update(app)
