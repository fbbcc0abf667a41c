"""Calls of Ray that block, each in a thread of its own.

The rule here: nobody waits for such a thread at the end. Without a head Ray blocks for ever in places, and the threads
of an event loop's own executor would keep the whole program from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Found = TypeVar("Found")


async def in_thread(function: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found:
    """What the function returns or raises. If this is cancelled, the thread goes on by itself."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Found] = loop.create_future()

    def settle(outcome: Future[Found]) -> None:
        if answer.done():
            return
        if (error := outcome.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(outcome.result())

    def work() -> None:
        outcome: Future[Found] = Future()
        try:
            outcome.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it is the caller's, who gets it
            outcome.set_exception(error)
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=work, name=f"ray-{getattr(function, '__name__', 'call')}", daemon=True).start()
    return await answer
