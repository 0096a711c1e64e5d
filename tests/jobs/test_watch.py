from __future__ import annotations

import asyncio
import threading

from penstock.jobs.watch import Feed


def test_a_change_before_the_wait_is_not_missed() -> None:
    feed = Feed()
    feed.notify("job:a")
    assert asyncio.run(feed.wait("job:a", 0, 60)) == 1


def test_a_change_from_another_thread_wakes() -> None:
    feed = Feed()

    async def wait() -> int:
        waiting = asyncio.create_task(feed.wait("job:a", 0, 60))
        await asyncio.sleep(0)
        thread = threading.Thread(target=feed.notify, args=("job:a",))
        thread.start()
        result = await waiting
        thread.join()
        return result

    assert asyncio.run(wait()) == 1


def test_time_over_returns_the_same_counter_and_leaves_no_waiter() -> None:
    feed = Feed()
    assert asyncio.run(feed.wait("job:a", 0, 0.001)) == 0
    assert not feed._waiters


def test_waiters_of_other_topics_sleep_on() -> None:
    feed = Feed()

    async def wait() -> bool:
        waiting = asyncio.create_task(feed.wait("job:b", 0, 60))
        await asyncio.sleep(0)
        feed.notify("job:a")
        await asyncio.sleep(0)
        done = waiting.done()
        waiting.cancel()
        return done

    assert not asyncio.run(wait())
