"""``penstock model``: register models and take them out again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.asset_update import add_model_update
from penstock.cli.assets import DETAILS, add_verbs, find
from penstock.cli.command import command, make_group
from penstock.cli.options import (
    FileOption,
    LabelOption,
    OptionalNameOption,
    OutputOption,
    QueryOption,
    SetOption,
    VersionOption,
    WorkspaceOption,
)
from penstock.cli.output import Format, emit, note
from penstock.cli.session import open_rest
from penstock.entities.errors import UsageError

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
    "penstock model inspect -n digits -v 3",
    "penstock model inspect ./model/model.onnx -o json --query inputs",
)
def inspect(
    source: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="NAME, NAME:VERSION, NAME@ALIAS, or a folder or ONNX file here."),
    ] = None,
    name: OptionalNameOption = None,
    version: VersionOption = None,
    label: LabelOption = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with all layers to this file.")] = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Show what a model takes and gives, and its layers.

    Its weights and metadata too. They are read from the model's own file, nothing is run: an ONNX graph, or the
    signature in an MLmodel.
    """
    from penstock.sdk.inspection import facts_of, inspect_model, inspect_registered, render, shape_text

    if (source is None) == (name is None) or (source is not None and (version or label)):
        raise UsageError("one model is inspected", hint="Name it: penstock model inspect digits, or -n digits -v 3.")
    if name is not None:
        rest = open_rest(workspace)
        title, report = inspect_registered(rest, find(rest, "models", name, version, label))
    else:
        title, report = inspect_model(str(source), lambda: open_rest(workspace))
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
