"""``penstock store copy``: bring the rows of a workspace's file to the store its settings name.

The workspace is owned meanwhile, so no server runs on it; the file stays as it is. Its audit log is verified first,
because damage that is copied would look as if it had come about on the other side.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from penstock.app.ownership import Ownership
from penstock.app.refusal import refuse, say
from penstock.config import load_settings
from penstock.entities.errors import ConflictError, NotFoundError, PenstockError, UsageError
from penstock.home import Home
from penstock.stores.metadata import events
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.copying import copy_store
from penstock.stores.metadata.engine.opening import open_metadata
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore

MOST_SHOWN = 3
EVERY_S = 0.2
BAR_WIDTH = 20
ERASE_LINE = "\r\x1b[2K"


def main(arguments: list[str]) -> int:
    """Copy, say what was copied, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m penstock.app copy-store",
        description="Copy all rows of a workspace from its file db/metadata.db into the still empty PostgreSQL store "
        "that its settings name ([stores] metadata, or PENSTOCK_STORES__METADATA). The server must be stopped. The "
        "audit log is verified first. All rows are there afterwards, or none; the file stays as it is.",
    )
    parser.add_argument("--workspace", type=Path, required=True, metavar="FOLDER", help="the workspace's folder")
    home = Home(parser.parse_args(arguments).workspace.resolve())
    try:
        if not home.metadata_db.exists():
            raise NotFoundError(f"{home.root} holds no rows to copy", hint="Name the workspace's folder.")
        ownership = Ownership(home)
        try:
            _copy(home)
        finally:
            ownership.release()
    except PenstockError as error:
        return refuse(error)
    return 0


def _copy(home: Home) -> None:
    url = load_settings(home.config_file, os.environ).stores.metadata
    if not url:
        raise UsageError("no store to copy to is set", hint="Set PENSTOCK_STORES__METADATA=postgresql://…")
    target = open_metadata(url, home.metadata_db)
    try:
        source = SqliteMetadataStore(home.metadata_db)
        try:
            _verify(source)
            counts = _copy_rows(source, target)
        finally:
            source.close()
        say(f"{sum(counts.values())} rows copied to {target.place}, {counts['runs']} runs among them")
    finally:
        target.close()


def _copy_rows(source: MetadataStore, target: MetadataStore) -> Mapping[str, int]:
    """Copy and, on a terminal, show how far it is."""
    if not sys.stderr.isatty():
        return copy_store(source, target)
    shown = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > EVERY_S or done == total:
            shown = time.monotonic()
            bar = ("█" * (BAR_WIDTH * done // total)).ljust(BAR_WIDTH, "░")
            last = "; making the indexes" if done == total else ""
            sys.stderr.write(f"{ERASE_LINE}{bar} {done:,} of {total:,} rows{last}")
            sys.stderr.flush()

    try:
        return copy_store(source, target, show)
    finally:
        sys.stderr.write(ERASE_LINE)


def _verify(source: SqliteMetadataStore) -> None:
    with source.read() as connection:
        findings = events.verify_chain(connection, limit=MOST_SHOWN)
        head = events.get_head(connection)
    if findings:
        raise ConflictError(
            f"the audit log is damaged, so nothing was copied: {' '.join(findings)}",
            hint="`penstock audit verify` shows all of it. Copy an undamaged backup.",
        )
    say(f"The audit log is intact up to entry {head.seq}")
