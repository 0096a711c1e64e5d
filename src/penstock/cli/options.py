"""The options that many commands have, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import Format

WorkspaceOption = Annotated[
    str | None,
    typer.Option("--workspace", "-w", metavar="FOLDER|URL", help="The workspace; see `penstock --help`."),
]
OutputOption = Annotated[
    Format | None, typer.Option("--output", "-o", help="How to write the result.", show_default="table")
]
QueryOption = Annotated[
    str | None, typer.Option("--query", metavar="JMESPATH", help="Pick from the result, such as `name` or `[].name`.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", metavar="YAML", help="The YAML file that describes it.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the file; may be given several times."),
]
NameOption = Annotated[str, typer.Option("--name", "-n", help="Its name.")]
OptionalNameOption = Annotated[str | None, typer.Option("--name", "-n", help="Its name.")]
VersionOption = Annotated[str | None, typer.Option("--version", "-v", help="Its version.")]
LabelOption = Annotated[str | None, typer.Option("--label", "-l", help="Instead of a version, such as `latest`.")]
EndpointOption = Annotated[str, typer.Option("--endpoint-name", "-e", help="The endpoint.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DownloadPathOption = Annotated[
    Path | None,
    typer.Option(
        "--download-path", "-d", "-p", metavar="FOLDER", help="Where to.", show_default="a folder of its name"
    ),
]
LimitOption = Annotated[int, typer.Option("--max-results", "-r", min=1, help="At most so many.")]
