"""The audit log over HTTP: every way to tamper with its file is found, at the right place."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.server.harness import House, open_house

from penstock.access.people import PeopleTokens
from penstock.entities.token import TokenSpec
from penstock.rules.chain import GENESIS, entry_hash
from penstock.stores.metadata import events

COUNT = 12
VERIFY = "/api/v1/events:verify"
Tamper = Callable[[sqlite3.Connection], object]


def fill(house: House, count: int) -> None:
    def operation(connection: Any) -> None:
        for number in range(1, count + 1):
            verb = "create" if number % 2 else "delete"
            detail = {"n": number, "text": "ü"}
            events.append_event(
                connection, actor="ann", verb=verb, ref=f"model:m:{number}", detail=detail, now=1000 * number
            )

    house.services.store.write(operation)


def database(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "db" / "metadata.db", isolation_level=None)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Path]]:
    folder = tmp_path_factory.mktemp("tampered")
    with open_house(folder) as house:
        yield house, folder


@pytest.fixture
def log(shared: tuple[House, Path]) -> House:
    """A server with twelve entries in its log, whatever the test before did to them."""
    house, folder = shared
    with closing(database(folder)) as connection:
        connection.execute("DELETE FROM events")
        connection.execute("DELETE FROM counters WHERE name = 'events'")
    fill(house, COUNT)
    return house


@pytest.fixture
def tamper(shared: tuple[House, Path]) -> Callable[[Tamper], None]:
    def run(change: Tamper) -> None:
        with closing(database(shared[1])) as connection:
            change(connection)

    return run


def verify(house: House, limit: int = 10_000, expect: str | None = None) -> tuple[int, list[dict[str, Any]]]:
    """Walk over all pages; return how many entries there are and what was found."""
    checked, found, after = 0, [], ""
    noted = f"&expect={expect}" if expect else ""
    while True:
        page = house.ok("GET", f"{VERIFY}?limit={limit}{after}{noted}")
        checked += page["checked"]
        found += page["findings"]
        if "next" not in page:
            return checked, found
        after = f"&after={page['next']}"


def relink(connection: sqlite3.Connection, first: int) -> None:
    """Do what a careful forger does: every hash anew from an entry on."""
    rows = connection.execute("SELECT seq, at, actor, verb, ref, detail, hash FROM events ORDER BY seq").fetchall()
    previous = GENESIS
    for seq, at, actor, verb, ref, detail, found in rows:
        if seq >= first:
            found = entry_hash(previous, seq, at, actor, verb, ref, detail)
            connection.execute("UPDATE events SET previous_hash=?, hash=? WHERE seq=?", (previous, found, seq))
        previous = found


def insert_at(connection: sqlite3.Connection, seq: int, *, is_counted: bool) -> None:
    """Put a well linked entry in and renumber what follows."""
    for number in range(COUNT, seq - 1, -1):
        connection.execute("UPDATE events SET seq = ? WHERE seq = ?", (number + 1, number))
    row = connection.execute("SELECT hash FROM events WHERE seq = ?", (seq - 1,)).fetchone()
    previous = row[0] if row else GENESIS
    content = (seq, 5, "eve", "create", "token:t", "{}")
    connection.execute(
        "INSERT INTO events VALUES (?,?,?,?,?,?,?,?)", (*content, previous, entry_hash(previous, *content))
    )
    if is_counted:
        connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'events'")


def swap(connection: sqlite3.Connection, one: int, other: int) -> None:
    for old, new in ((one, -1), (other, one), (-1, other)):
        connection.execute("UPDATE events SET seq = ? WHERE seq = ?", (new, old))


@pytest.mark.parametrize("limit", [1, 5, 10_000])
def test_an_intact_log_is_told_with_its_head(log: House, limit: int) -> None:
    assert verify(log, limit) == (COUNT, [])
    page = log.ok("GET", VERIFY)
    assert (page["checked"], page["seq"], page["total"]) == (COUNT, COUNT, COUNT)
    assert log.ok("GET", "/api/v1/events/head") == {"seq": COUNT, "hash": page["hash"]}


def test_an_empty_log_is_intact(fresh_house: House) -> None:
    assert verify(fresh_house) == (0, [])
    assert fresh_house.ok("GET", "/api/v1/events/head") == {"seq": 0, "hash": GENESIS}


@pytest.mark.parametrize("limit", [5, 10_000])
@pytest.mark.parametrize("seq", [1, 6, COUNT])
@pytest.mark.parametrize(
    "assignment",
    [
        "detail = '{\"n\":99}'",
        "detail = '{'",
        "detail = ''",
        "actor = 'eve'",
        "at = at + 1",
        "at = 'yesterday'",
        "verb = 'x'",
        "ref = 'model:x:1'",
        "hash = upper(hash)",
        "previous_hash = ''",
        "actor = x'ff00'",
    ],
)
def test_a_changed_entry_is_found_at_its_place(
    log: House, tamper: Callable[[Tamper], None], assignment: str, seq: int, limit: int
) -> None:
    tamper(lambda connection: connection.execute(f"UPDATE events SET {assignment} WHERE seq = {seq}"))  # noqa: S608
    _, found = verify(log, limit)
    assert [(one["damage"], one["first"], one["last"]) for one in found] == [("changed", seq, seq)]
    assert log.ask("GET", "/api/v1/events").status == 200  # a damaged log can still be read


@pytest.mark.parametrize(("first", "last"), [(1, 1), (6, 6), (6, 9), (COUNT, COUNT), (1, COUNT)])
def test_missing_entries_are_found(log: House, tamper: Callable[[Tamper], None], first: int, last: int) -> None:
    tamper(lambda connection: connection.execute("DELETE FROM events WHERE seq BETWEEN ? AND ?", (first, last)))
    _, found = verify(log)
    assert [(one["damage"], one["first"], one["last"]) for one in found] == [("missing", first, last)]


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize("seq", [1, 6, COUNT])
def test_an_inserted_entry_is_found(log: House, tamper: Callable[[Tamper], None], seq: int, is_counted: bool) -> None:
    tamper(lambda connection: insert_at(connection, seq, is_counted=is_counted))
    _, found = verify(log)
    assert (found[0]["damage"], found[0]["first"], found[0]["last"]) == ("inserted", seq, seq)


@pytest.mark.parametrize(("one", "other"), [(1, 2), (6, 7), (2, 9), (1, COUNT)])
def test_swapped_entries_are_found(log: House, tamper: Callable[[Tamper], None], one: int, other: int) -> None:
    tamper(lambda connection: swap(connection, one, other))
    _, found = verify(log)
    assert found[0]["first"] == one


@pytest.mark.parametrize("seq", [1, 6, COUNT])
def test_a_rewritten_tail_is_found_with_a_head_that_was_noted(
    log: House, tamper: Callable[[Tamper], None], seq: int
) -> None:
    head = log.ok("GET", "/api/v1/events/head")
    noted = f"{head['seq']}:{head['hash']}"
    fill(log, 3)
    assert verify(log, 4, noted) == (COUNT + 3, [])

    def rewrite(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE events SET actor = 'eve' WHERE seq = ?", (seq,))
        relink(connection, seq)

    tamper(rewrite)
    assert verify(log)[1] == []
    (found,) = verify(log, 4, noted)[1]
    assert (found["damage"], found["first"]) == ("rewritten", COUNT)


def test_a_cut_off_tail_with_its_counter_is_found_with_a_head_that_was_noted(
    log: House, tamper: Callable[[Tamper], None]
) -> None:
    head = log.ok("GET", "/api/v1/events/head")

    def cut(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM events WHERE seq > 9")
        connection.execute("UPDATE counters SET value = 9 WHERE name = 'events'")

    tamper(cut)
    assert verify(log) == (9, [])
    (found,) = verify(log, 4, f"{head['seq']}:{head['hash']}")[1]
    assert (found["damage"], found["first"], found["last"]) == ("missing", 10, COUNT)


@pytest.mark.parametrize("expect", ["1", "x:" + "0" * 64, "1:" + "0" * 63, "1:" + "G" * 64])
def test_what_is_no_head_is_refused(log: House, expect: str) -> None:
    assert log.ask("GET", f"{VERIFY}?expect={expect}").status == 400


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_tampering_is_found_at_its_first_place(log: House, shared: tuple[House, Path], data: st.DataObject) -> None:
    seq = data.draw(st.integers(1, COUNT))
    other = data.draw(st.integers(1, COUNT).filter(lambda number: number != seq))
    columns = ["at", "actor", "verb", "ref", "detail", "previous_hash", "hash"]
    what = data.draw(st.sampled_from([*columns, "gone", "swap"]))
    value = data.draw(st.integers(0, 2**60) | st.text(alphabet='abcü{}":', max_size=20) | st.binary(max_size=8))
    limit = data.draw(st.integers(3, COUNT + 1))
    with closing(database(shared[1])) as connection:
        kept = connection.execute("SELECT * FROM events").fetchall()
        try:
            if what == "gone":
                connection.execute("DELETE FROM events WHERE seq = ?", (seq,))
            elif what == "swap":
                swap(connection, seq, other)
            else:
                connection.execute(f"UPDATE events SET {what} = ? WHERE seq = ?", (value, seq))  # noqa: S608
            is_same = connection.execute("SELECT * FROM events").fetchall() == kept
            found = verify(log, limit)[1]
        finally:
            connection.execute("DELETE FROM events")
            connection.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?,?)", kept)
    place = min(seq, other) if what == "swap" else seq
    assert (found[0]["first"] if found else 0) == (0 if is_same else place)


def test_entries_are_chosen_and_paged_both_ways(log: House) -> None:
    def ask(query: str) -> list[int]:
        return [event["seq"] for event in log.ok("GET", f"/api/v1/events?{query}")["items"]]

    assert ask("after=10") == [11, 12]
    assert ask("order=desc&limit=3") == [12, 11, 10]
    assert ask("verb=delete&limit=2") == [2, 4]
    assert ask("actor=nobody") == []
    assert ask("ref=model:m:1") == [1]
    assert ask("ref=model:m:1*") == [1, 10, 11, 12]
    assert ask("ref=MODEL*") == []
    assert ask("since=1970-01-01T00:00:03Z&until=1970-01-01T00:00:05Z") == [3, 4]
    seen, following = [], ""
    while True:
        page = log.ok("GET", f"/api/v1/events?order=desc&limit=5{following}")
        seen += [event["seq"] for event in page["items"]]
        if "next" not in page:
            break
        following = f"&next={page['next']}"
    assert seen == list(range(COUNT, 0, -1))
    for wrong in ("since=yesterday", "order=up", "after=-1", "until=2020-01-01"):
        assert log.ask("GET", f"/api/v1/events?{wrong}").status == 400


def test_an_export_has_every_entry_and_can_be_verified_by_itself(log: House) -> None:
    answer = log.ask("GET", "/api/v1/events:export?format=jsonl")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, COUNT + 1))
    assert [line["previous_hash"] for line in lines] == [GENESIS, *(line["hash"] for line in lines[:-1])]
    assert log.ask("GET", "/api/v1/events:export?format=csv").status == 400


def test_a_stream_goes_on_where_it_stopped_and_ends_with_its_token(log: House) -> None:
    people = PeopleTokens(log.services.store, log.services.access, log.services.now)
    _, secret = people.create(TokenSpec(name="watcher", role="reader"), expires_at=None, by="ann")
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {secret}"}
    connection = http.client.HTTPConnection("127.0.0.1", log.port, timeout=30)
    connection.request("GET", "/api/v1/events?verb=create", headers={**headers, "Last-Event-ID": str(COUNT - 3)})
    response = connection.getresponse()
    assert response.headers["content-type"].startswith("text/event-stream")
    assert [next(messages(response)) for _ in range(2)] == [COUNT - 1, COUNT + 1]  # the last is the token's own
    fill(log, 1)
    assert next(messages(response)) == COUNT + 2
    people.revoke("watcher", by="ann")
    assert response.read().strip() == b""
    connection.close()


def messages(response: http.client.HTTPResponse) -> Iterator[int]:
    """Yield the numbers of a stream's entries; what is said about one agrees with its id."""
    while line := response.readline():
        if line.startswith(b"id: "):
            number = int(line[4:])
            assert response.readline() == b"event: event\n"
            assert json.loads(response.readline()[6:])["seq"] == number
            yield number


def test_every_change_over_mlflow_s_protocol_is_an_event_but_metric_points(fresh_house: House) -> None:
    api = "/api/2.0/mlflow"
    experiment = fresh_house.ok("POST", f"{api}/experiments/create", {"name": "e"})["experiment_id"]
    run = fresh_house.ok("POST", f"{api}/runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    metric = {"key": "m", "value": 1, "timestamp": 1}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("runs/log-metric", {"run_id": run, **metric}),
        ("runs/log-parameter", {"run_id": run, "key": "p", "value": "1"}),
        ("runs/log-batch", {"run_id": run, "metrics": [metric]}),
        ("runs/log-batch", {"run_id": run, "tags": [{"key": "t", "value": "1"}]}),
        ("runs/set-tag", {"run_id": run, "key": "a", "value": "x" * 3000}),
        ("runs/delete-tag", {"run_id": run, "key": "a"}),
        ("runs/update", {"run_id": run, "status": "FINISHED", "run_name": "better"}),
        ("runs/delete", {"run_id": run}),
        ("runs/restore", {"run_id": run}),
        ("experiments/set-experiment-tag", {"experiment_id": experiment, "key": "a", "value": "b"}),
        ("experiments/delete-experiment-tag", {"experiment_id": experiment, "key": "a"}),
        ("experiments/update", {"experiment_id": experiment, "new_name": "f"}),
        ("experiments/delete", {"experiment_id": experiment}),
        ("experiments/restore", {"experiment_id": experiment}),
        ("registered-models/create", {"name": "r"}),
        ("registered-models/set-tag", {"name": "r", "key": "a", "value": "b"}),
        ("registered-models/rename", {"name": "r", "new_name": "s"}),
    ]
    for path, content in calls:
        fresh_house.ok("POST", f"{api}/{path}", content)
    found = fresh_house.ok("GET", "/api/v1/events")["items"]
    assert {event["actor"] for event in found} == {"ann"}
    of_run = [(event["verb"], event["detail"]) for event in found if event["ref"] == f"run:{run}"]
    assert of_run == [
        ("create", {"experiment": "e"}),
        ("log-param", {"key": "p", "value": "1"}),
        ("set-tags", {"keys": "t"}),
        ("set-tag", {"key": "a", "value": "x" * 200}),
        ("delete-tag", {"key": "a"}),
        ("update", {"status": "FINISHED", "name": "better"}),
        ("delete", {}),
        ("restore", {}),
    ]
    verbs = [event["verb"] for event in found if event["ref"] == f"experiment:{experiment}"]
    assert verbs == ["create", "set-tag", "delete-tag", "rename", "delete", "restore"]
    assert len([event for event in found if event["ref"].startswith("model:")]) == 3
    assert verify(fresh_house)[1] == []


def test_what_a_job_does_to_its_own_run_is_content(fresh_house: House) -> None:
    job = fresh_house.submit(name="own-tags")
    _, token = fresh_house.begin(job)
    before = len(fresh_house.ok("GET", "/api/v1/events")["items"])
    for path, content in (
        ("set-tag", {"key": "a", "value": "b"}),
        ("log-batch", {"tags": [{"key": "c", "value": "d"}]}),
        ("update", {"run_name": "mine"}),
        ("delete-tag", {"key": "a"}),
    ):
        fresh_house.ok("POST", f"/api/2.0/mlflow/runs/{path}", {"run_id": job.name, **content}, token=token)
    assert len(fresh_house.ok("GET", "/api/v1/events")["items"]) == before
