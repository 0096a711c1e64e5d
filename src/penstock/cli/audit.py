"""``penstock audit``: who did what to which thing, when; and whether anybody changed that record."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.command import command, make_group
from penstock.cli.options import LimitOption, OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import DAMAGED, Format, emit, human_size, note, pairs_text
from penstock.cli.session import open_rest
from penstock.entities.errors import UsageError

app = make_group("See who did what to which thing, when; and whether anybody changed that record.")

COLUMNS = {"SEQ": "seq", "AT": "at", "ACTOR": "actor", "VERB": "verb", "REF": "ref", "DETAIL": "detail"}
FACTS = {"checked": "checked", "head": "head", "intact": "intact"}
MAX_SHOWN = 20

ActorOption = Annotated[str | None, typer.Option("--actor", help="Only what this actor did.")]
VerbOption = Annotated[str | None, typer.Option("--verb", help="Only this verb, such as create.")]
RefOption = Annotated[
    str | None, typer.Option("--ref", help="Only this thing, such as job:NAME; 'job:*' is every job.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="AGE|TIME", help="Only from then on: 24h, 7d, or RFC 3339.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="AGE|TIME", help="Only before then.")]


class ExportFormat(StrEnum):
    """How the log is exported."""

    JSONL = "jsonl"


@command(
    app,
    "list",
    "penstock audit list --actor ann --since 24h",
    "penstock audit list --ref 'model:*' -r 5 -o json",
    "penstock audit list --follow",
)
def list_(
    actor: ActorOption = None,
    verb: VerbOption = None,
    ref: RefOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    count: LimitOption = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what happens; Ctrl-C ends it.")] = False,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """List the newest entries, the last one last."""
    from penstock.sdk.audit import AuditClient, event_query

    if follow and (until or query or output in {Format.YAML}):
        raise UsageError("--follow goes with table, tsv and json, without --until and --query")
    rest = open_rest(workspace)
    wanted = event_query(actor=actor, verb=verb, ref=ref, since=since, until=until)
    head = int(rest.get_head()["seq"]) if follow else 0
    found = list(itertools.islice(rest.list_events(wanted, limit=count, is_newest_first=True), count))[::-1]
    if not follow:
        emit(found, columns=COLUMNS, output=output, query=query)
        return
    known = found[-1]["seq"] if found else 0
    for event in found:
        _write_line(event, output)
    later = AuditClient(rest).follow(actor=actor, verb=verb, ref=ref, after=max(head, known))
    for event in later:
        _write_line(event, output)


def _write_line(event: dict[str, Any], output: Format | None) -> None:
    """Write one entry of an endless list: a line of JSON, or one of text."""
    if output is Format.JSON:
        text = json.dumps(event, ensure_ascii=False)
    else:
        detail = pairs_text(event["detail"] or {})
        parts = [str(event["seq"]), event["at"], event["actor"], event["verb"], event["ref"], detail]
        text = ("\t" if output is Format.TSV else "  ").join(part.replace("\n", " ") for part in parts).rstrip()
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@command(app, "verify", "penstock audit verify", 'penstock audit verify --expect "$(cat noted-head)"')
def verify(
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="SEQ:HASH", help="A head that was noted earlier, to find a rewritten log."),
    ] = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Walk over the whole audit log and say what is wrong with it.

    Exit status 1 if an entry was changed, inserted or is missing.

    The head it prints, SEQ:HASH, is worth noting somewhere else: given with --expect it shows later that nobody
    rewrote the log, whole and with every hash, up to there.
    """
    from penstock.sdk.audit import AuditClient

    client = AuditClient(open_rest(workspace))
    with _progress() as on_progress:
        found = client.verify(expect=expect, on_progress=on_progress)
    facts = {
        "checked": found.checked,
        "head": found.head,
        "seq": found.seq,
        "hash": found.hash,
        "intact": found.is_intact,
        "findings": list(found.findings),
    }
    emit(facts, columns=FACTS, output=output, query=query)
    for finding in found.findings[:MAX_SHOWN]:
        note(finding["message"])
    if len(found.findings) > MAX_SHOWN:
        note(f"… and {len(found.findings) - MAX_SHOWN} more; -o json lists them")
    if not found.is_intact:
        raise typer.Exit(DAMAGED)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], object] | None]:
    """Show a bar where people watch."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Verifying", total=None)
        yield lambda checked, total: progress.update(task, completed=checked, total=total)


@command(app, "export", "penstock audit export > events.jsonl", "penstock audit export --since 30d -f events.jsonl")
def export(
    format_: Annotated[ExportFormat, typer.Option("--format", help="One JSON object a line.")] = ExportFormat.JSONL,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Where to; standard output by default.")
    ] = None,
    actor: ActorOption = None,
    verb: VerbOption = None,
    ref: RefOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write the audit log with its hashes, oldest entry first."""
    from penstock.cli.progress import save_with_progress
    from penstock.sdk.audit import event_query
    from penstock.sdk.response import check_folder

    wanted = event_query(actor=actor, verb=verb, ref=ref, since=since, until=until)
    if file is not None:
        check_folder(file)
        size = save_with_progress(open_rest(workspace).export_events(wanted), file)
        note(f"{file}: {human_size(size)}")
        return
    for piece in open_rest(workspace).export_events(wanted).iter_bytes():
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
