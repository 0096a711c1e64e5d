from __future__ import annotations

from pathlib import Path

from penstock.access.audit import MAX_TEXT, record_event
from penstock.stores.metadata import events
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore


def test_event_is_chained_and_its_texts_are_bounded(tmp_path: Path) -> None:
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    detail = {"text": "x" * 5000, "list": ["y" * 5000, 1], "number": 2.5, "none": None}
    store.write(lambda connection: record_event(connection, "ann", "create", "model:m:1", now=1, detail=detail))
    store.write(lambda connection: record_event(connection, "ann", "delete", "model:m:1", now=2))
    with store.read() as connection:
        first, second = events.list_events(connection)
        assert events.verify_chain(connection) == []
    assert len(first.detail["text"]) == MAX_TEXT + 1
    assert len(first.detail["list"][0]) == MAX_TEXT + 1
    assert (first.detail["number"], first.detail["none"]) == (2.5, None)
    assert second.previous_hash == first.hash
    store.close()
