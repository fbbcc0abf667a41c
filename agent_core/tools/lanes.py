"""Which call runs next: two queues, one for calls in the event loop and one for calls in child processes.

The rule here: each lane keeps its order, and a full one never holds up the other while a slot is free.
"""

from collections import OrderedDict
from itertools import count


class Lanes:
    """Queues calls by their keys. `slots` run at once in all, `processes` of them in child processes."""

    def __init__(self, slots: int, processes: int) -> None:
        self._slots = slots
        self._processes = processes
        self._numbers = count()
        self._loop: OrderedDict[str, int] = OrderedDict()
        self._child: OrderedDict[str, int] = OrderedDict()
        self._running: dict[str, bool] = {}
        self._in_child = 0

    @property
    def running(self) -> int:
        """How many calls hold a slot."""
        return len(self._running)

    def add(self, key: str, *, synchronous: bool) -> None:
        """Queue a call behind those of its lane."""
        lane = self._child if synchronous else self._loop
        lane[key] = next(self._numbers)

    def remove(self, key: str) -> None:
        """Take a call out, whether it waits or runs."""
        if (in_child := self._running.pop(key, None)) is not None:
            self._in_child -= in_child
        self._loop.pop(key, None)
        self._child.pop(key, None)

    def next(self) -> str | None:
        """Give the oldest call that may start a slot; None if none may."""
        if len(self._running) >= self._slots:
            return None
        child_first = next(iter(self._child.values()), None) if self._in_child < self._processes else None
        loop_first = next(iter(self._loop.values()), None)
        if child_first is None and loop_first is None:
            return None
        in_child = loop_first is None or (child_first is not None and child_first < loop_first)
        key, _ = (self._child if in_child else self._loop).popitem(last=False)
        self._running[key] = in_child
        self._in_child += in_child
        return key
