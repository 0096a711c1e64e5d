"""Space that removed rows leave behind goes back to the disk while others write."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

from penstock.stores.metadata import runs
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.testing.fixtures import make_run

TEXT = "x" * 5000


def fill(store: SqliteMetadataStore, count: int) -> str:
    run_id = make_run(store)
    for number in range(count):
        store.write(partial(runs.set_tag, run_id=run_id, key=f"t{number}", value=TEXT))
    return run_id


def test_a_file_shrinks_step_by_step_and_writes_go_on(tmp_path: Path) -> None:
    file = tmp_path / "metadata.db"
    store = SqliteMetadataStore(file)
    run_id = fill(store, 600)
    assert store.space().bytes == 0
    store.write(lambda c: c.exec_driver_sql("DELETE FROM tags"))
    space = store.space()
    assert space.bytes > 2_000_000
    assert not space.obstacle
    given = []
    for given_bytes in store.give_space_back():
        given.append(given_bytes)
        store.write(partial(runs.set_tag, run_id=run_id, key=f"between{len(given)}", value="y"))
    assert len(given) > 3
    assert given[-1] / len(given) > 8 * 4096  # each step is an fsync, so one of a single page would take for ever
    assert given == sorted(given)
    assert given[-1] > 0.9 * space.bytes
    store.close()
    assert file.stat().st_size < 1_000_000
    again = SqliteMetadataStore(file)
    with again.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert connection.exec_driver_sql("SELECT count(*) FROM tags").scalar_one() == len(given)
    again.close()


def test_an_older_file_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "metadata.db"
    store = SqliteMetadataStore(file)
    store.close()
    with sqlite3.connect(file) as rigid:
        rigid.execute("PRAGMA auto_vacuum=NONE")
        rigid.commit()
        rigid.execute("VACUUM")
    rigid.close()
    with sqlite3.connect(file) as rigid:  # WAL keeps the mode; only outside it VACUUM changes it
        if rigid.execute("PRAGMA auto_vacuum").fetchone()[0]:
            rigid.execute("PRAGMA journal_mode=DELETE")
            rigid.execute("PRAGMA auto_vacuum=NONE")
            rigid.execute("VACUUM")
    rigid.close()
    store = SqliteMetadataStore(file)
    fill(store, 100)
    store.write(lambda c: c.exec_driver_sql("DELETE FROM tags"))
    assert "auto_vacuum=INCREMENTAL; VACUUM" in store.space().obstacle
    assert list(store.give_space_back()) == []
    store.close()
