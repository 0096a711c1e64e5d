"""``penstock run files|download``: a run's artifacts, whoever logged them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.command import command
from penstock.cli.options import DownloadPathOption, OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import Format, emit, note
from penstock.cli.run_options import RunArgument
from penstock.cli.session import open_rest

FILES = {"PATH": "path", "SIZE": "size"}

PathArgument = Annotated[
    str, typer.Argument(metavar="[PATH]", help="A file or folder of the run; without it, all.", show_default=False)
]


def add_file_commands(app: typer.Typer) -> None:
    """Add ``files`` and ``download`` to the group of runs."""

    @command(
        app,
        "files",
        "penstock run files 3f2a91",
        "penstock run files 3f2a91 model -o json --query '[].path'",
    )
    def files(
        run: RunArgument,
        path: PathArgument = "",
        workspace: WorkspaceOption = None,
        output: OutputOption = None,
        query: QueryOption = None,
    ) -> None:
        """List a run's files with their sizes."""
        from penstock.sdk.files import list_run_files

        rest = open_rest(workspace)
        name = rest.get_run(run)["run_id"]
        found = list_run_files(rest, name, path.strip("/"))
        emit(found, columns=FILES, output=output, query=query)
        if not found and not query and output in {None, Format.TABLE}:
            note("The run has no files.")

    @command(
        app,
        "download",
        "penstock run download 3f2a91",
        "penstock run download 3f2a91 model -d ./model",
        "penstock run download 3f2a91 plots/loss.png -d .",
    )
    def download(
        run: RunArgument,
        path: PathArgument = "",
        folder: DownloadPathOption = None,
        workspace: WorkspaceOption = None,
    ) -> None:
        """Bring a run's files here.

        Each appears once it is whole, so a download that was cut off is started again: what came is not brought twice.
        """
        from penstock.cli.progress import file_progress
        from penstock.sdk.files import download_run_files

        rest = open_rest(workspace)
        name = rest.get_run(run)["run_id"]
        wanted = path.strip("/")
        target = folder or Path(name)
        with file_progress() as on_progress:
            # A folder's content comes without the folder, a file by its name alone.
            written = download_run_files(rest, name, target, paths=(wanted,), strip=wanted, on_progress=on_progress)
        if not written:
            note("The run has no files.")
            return
        note(f"{len(written)} {'file' if len(written) == 1 else 'files'} in {target}")
