"""What the process beside the server is told to do; packed as JSON, one line."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.access.actors import Actor
from penstock.stores.metadata.events import EventQuery, Head

MEDIA = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}


class RunsExport(msgspec.Struct, tag="runs", frozen=True):
    """Write the file of all runs that a selection finds: a ``RunExport`` as JSON, and who asks."""

    export: dict[str, Any]
    actor: Actor


class EventsExport(msgspec.Struct, tag="events", frozen=True):
    """Write the entries of the audit log after a number, as they are when it begins, one JSON object a line."""

    query: EventQuery
    after: int


class EventsVerification(msgspec.Struct, tag="verify", frozen=True):
    """Walk over some entries of the audit log and write what was found as one JSON object."""

    after: int | None
    limit: int
    expect: Head | None


class Order(msgspec.Struct, frozen=True):
    """A task, and the store's address as ``open_reader`` takes it."""

    url: str
    file: str
    task: RunsExport | EventsExport | EventsVerification
