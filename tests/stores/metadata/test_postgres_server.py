"""What only a server can do: refuse, restart, break in the middle, be used by two."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from tests.postgresql import PostgresServer
from tests.stores.metadata.broken_line import Cut, Line, line_to

from penstock.entities.errors import PenstockError, RefusedError, UnavailableError, UsageError
from penstock.stores.metadata import experiments, tables
from penstock.stores.metadata.engine.opening import open_metadata, open_reader
from penstock.stores.metadata.engine.postgres import PostgresMetadataStore
from penstock.stores.metadata.engine.postgres_session import parse_address
from penstock.testing.fixtures import make_run

pytestmark = pytest.mark.postgres
SECRET = "hunter2-Geheim"  # a password that must not be seen


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.url()


@pytest.fixture
def line(postgres_server: PostgresServer) -> Iterator[Line]:
    """A line to the server that a test may cut."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-line-"))
    with line_to(postgres_server.folder, folder) as line:
        yield line
    shutil.rmtree(folder)


def create(name: str) -> Callable[[Connection], str]:
    return lambda connection: experiments.create_experiment(connection, name, now=1).experiment_id


def exists(store: PostgresMetadataStore, name: str) -> bool:
    with store.read() as connection:
        return experiments.find_experiment_by_name(connection, name) is not None


def test_a_reader_needs_no_lock_sees_each_commit_and_writes_nothing(url: str, tmp_path: Path) -> None:
    store = PostgresMetadataStore(url)
    reader = open_reader(url, tmp_path / "none.db")
    store.write(create("seen"))
    with reader.read() as connection:
        assert experiments.find_experiment_by_name(connection, "seen") is not None
    with pytest.raises(PenstockError, match="read-only"), reader.read() as connection:
        create("written")(connection)
    reader.close()
    store.close()


def test_a_second_server_is_refused_and_told_who_is_there(url: str) -> None:
    first = PostgresMetadataStore(url)
    with pytest.raises(RefusedError, match=r"in use by penstock \d+ on .*\(from"):
        PostgresMetadataStore(url, lock_wait_s=0.1)
    other = PostgresMetadataStore(f"{url}_other")  # another schema of the same database
    other.write(create("mine"))
    assert not exists(first, "mine")
    other.close()
    first.close()
    PostgresMetadataStore(url).close()


def test_a_second_server_gets_in_as_soon_as_the_first_has_ended(url: str) -> None:
    first = PostgresMetadataStore(url)
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(PostgresMetadataStore, url)
        first.close()
        second.result().close()


def test_an_idle_store_does_not_notice_a_restart(own_server: PostgresServer) -> None:
    store = PostgresMetadataStore(own_server.url())
    store.write(create("before"))
    assert exists(store, "before")
    own_server.stop()
    with pytest.raises(UnavailableError, match="cannot be reached"):
        store.write(create("meanwhile"))
    with pytest.raises(UnavailableError, match="cannot be reached"):
        exists(store, "before")
    own_server.start()
    store.write(create("after"))
    assert (exists(store, "before"), exists(store, "meanwhile"), exists(store, "after")) == (True, False, True)
    store.close()


def test_what_was_in_flight_when_the_server_fell_is_refused_and_not_kept(own_server: PostgresServer) -> None:
    store = PostgresMetadataStore(own_server.url())
    begun, release = threading.Event(), threading.Event()

    def operation(connection: Connection) -> None:
        experiments.create_experiment(connection, "lost", now=1)
        begun.set()
        assert release.wait(30)
        experiments.create_experiment(connection, "lost too", now=1)

    future = store.submit(operation)
    assert begun.wait(30)

    def look() -> None:
        with store.read() as connection:
            experiments.get_experiment(connection, "0")
            own_server.kill()
            experiments.get_experiment(connection, "0")

    with pytest.raises(UnavailableError, match="closed the connection"):
        look()
    own_server.start()
    release.set()
    failure = future.exception()
    assert isinstance(failure, UnavailableError)
    assert "Nothing of this request was kept" in str(failure)
    store.write(create("next"))
    assert (exists(store, "lost"), exists(store, "lost too"), exists(store, "next")) == (False, False, True)
    store.close()


@pytest.mark.parametrize("others", [0, 3])
def test_a_commit_whose_answer_was_lost_is_seen_to_be_kept(url: str, line: Line, others: int) -> None:
    store = PostgresMetadataStore(via(line, url))
    release = threading.Event()
    blocker = store.submit(lambda c: release.wait(30))
    futures = [store.submit(create(f"kept {number}")) for number in range(1 + others)]
    line.cut = Cut.NOT
    release.set()
    blocker.result()
    for future in futures:
        future.result()
    line.cut = Cut.AFTER
    made = store.write(create("kept"))
    with store.read() as connection:
        assert experiments.get_experiment(connection, made).name == "kept"
    store.write(create("next"))
    store.close()


def test_a_commit_that_never_arrived_is_said_to_be_lost(url: str, line: Line) -> None:
    store = PostgresMetadataStore(via(line, url))
    store.write(create("before"))
    line.cut = Cut.BEFORE
    with pytest.raises(UnavailableError, match="Nothing of this request was kept"):
        store.write(create("lost"))
    assert not exists(store, "lost")
    store.write(create("lost"))
    store.close()


def test_a_commit_that_nobody_can_be_asked_about_is_said_to_be_unknown(url: str, line: Line) -> None:
    store = PostgresMetadataStore(via(line, url), settle_s=0.2)
    line.cut = Cut.AFTER
    line.is_down = True
    with pytest.raises(UnavailableError, match="is not known"):
        store.write(create("who knows"))
    with pytest.raises(UnavailableError, match="cannot be reached"):
        store.write(create("lost"))
    line.is_down = False
    store.write(create("next"))
    assert exists(store, "next")
    store.close()


def test_an_unknown_commit_stays_unknown_where_another_server_wrote_meanwhile(url: str, line: Line) -> None:
    store = PostgresMetadataStore(via(line, url), settle_s=20)
    store.write(create("before"))
    line.is_down = True
    line.cut = Cut.BEFORE
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(store.write, create("who knows"))
        other = PostgresMetadataStore(url)
        other.write(create("theirs"))
        other.close()
        line.is_down = False
        with pytest.raises(UnavailableError, match="is not known"):
            future.result()
    store.close()


def test_a_password_is_never_shown(caplog: pytest.LogCaptureFixture, postgres_server: PostgresServer) -> None:
    caplog.set_level(logging.DEBUG)
    folder = postgres_server.folder
    for wrong in (
        f"postgresql://ada:{SECRET}@/nowhere?host={folder}",
        f"postgresql://ada:{SECRET}@/postgres?host={folder}",
        f"postgresql://ada:{SECRET}@127.0.0.1:1/x",
        f"postgresql://ada:{SECRET}@[::1/x",
        f"postgresql://ada:{SECRET}@x/x?nonsense={SECRET}",
        f"postgresql://ada:{SECRET}@x/x?schema=a-b",
        f"postgresql://ada@x/x?password={SECRET}&nonsense=1",
        f"mysql://ada:{SECRET}@x/x",
    ):
        with pytest.raises(PenstockError) as caught:
            open_metadata(wrong, folder / "none.db")
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert SECRET not in told.replace(wrong, ""), wrong
        assert SECRET not in str(caught.value)
    address = parse_address(f"postgresql://ada:{SECRET}@db.example.org:5433/lab?schema=ours&sslmode=require")
    assert SECRET not in repr(address)
    assert address.place == "PostgreSQL at db.example.org:5433, database lab, schema ours"
    assert SECRET not in caplog.text


def test_a_password_reaches_the_server(url: str, postgres_server: PostgresServer) -> None:
    address = parse_address("postgresql://ada:p%40ss%2Fword@db/lab?schema=ours&connect_timeout=3")
    known = psycopg.conninfo.conninfo_to_dict(address.conninfo)
    assert (known["user"], known["password"], known["dbname"]) == ("ada", "p@ss/word", "lab")
    assert (known["connect_timeout"], address.schema) == ("3", "ours")


def test_a_text_with_a_nul_is_refused_and_harms_nobody(url: str) -> None:
    store = PostgresMetadataStore(url)
    release = threading.Event()
    blocker = store.submit(lambda c: release.wait(30))
    futures = [store.submit(create(name)) for name in ("a", "b\0c", "d")]
    release.set()
    blocker.result()
    with pytest.raises(UsageError, match="NUL"):
        futures[1].result()
    assert futures[0].result() != futures[2].result()
    with pytest.raises(UsageError, match="larger than PostgreSQL takes"):
        store.write(create("".join(chr(0x4E00 + number) for number in range(9000))))
    with pytest.raises(UsageError, match="64 bits"):
        make_run(store, start_time=2**70)
    store.close()


def test_a_new_database_and_a_migrated_one_have_the_same_schema(postgres_server: PostgresServer) -> None:
    new, old = (postgres_server.url(f"same_{name}") for name in ("new", "old"))
    postgres_server.ask("CREATE SCHEMA same_old")
    postgres_server.ask(
        "CREATE TABLE same_old.schema_version (version_num VARCHAR(32) NOT NULL,"
        " CONSTRAINT schema_version_pkc PRIMARY KEY (version_num))"
    )
    found = []
    for url in (new, old):
        store = PostgresMetadataStore(url, clock=lambda: 7)
        with store.read() as connection:
            assert experiments.get_experiment(connection, "0").created_at == 7
            context = MigrationContext.configure(connection, opts={"version_table": "schema_version"})
            assert context.get_current_revision() == tables.HEAD
            found.append([row for statement in SHAPE for row in connection.execute(text(statement))])
        store.close()
    assert found[0] == found[1]


SHAPE = (
    "SELECT table_name, column_name, data_type, is_nullable, collation_name, column_default IS NULL"
    " FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 2",
    "SELECT tablename, indexname, replace(indexdef, current_schema(), '') FROM pg_indexes"
    " WHERE schemaname = current_schema() ORDER BY 1, 2",
    "SELECT conname, replace(pg_get_constraintdef(oid), current_schema(), '') FROM pg_constraint"
    " WHERE connamespace = current_schema()::regnamespace ORDER BY 1, 2",
)


def test_a_newer_or_foreign_schema_is_refused(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("newer")
    PostgresMetadataStore(url).close()
    postgres_server.ask("UPDATE newer.schema_version SET version_num = '9999'")
    with pytest.raises(RefusedError, match=r"newer Penstock \(schema 9999"):
        PostgresMetadataStore(url)
    postgres_server.ask("CREATE SCHEMA recipes")
    postgres_server.ask("CREATE TABLE recipes.cakes (id INTEGER)")
    with pytest.raises(RefusedError, match="not one of Penstock"):
        PostgresMetadataStore(postgres_server.url("recipes"))


def test_a_database_that_is_not_in_utf_8_is_refused(postgres_server: PostgresServer) -> None:
    postgres_server.ask("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(RefusedError, match="LATIN1, not in UTF-8"):
        PostgresMetadataStore(postgres_server.url().replace("/postgres", "/latin"))


def test_a_user_who_may_make_no_schema_is_told(postgres_server: PostgresServer) -> None:
    postgres_server.ask("CREATE ROLE guest LOGIN")
    with pytest.raises(UnavailableError, match="permission denied"):
        PostgresMetadataStore(postgres_server.url().replace("penstock@", "guest@"))
    postgres_server.ask("CREATE SCHEMA of_guest AUTHORIZATION guest")
    PostgresMetadataStore(postgres_server.url("of_guest").replace("penstock@", "guest@")).close()


def test_commits_wait_for_the_disk_whatever_the_user_prefers(postgres_server: PostgresServer) -> None:
    postgres_server.ask("CREATE ROLE hasty LOGIN SUPERUSER")
    postgres_server.ask("ALTER ROLE hasty SET synchronous_commit TO off")
    postgres_server.ask("ALTER ROLE hasty SET statement_timeout TO 1")
    store = PostgresMetadataStore(postgres_server.url().replace("penstock@", "hasty@"))
    ask = text("SELECT current_setting('synchronous_commit'), current_setting('statement_timeout')")
    assert store.write(lambda c: tuple(c.execute(ask).one())) == ("on", "0")
    store.close()


def test_a_server_that_does_not_wait_for_its_disk_is_named(url: str, caplog: pytest.LogCaptureFixture) -> None:
    PostgresMetadataStore(url).close()
    assert "fsync=off" in caplog.text


def via(line: Line, url: str) -> str:
    """Return the URL of the same schema by a line."""
    head, _, tail = url.partition("host=")
    return f"{head}host={line.folder}&{tail.partition('&')[2]}"


def test_a_missing_driver_is_said_with_the_command_that_installs_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.modules['psycopg'] = None\n"
        "from penstock.stores.metadata.engine.opening import open_metadata\n"
        "try: open_metadata('postgresql://x/y', Path('x'))\n"
        "except Exception as error: print(type(error).__name__, str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith("MissingPartError")
    assert "pip install 'penstock[postgres]'" in done.stdout
