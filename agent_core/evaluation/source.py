"""Sources: where a runner gets its assignments from.

The rule here: a source gives each assignment once. None means that there is nothing more to do.
"""

from collections.abc import Iterator
from typing import Protocol

from agent_core.evaluation.sample import Assignment


class Source(Protocol):
    """Gives assignments, to many takers at once."""

    async def take(self) -> Assignment | None:
        """The next assignment, waited for while there may be one; None when there will be none.

        Raises OSError or RayconteurError if it cannot be read on.
        """
        ...


class Listed:
    """The assignments of an iterator."""

    def __init__(self, assignments: Iterator[Assignment]) -> None:
        self._assignments = assignments

    async def take(self) -> Assignment | None:
        return next(self._assignments, None)
