"""An event loop whose time is virtual: waiting costs nothing, and order follows from the program alone.

The rule here: when nothing is ready, time jumps to the next timer; when there is no timer either, nothing can ever
happen again, and that is an error.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, ContextVar
from typing import Any, TypeVar, cast

Result = TypeVar("Result")


class Deadlock(Exception):
    """Everybody waits and no timer is set."""


class _JumpingSelector(selectors.BaseSelector):
    """Never waits for a file: it moves time instead."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("everybody waits and no timer is set")
        self.now += max(timeout, 0.0)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self.set_task_factory(cast("Any", _remember))

    def time(self) -> float:
        return self._jumping.now


class TaskOwner:
    """Whoever may be killed with all tasks that it, or they, have started."""

    def __init__(self) -> None:
        # In the order in which they were started, for what is killed wakes others in the order in which it ends.
        self.tasks: dict[asyncio.Task[Any], None] = {}


OWNER: ContextVar[TaskOwner | None] = ContextVar("owner", default=None)


def _remember(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Context | None = None
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    owner = OWNER.get()
    if owner is not None:
        owner.tasks[task] = None
        task.add_done_callback(lambda done: owner.tasks.pop(done, None))
    return task


def run(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine in a virtual loop of its own."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
