"""Reader processes that hang, die or are asked for nothing any more: whoever else asks is answered."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.postgresql import PostgresServer
from tests.server.odd_reader import DEADLY, ECHO, ENDLESS, ENDLESS_AND_LARGE, LONG, MIB, Sent, starter

from penstock.entities.errors import UnavailableError
from penstock.server.mlflow.errors import error_response
from penstock.server.problems import BusyError, problem_response
from penstock.server.readers.pool import HERE, Readers
from penstock.server.readers.process import Start
from penstock.server.readers.question import Question
from penstock.server.readers.waiting import Asked, Waiting
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.postgres import PostgresMetadataStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore

T = TypeVar("T")
PATIENCE_S = 25
NEVER_S = 3600.0


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    if request.param == "sqlite":
        opened: MetadataStore = SqliteMetadataStore(tmp_path / "metadata.db")
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        opened = PostgresMetadataStore(server.url())
    yield opened
    opened.close()


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[MetadataStore]:
    opened = SqliteMetadataStore(tmp_path / "metadata.db")
    yield opened
    opened.close()


@asynccontextmanager
async def pool(store: MetadataStore, start: Start | None, **options: Any) -> AsyncIterator[Readers]:
    readers = Readers(store, start, most=1, **options)
    try:
        yield readers
    finally:
        readers.end()
        await until(lambda: not readers.demand)
        readers.close()


def patiently(work: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await asyncio.wait_for(work(), PATIENCE_S)

    return asyncio.run(run())


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():
        await asyncio.sleep(0)


async def echo(readers: Readers, number: int = 1) -> int:
    """Ask a short question; return the pid of who answered."""
    found = (await readers.answer(ECHO, Sent(number))).short
    assert found is not None
    said, pid = found.split()
    assert int(said) == number
    return int(pid)


async def up(readers: Readers) -> int:
    """Ask until a process answers, and return its pid."""
    while not readers.pids:
        await echo(readers)
    return readers.pids[0]


def test_a_stuck_process_is_replaced_and_its_questions_are_asked_again(file_store: MetadataStore) -> None:
    async def run() -> None:
        async with pool(file_store, starter(file_store), look_s=0.2) as readers:
            pid = await up(readers)
            os.kill(pid, signal.SIGSTOP)
            asked = [asyncio.create_task(echo(readers, number)) for number in range(5)]
            answered_by = set(await asyncio.gather(*asked))
            assert pid not in answered_by

    patiently(run)


def test_a_stuck_process_that_nobody_asks_any_more_does_not_stay(file_store: MetadataStore) -> None:
    async def run() -> None:
        async with pool(file_store, starter(file_store), look_s=0.1) as readers:
            descriptor = os.pidfd_open(await up(readers))
            signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
            readers.end()
            ended, _, _ = await asyncio.to_thread(select.select, [descriptor], [], [], PATIENCE_S)
            os.close(descriptor)
            assert ended

    patiently(run)


def test_a_question_that_ends_processes_is_refused_and_never_asked_in_the_server(file_store: MetadataStore) -> None:
    async def run() -> None:
        async with pool(file_store, starter(file_store)) as readers:
            pid = await up(readers)
            beside = asyncio.create_task(echo(readers))
            with pytest.raises(UnavailableError, match="not asked again"):
                await readers.answer(DEADLY, Sent())
            await beside
            assert await up(readers) != pid

    patiently(run)


def test_what_nobody_waits_for_is_interrupted(store: MetadataStore) -> None:
    async def run() -> None:
        async with pool(store, starter(store)) as readers:
            pid = await up(readers)
            for question in (ENDLESS, ENDLESS, ENDLESS_AND_LARGE):
                asked = [asyncio.create_task(readers.answer(question, Sent())) for _ in range(6)]
                await until(lambda: readers.demand == 6)
                for one in asked:
                    one.cancel()
                await asyncio.wait(asked)
                assert await echo(readers) == pid
                await until(lambda: not readers.demand)

    patiently(run)


def test_what_nobody_waits_for_is_interrupted_in_the_server_too(store: MetadataStore) -> None:
    async def run() -> None:
        async with pool(store, None) as readers:
            asked = [asyncio.create_task(readers.answer(ENDLESS, Sent())) for _ in range(6)]
            await until(lambda: readers.demand == 6)
            for one in asked:
                one.cancel()
            assert await echo(readers) == os.getpid()
            await until(lambda: not readers.demand)

    patiently(run)


def test_a_short_question_does_not_wait_for_large_ones(file_store: MetadataStore) -> None:
    async def run() -> None:
        async with pool(file_store, starter(file_store)) as readers:
            pid = await up(readers)
            large = [asyncio.create_task(readers.answer(ENDLESS_AND_LARGE, Sent())) for _ in range(5)]
            await until(lambda: readers.demand == 5)
            assert await echo(readers) == pid
            for one in large:
                one.cancel()

    patiently(run)


def test_a_process_that_dies_while_it_starts_is_replaced_at_once(file_store: MetadataStore) -> None:
    started: list[int] = []
    begin = starter(file_store)

    def start(line: Any, files: Any) -> Any:
        process = begin(line, files)
        started.append(process.pid)
        if len(started) == 1:
            process.kill()
        return process

    async def run() -> None:
        async with pool(file_store, start) as readers:
            assert await up(readers) == started[1]

    patiently(run)


def test_few_questions_are_asked_in_the_server_at_once(file_store: MetadataStore) -> None:
    begun: list[int] = []
    may_end = threading.Event()

    def wait(_: Any, sent: Sent) -> bytes:
        begun.append(sent.number)
        assert may_end.wait(PATIENCE_S)
        return b""

    async def run() -> None:
        async with pool(file_store, None) as readers:
            question = Question("wait", Sent, wait)
            asked = [asyncio.create_task(readers.answer(question, Sent(number))) for number in range(10)]
            await until(lambda: len(begun) >= HERE)
            for _ in range(5):  # as many threads could begin meanwhile as may
                await asyncio.to_thread(list, range(1000))
            assert sorted(begun) == list(range(HERE))
            may_end.set()
            await asyncio.gather(*asked)

    patiently(run)


def test_a_long_answer_is_a_file_until_it_is_sent(file_store: MetadataStore) -> None:
    async def run() -> None:
        async with pool(file_store, starter(file_store), unsent_bytes=1) as readers:
            pid = await up(readers)
            answer = await readers.answer(LONG, Sent(20))
            assert (answer.short, answer.size) == (None, 20 * MIB)
            next_one = asyncio.create_task(readers.answer(LONG, Sent(1)))
            assert await echo(readers) == pid  # before the long one, which waits for room
            assert not next_one.done()
            sent = bytearray()
            while piece := await answer.piece(len(sent)):
                sent += piece
            assert bytes(sent) == b"".join(bytes([number]) * MIB for number in range(20))
            answer.close()
            second = await next_one
            assert second.size == MIB
            second.close()

    patiently(run)


def test_who_finds_no_room_is_told_when_to_come_back_behind_both_doors() -> None:
    busy = BusyError("too many wait", retry_after_s=2)
    answers = [problem_response(busy), error_response(busy)]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(429, "2")] * 2


def test_callers_take_turns_and_none_takes_all_the_room() -> None:
    async def run() -> list[str]:
        waiting = Waiting(most=8)

        def asked(caller: str) -> Asked:
            return Asked(ECHO, Sent(), caller, asyncio.get_running_loop().create_future(), is_large=False)

        for caller in "aaaabc":
            waiting.put(asked(caller))
        with pytest.raises(BusyError) as refused:
            waiting.put(asked("a"))
        assert refused.value.retry_after_s > 0
        taken = []
        while one := waiting.take(lambda _: True):
            taken.append(one.caller)
        return taken

    assert asyncio.run(run()) == ["a", "b", "c", "a", "a", "a"]
