"""Do something in the gateway again and again, for as long as it lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

logger = logging.getLogger(__name__)

RETRY_S = 1.0


async def go_round(one_round: Callable[[], Awaitable[None]], what: str) -> NoReturn:
    """Go round until cancelled; a round that fails is logged as ``what``, and the next one begins a second later."""
    while True:
        try:
            await one_round()
        except Exception:
            logger.exception("%s failed", what)
            await asyncio.sleep(RETRY_S)
