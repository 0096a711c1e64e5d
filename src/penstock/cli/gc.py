"""``penstock gc``: remove for good what was deleted, and the content that nothing names any more."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from penstock.cli.assets import confirm
from penstock.cli.command import command, make_group
from penstock.cli.options import OutputOption, QueryOption, WorkspaceOption, YesOption
from penstock.cli.output import Format, emit, human_size, note
from penstock.cli.session import open_rest

app = make_group("Remove for good what was deleted.")

SHOWN = 20
WORTH_SAYING_BYTES = 1 << 20
_STEPS = {"plan": "Removing", "marking": "Looking for files", "blobs": "Removing files", "vacuum": "Giving space back"}
_WORDS = {
    "run": ("run", "runs"),
    "experiment": ("experiment", "experiments"),
    "logged-model": ("logged model", "logged models"),
    "version": ("version", "versions"),
}


@command(
    app,
    "gc",
    "penstock gc",
    "penstock gc --older-than 0 --apply",
    "penstock gc --experiment digits --older-than 0 --apply -y",
    "penstock gc --run 3f2a91 --older-than 0 --apply",
    "penstock gc --vacuum --apply",
)
def gc(
    older_than: Annotated[
        str, typer.Option("--older-than", help="What was deleted later than so long ago stays: 30d, 12h; 0 takes all.")
    ] = "30d",
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without it nothing changes.")] = False,
    yes: YesOption = False,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only this run.")] = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", metavar="NAME", help="Only what is in this experiment.")
    ] = None,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Also give the disk space of removed rows back; it takes a while.")
    ] = False,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Remove for good what was deleted, and files that nothing names any more.

    Without --apply it only says what would go. Names and ids of what went are free again; what went cannot be
    brought back. Files used within the last hour stay, because somebody may be uploading; the next time takes them.
    """
    from penstock.sdk.gc import seconds_of

    scope = {"older_than_s": seconds_of(older_than), "run": run, "experiment": experiment}
    scope = {key: value for key, value in scope.items() if value is not None}
    rest = open_rest(workspace)
    plan = rest.plan_collection(scope)
    is_table = not query and output in {None, Format.TABLE}
    if not apply:
        if is_table:
            _show_plan(plan)
            _show_space(plan)
        else:
            emit(plan, output=output, query=query)
        return
    if is_table:
        _show_plan(plan, is_applied=True)
    if plan["counts"] or plan["blobs"]:
        confirm("Remove this for good?", yes)
    elif not vacuum:
        return
    obstacle = plan.get("vacuum", {}).get("obstacle", "")
    if vacuum and obstacle:
        note(obstacle)
    done = _apply(rest, {**scope, "vacuum": True} if vacuum else scope)
    if is_table:
        removed, freed = _count(done.get("removed", {})), done.get("bytes", 0)
        if removed or freed:
            space = f"; {human_size(freed)} of files are free again" if freed else ""
            note(f"Removed {removed or 'no records'}{space}.")
        if vacuum:
            note(f"The store of rows gave {human_size(done.get('vacuumed_bytes', 0))} back to the disk.")
    else:
        emit(done, output=output, query=query)


def _apply(rest: Any, scope: dict[str, Any]) -> dict[str, Any]:
    from penstock.sdk.gc import check_step

    step: dict[str, Any] = {}
    with _progress() as show:
        for step in rest.collect(scope):
            check_step(step)
            show(step)
    return step


@contextmanager
def _progress() -> Iterator[Callable[[dict[str, Any]], object]]:
    """Show a bar where people watch: records, then files, then space."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(_STEPS["plan"], total=None)
        done = Counter[str]()
        going = None

        def show(step: dict[str, Any]) -> None:
            nonlocal going
            name = step["step"]
            done[name] += 1
            going = step.get("going", going)
            counted = {"removed": (done["removed"], going), "blobs": (step.get("done"), step.get("total"))}
            completed, total = counted.get(name, (step.get("bytes"), step.get("total")))
            progress.update(task, description=_STEPS.get(name, "Removing"), completed=completed, total=total)

        yield show


def _show_space(plan: dict[str, Any]) -> None:
    space = plan.get("vacuum", {})
    if space.get("bytes", 0) >= WORTH_SAYING_BYTES:
        note(f"--vacuum would give about {human_size(space['bytes'])} of the store of rows back to the disk.")
        if space["obstacle"]:
            note(space["obstacle"])


def _show_plan(plan: dict[str, Any], *, is_applied: bool = False) -> None:
    items, kept = plan["items"], plan["kept"]
    rows = [{"KIND": one["kind"], "NAME": one["name"], "DELETED": one["deleted_at"]} for one in items[:SHOWN]]
    if rows:
        emit(rows)
    total = sum(plan["counts"].values())
    if total > SHOWN:
        note(f"… and {total - SHOWN} more")
    if plan["counts"] or plan["blobs"]:
        files = f"{plan['blobs']} {'file' if plan['blobs'] == 1 else 'files'} of {human_size(plan['bytes'])}"
        parts = [part for part in (_count(plan["counts"]), files if plan["blobs"] else "") if part]
        note(f"{' and '.join(parts)} {'go' if is_applied else 'would go'} for good.")
    else:
        note("Nothing to remove.")
    if plan["young_blobs"]:
        note(f"{human_size(plan['young_bytes'])} that nothing names were used within the last hour and stay for now.")
    for one in kept[:SHOWN]:
        note(f"stays: {one['kind']} {one['name']}: {one['reason']}")
    if not is_applied and (plan["counts"] or plan["blobs"]):
        note("This was a dry run. Do it with --apply.")


def _count(counts: dict[str, int]) -> str:
    parts = [f"{number} {_WORDS[kind][number != 1]}" for kind, number in counts.items()]
    return ", ".join(parts)
