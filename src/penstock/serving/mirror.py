"""Copies of live requests for a deployment that gets none yet: sent and forgotten, their answers counted alone.

A copy can neither slow nor fail the request it was made of: it starts after that one is on its way, few are under way
at once, and one more than that is dropped.
"""

from __future__ import annotations

import asyncio
import logging

from penstock.rules.rollout import BUCKETS, Counts, bucket_end_s
from penstock.rules.traffic import SECOND_STEP, LowDiscrepancyPicker
from penstock.serving.backend import Backend
from penstock.serving.codes import QueueFullError, ScoringError, answered_status
from penstock.serving.codes import is_failure as is_bad
from penstock.serving.tally import Tally

logger = logging.getLogger(__name__)

MAX_COPIES = 32
MAX_BYTES = 64 * 2**20


class Mirror:
    """The copies of one endpoint; on the event loop only.

    Parameters
    ----------
    to : str
        The deployment that gets them.
    percent : int
        How many of a hundred requests are copied.
    backend : Backend
        That deployment's.
    tally : Tally
        Counts what became of them.
    """

    def __init__(self, to: str, percent: int, backend: Backend, tally: Tally) -> None:
        self.to = to
        self.percent = percent
        self.backend = backend
        self.tally = tally
        # In step with the split's sequence, the copies could all be of requests that one deployment answers.
        self._picker = LowDiscrepancyPicker({"yes": percent, "no": 100 - percent}, step=SECOND_STEP)
        self._under_way: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._is_over = False

    def is_chosen(self) -> bool:
        """Return whether the next request is copied."""
        if self._picker.pick() != "yes":
            return False
        if len(self._under_way) >= MAX_COPIES or self._bytes >= MAX_BYTES:
            self.tally.drop()
            return False
        return True

    def send(self, meta: bytes, body: bytes) -> None:
        """Send a copy and return at once."""
        task = asyncio.get_running_loop().create_task(self._score(meta, body))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def stop(self) -> None:
        """End: copies under way are forgotten."""
        for task in self._under_way:
            task.cancel()
        self._is_over = True
        self.tally.close()

    def news(self) -> dict[str, object]:
        """Return what the server shows."""
        counts = self.tally.counts()
        return {
            "to": self.to,
            "copies": counts.requests,
            "failures": counts.failures,
            "dropped": self.tally.dropped,
            "p50_ms": _quantile_ms(counts, 0.5),
            "p99_ms": _quantile_ms(counts, 0.99),
        }

    async def _score(self, meta: bytes, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._bytes += len(body)
        try:
            answer, _ = await self.backend.score(meta, body)
            is_failure = is_bad(answered_status(answer, is_script=self.backend.is_script))
        except QueueFullError:
            if not self._is_over:
                self.tally.drop()
            return
        except ScoringError:
            is_failure = True
        except Exception:
            logger.exception("a copied request failed")
            is_failure = True
        finally:
            self._bytes -= len(body)
        if not self._is_over:
            self.tally.note(loop.time() - began, is_failure=is_failure)


def _quantile_ms(counts: Counts, share: float) -> float | None:
    total = sum(counts.latencies)
    seen = 0
    for bucket in range(BUCKETS):
        seen += counts.latencies[bucket]
        if total and seen >= share * total:
            return round(bucket_end_s(bucket) * 1000, 3)
    return None
