"""Opening a database: new, old, newer, foreign, damaged, in the wrong place, on a full disk."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from penstock.entities.errors import OutOfSpaceError, PenstockError, RefusedError, UnavailableError, UsageError
from penstock.entities.run import Metric
from penstock.stores.metadata import events, experiments, jobs, runs, tables
from penstock.stores.metadata.engine.failures import translate
from penstock.stores.metadata.engine.filesystem import file_system, is_network
from penstock.stores.metadata.engine.migrate import FOLDER
from penstock.stores.metadata.engine.opening import open_reader
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.testing.fixtures import make_run

DATA = Path(__file__).parents[1] / "data"


def run_sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.executescript(statement)
    connection.close()


def schema(path: Path) -> list[tuple[object, ...]]:
    """Every object with its columns and the words of its SQL; the order of constraints is left to who made it."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY name").fetchall()
    columns = {name: connection.execute(f'PRAGMA table_xinfo("{name}")').fetchall() for _, name, _ in rows}
    connection.close()
    return [(kind, name, columns[name], sorted(re.findall(r"\w+|[^\w\s]", sql))) for kind, name, sql in rows]


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_a_new_database_and_a_migrated_one_have_the_same_schema(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    run_sql(
        old,
        "CREATE TABLE schema_version (version_num VARCHAR(32) NOT NULL,"
        " CONSTRAINT schema_version_pkc PRIMARY KEY (version_num))",
    )
    for path in (new, old):
        store = SqliteMetadataStore(path, clock=lambda: 7)
        with store.read() as connection:
            assert experiments.get_experiment(connection, "0").created_at == 7
            context = MigrationContext.configure(connection, opts={"version_table": "schema_version"})
            assert context.get_current_revision() == tables.HEAD
            assert compare_metadata(context, tables.metadata) == []
        store.close()
    assert schema(new) == schema(old)


def test_the_head_is_the_last_migration() -> None:
    scripts = ScriptDirectory(str(FOLDER))
    assert scripts.get_current_head() == tables.HEAD
    assert [script.revision for script in scripts.walk_revisions()] == sorted(
        (path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py")), reverse=True
    )


@pytest.mark.parametrize("dump", sorted(DATA.glob("metadata-*.sql")), ids=lambda path: path.stem)
def test_old_databases_still_open(tmp_path: Path, dump: Path) -> None:
    run_sql(tmp_path / "metadata.db", dump.read_text())
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    with store.read() as connection:
        run = runs.get_run(connection, "calm_heron_1")
        assert run.params == {"learning_rate": "0.001"}
        assert run.latest_metrics == (Metric("accuracy", 0.97, 1700000000002, 2),)
        assert len(runs.metric_history(connection, "calm_heron_1", "accuracy")) == 3
        assert jobs.get_job(connection, "calm_heron_1").spec.command == "python train.py"
        assert events.verify_chain(connection) == []
    store.write(lambda c: runs.log_batch(c, "calm_heron_1", metrics=[Metric("accuracy", 1.0, 1, 3)]))
    store.close()


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    SqliteMetadataStore(path).close()
    run_sql(path, "UPDATE schema_version SET version_num = '9999'")
    with pytest.raises(RefusedError, match=r"newer Penstock \(schema 9999"):
        SqliteMetadataStore(path)
    run_sql(path, "UPDATE schema_version SET version_num = '0002'")
    SqliteMetadataStore(path).close()


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    run_sql(path, "CREATE TABLE recipes (id INTEGER)")
    with pytest.raises(RefusedError, match="not one of Penstock"):
        SqliteMetadataStore(path)


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    path.write_bytes(b"no database at all, but text " * 100)
    with pytest.raises(UnavailableError, match="not an intact database"):
        SqliteMetadataStore(path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match="cannot be opened"):
        SqliteMetadataStore(tmp_path / "file" / "metadata.db")


def test_a_database_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    store.close()
    names = ("metadata.db", "metadata.db-wal", "metadata.db-shm", "metadata.db-gate")
    assert modes == dict.fromkeys(names, 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["metadata.db"]


def test_a_reader_sees_each_commit_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "meta#data?.db"
    store = SqliteMetadataStore(path)
    reader = open_reader("", path)
    run_id = make_run(store)
    with reader.read() as connection:
        assert runs.get_run(connection, run_id).run_id == run_id
    with pytest.raises(PenstockError, match="cannot be written"), reader.read() as connection:
        runs.set_tag(connection, run_id, "seen", "no")
    reader.close()
    with pytest.raises(UnavailableError, match="closed"), reader.read():
        pass
    store.close()


def test_a_reader_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no metadata store"):
        open_reader("", tmp_path / "metadata.db")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_fails_the_write_and_harms_nothing(tmp_path: Path) -> None:
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    run_id = make_run(store)
    pages = store.write(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    store.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}"))
    with pytest.raises(OutOfSpaceError, match="full"):
        store.write(lambda c: runs.log_batch(c, run_id, tags={"big": "x" * 100_000}, params={"p": "1"}))
    with store.read() as connection:
        assert runs.get_run(connection, run_id).params == {}
    store.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000"))
    store.write(lambda c: runs.log_batch(c, run_id, tags={"big": "x" * 100_000}, params={"p": "1"}))
    with store.read() as connection:
        assert runs.get_run(connection, run_id).params == {"p": "1"}
    store.close()


def test_a_database_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    SqliteMetadataStore(path).close()
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("DELETE FROM counters")
    connection.close()
    failure = translate(caught.value, path)
    assert isinstance(failure, UnavailableError)
    assert "cannot be written" in str(failure)


def test_exceptions_of_others_are_left_alone(tmp_path: Path) -> None:
    error = LookupError("x")
    assert translate(error, tmp_path) is error
    assert isinstance(translate(OverflowError(), tmp_path), UsageError)


def test_a_second_writer_is_told_that_the_file_is_locked(tmp_path: Path) -> None:
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    store.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=0").close())
    other = sqlite3.connect(tmp_path / "metadata.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError, match="locked by another process"):
        make_run(store)
    other.execute("ROLLBACK")
    other.close()
    make_run(store)
    store.close()


MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:50 / /home rw - nfs4 server:/home rw
29 28 0:51 / /home/ada/local\\040disk rw - xfs /dev/vdb rw
30 27 0:52 / /mnt/a rw - fuse.sshfs host:/ rw
31 30 0:53 / /mnt/a rw shared:1 master:2 - ext4 /dev/vdc rw
32 27 0:54 / /containers rw - fuse.fuse-overlayfs fuse-overlayfs rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind", "refused"),
    [
        ("/srv/lab", "ext4", False),
        ("/home/ada/lab", "nfs4", True),
        ("/home/ada/local disk/lab", "xfs", False),
        ("/home/ada/local disk2", "nfs4", True),
        ("/mnt/a/lab", "ext4", False),
        ("/homework", "ext4", False),
        ("/containers/x", "fuse.fuse-overlayfs", False),
    ],
)
def test_network_file_systems_are_recognised(path: str, kind: str, refused: bool) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert is_network(kind) is refused


def test_unknown_user_file_systems_count_as_network() -> None:
    assert is_network("fuse.sshfs")
    assert not is_network("fuseblk")
    assert file_system(Path("/x"), "") == ""


def test_opening_loads_alembic_only_for_an_old_database(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore\n"
        "from penstock.stores.metadata import runs, jobs, assets, endpoints, tokens, idempotency\n"
        "for _ in range(2): SqliteMetadataStore(Path(sys.argv[1]) / 'metadata.db').close()\n"
        "heavy = {'alembic', 'mako', 'sqlalchemy.orm', 'numpy', 'psycopg'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
