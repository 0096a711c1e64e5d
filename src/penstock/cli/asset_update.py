"""``penstock model|data|environment update``: what may change of a version is how it is described and marked."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from penstock.cli.assets import DETAILS, RequiredVersionOption
from penstock.cli.command import command
from penstock.cli.options import NameOption, OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import emit
from penstock.cli.session import open_rest
from penstock.entities.errors import UsageError
from penstock.sdk.rest import Json

ChangesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="tags.KEY=VALUE or description=TEXT; several times."),
]
RemoveOption = Annotated[
    list[str] | None, typer.Option("--remove", metavar="PATH", help="tags.KEY or description; several times.")
]
DescriptionOption = Annotated[str | None, typer.Option("--description", "-d", help="One sentence.")]


def add_update(app: typer.Typer, noun: str, kind: str) -> None:
    """Add ``update`` to a group whose versions have no aliases and stages."""

    @command(app, "update", f"penstock {noun} update -n digits -v 3 --set tags.owner=ann -d 'The first one'")
    def update(
        name: NameOption,
        version: RequiredVersionOption,
        description: DescriptionOption = None,
        changes: ChangesOption = None,
        removals: RemoveOption = None,
        workspace: WorkspaceOption = None,
        output: OutputOption = None,
        query: QueryOption = None,
    ) -> None:
        """Describe or tag a version.

        What it holds never changes.
        """
        change = read_change(changes, removals, description=description)
        asset = open_rest(workspace).change_asset(kind, name, version, change)
        emit(asset, columns=DETAILS, output=output, query=query)


def add_model_update(app: typer.Typer) -> None:
    """Add ``update`` to the models' group."""

    @command(
        app,
        "update",
        "penstock model update -n digits -v 3 --alias champion",
        "penstock model update -n digits -v @champion --stage Production",
        "penstock model update -n digits -v 3 --set tags.owner=ann --remove tags.old -d 'The first one'",
    )
    def update(
        name: NameOption,
        version: RequiredVersionOption,
        description: DescriptionOption = None,
        changes: ChangesOption = None,
        removals: RemoveOption = None,
        aliases: Annotated[
            list[str] | None,
            typer.Option("--alias", metavar="NAME", help="Let this alias point here from now on; several times."),
        ] = None,
        gone: Annotated[
            list[str] | None,
            typer.Option("--remove-alias", metavar="NAME", help="Take this alias away; several times."),
        ] = None,
        stage: Annotated[
            str | None, typer.Option("--stage", metavar="STAGE", help="None, Staging, Production or Archived.")
        ] = None,
        workspace: WorkspaceOption = None,
        output: OutputOption = None,
        query: QueryOption = None,
    ) -> None:
        """Describe, tag, mark or stage a version.

        What it holds never changes. -v takes a number or, as @NAME, an alias.
        """
        marks = {**dict.fromkeys(aliases or (), True), **dict.fromkeys(gone or (), False)}
        said = {"description": description, "stage": stage, "aliases": marks or None}
        change = read_change(changes, removals, others=", --alias, --stage", **said)
        asset = open_rest(workspace).change_asset("models", name, version, change)
        emit(asset, columns=DETAILS, output=output, query=query)


def read_change(changes: list[str] | None, removals: list[str] | None, *, others: str = "", **said: Any) -> Json:
    """Return the change that options describe; ``others`` names further ones for the error.

    Raises
    ------
    UsageError
        If they describe none, or something that does not change.
    """
    change: Json = {key: value for key, value in said.items() if value is not None}
    tags: dict[str, str | None] = {}
    for text in changes or ():
        path, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: there is no value", hint="Write --set tags.KEY=VALUE.")
        _put(change, tags, path, value)
    for path in removals or ():
        _put(change, tags, path, None)
    if tags:
        change["tags"] = tags
    if not change:
        raise UsageError(
            "nothing says what to change", hint=f"Give --set tags.KEY=VALUE, --remove, --description{others}."
        )
    return change


def _put(change: Json, tags: dict[str, str | None], path: str, value: str | None) -> None:
    head, dot, key = path.partition(".")
    if head == "tags" and dot and key:
        tags[key] = value
    elif path == "description":
        change["description"] = value
    elif path == "stage" and value is not None:
        change["stage"] = value
    else:
        raise UsageError(
            f'"{path}" of a version does not change', hint="tags.KEY and description do; register a new version."
        )
