"""``penstock run delete|restore|tag``: what may be changed of a run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from penstock.cli.command import command
from penstock.cli.options import OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import emit, note
from penstock.cli.run_options import RunArgument, RunsArgument
from penstock.cli.session import open_rest


def add_change_commands(app: typer.Typer) -> None:
    """Add ``delete``, ``restore`` and ``tag`` to the group of runs."""

    @command(app, "delete", "penstock run delete 3f2a91", "penstock run delete 3f2a91 77c0de")
    def delete(run: RunsArgument, workspace: WorkspaceOption = None) -> None:
        """Hide runs from searches.

        `penstock run restore` brings them back, `penstock gc` removes them for good.
        """
        rest = open_rest(workspace)
        for name in run:
            note(f"Deleted {rest.delete_run(name)['run_id']}")

    @command(app, "restore", "penstock run restore 3f2a91")
    def restore(run: RunsArgument, workspace: WorkspaceOption = None) -> None:
        """Show deleted runs again."""
        rest = open_rest(workspace)
        for name in run:
            note(f"Restored {rest.delete_run(name, restore=True)['run_id']}")

    @command(
        app,
        "tag",
        "penstock run tag 3f2a91 best=yes team=vision",
        "penstock run tag 3f2a91 --remove best --rename 'the good one'",
    )
    def tag(
        run: RunArgument,
        tags: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Tags to set.")] = None,
        remove: Annotated[list[str] | None, typer.Option("--remove", metavar="KEY", help="A tag to remove.")] = None,
        rename: Annotated[str | None, typer.Option("--rename", metavar="NAME", help="Another name for people.")] = None,
        workspace: WorkspaceOption = None,
        output: OutputOption = None,
        query: QueryOption = None,
    ) -> None:
        """Set and remove tags of a run, or rename it."""
        from penstock.entities.errors import UsageError

        change: dict[str, Any] = {"tags": dict.fromkeys(remove or ())}
        if "" in change["tags"]:
            raise UsageError("--remove names no tag", hint="Write --remove KEY.")
        for text in tags or ():
            key, equals, value = text.partition("=")
            if not equals:
                raise UsageError(f'"{text}" is no tag', hint="Write KEY=VALUE, or --remove KEY.")
            if not key:
                raise UsageError(f'"{text}" has no key before the "="', hint="Write KEY=VALUE, such as best=yes.")
            change["tags"][key] = value
        if rename is not None:
            change["run_name"] = rename
        if not change["tags"] and rename is None:
            raise UsageError("nothing says what to change", hint="Write KEY=VALUE, --remove KEY or --rename NAME.")
        found = open_rest(workspace).change_run(run, change)
        emit(found["tags"], output=output, query=query)
