"""Waiting for a scorer, and no longer than it may take.

The rule here: time is the injected clock's. What is given up is cancelled, and left behind if it does not end then.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from agent_core.errors import ScorerError
from agent_core.ports import Clock

T = TypeVar("T")

# Seconds that a cancelled scorer has to end.
GRACE = 1.0

_log = logging.getLogger(__name__)


async def within(seconds: float, clock: Clock, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. Raises ScorerError of kind `timeout` if that takes longer, and what it raises."""
    task = asyncio.ensure_future(_contained(work))
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ScorerError(
                f"The scorer was not done after {seconds:g} s and was given up. Make it quicker, or give scorers more"
                " time.",
                "timeout",
            )
        if task.cancelled():
            raise ScorerError("The scorer cancelled itself. Mend it; a scorer returns a score or raises.", "cancelled")
        return task.result()
    finally:
        timer.cancel()
        await _end(task)


async def _contained(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    except SystemExit as error:
        # It would end the event loop, and with it every other session.
        raise ScorerError(f"The scorer left by SystemExit: {error}. Return a score instead.", "SystemExit") from None


async def _end(task: "asyncio.Future[Any]") -> None:
    if task.done():
        return
    task.cancel()
    await asyncio.wait((task,), timeout=GRACE)
    if not task.done():
        _log.warning("a scorer goes on although it was cancelled; it is left behind")
        task.add_done_callback(_forget)


def _forget(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled():
        task.exception()
