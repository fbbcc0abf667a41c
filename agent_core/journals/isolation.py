"""Keeping the failure of one operation from its neighbours in the same transaction.

The rule here: a group that failed of something that one operation may have caused is tried again in halves, in order.
What follows a failed operation of the same session fails with it: alone it would be refused for a gap that is none.
"""

from collections import deque
from collections.abc import Callable, Sequence

from agent_core.errors import JournalError
from agent_core.journals.failures import DIVISIBLE
from agent_core.journals.wire import Answer, Operation, session_of

# Enough to find two culprits among two thousand, few enough for a disk that is really full.
_TRIES = 48


def write_apart(
    write: Callable[[Sequence[Operation]], Sequence[Answer]], operations: Sequence[Operation]
) -> list[Answer]:
    """`write` all operations in as few transactions as their failures allow. Failures are among the answers."""
    answers: list[Answer] = []
    failed: dict[str, JournalError] = {}
    parts = deque([operations])
    tries = _TRIES
    while parts:
        part = parts.popleft()
        wanted = [operation for operation in part if _session(operation) not in failed]
        tries -= 1
        try:
            written = iter(write(wanted) if wanted else ())
        except JournalError as error:
            if len(part) > 1 and tries > 0 and error.kind in DIVISIBLE:
                half = len(part) // 2
                parts.extendleft([part[half:], part[:half]])
                continue
            failed.update((session, error) for operation in wanted if (session := _session(operation)))
            answers.extend(failed.get(_session(operation), error) for operation in part)
        else:
            answers.extend(failed.get(_session(operation)) or next(written) for operation in part)
    return answers


def _session(operation: Operation) -> str:
    return session_of(operation) or ""
