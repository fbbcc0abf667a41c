"""Sessions deleted for good: those that are named, or those that nobody has used for long.

The rule here: nothing is deleted before it was said what, and a session that was used meanwhile is not old.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence

from agent_core.journals.catalog import FullJournal
from agent_core.journals.info import SessionInfo
from drivers.chatting.figures import several
from drivers.listing.asking import confirmed
from drivers.listing.journals import Catalog, every

_NAMED = 8
# These are deleted in one transaction.
_AT_ONCE = 100


async def agreed(sessions: Sequence[SessionInfo], *, yes: bool) -> bool:
    """Whether these are to be deleted: the user said so before, or says so now. Raises ConfigError if nobody can."""
    if yes:
        return True
    named = ", ".join(info.session_id for info in sessions[:_NAMED])
    more = f" and {len(sessions) - _NAMED:,} more" if len(sessions) > _NAMED else ""
    records = several(sum(info.last_seq for info in sessions), "record")
    question = f"Delete {several(len(sessions), 'session')} for good ({records}): {named}{more}?"
    if await confirmed(question, "Write --yes to delete without being asked."):
        return True
    print("nothing was deleted", file=sys.stderr)
    return False


async def delete(journal: FullJournal, sessions: Sequence[SessionInfo], before: float | None = None) -> int:
    """Delete the sessions, say each, and return how many they were.

    With `before` (seconds since the epoch), one that was used since then is left alone.
    """

    async def delete_one(info: SessionInfo) -> bool:
        if before is not None:
            now = await journal.session_info(info.session_id)
            if now is None or now.updated_at >= before:
                return False
        return await journal.delete(info.session_id)

    number = 0
    for start in range(0, len(sessions), _AT_ONCE):
        part = sessions[start : start + _AT_ONCE]
        gone = await asyncio.gather(*map(delete_one, part))
        for info in (info for info, deleted in zip(part, gone, strict=True) if deleted):
            number += 1
            print(f"deleted {info.session_id}", flush=True)
    return number


async def old(journal: Catalog, before: float, labels: Mapping[str, str]) -> list[SessionInfo]:
    """The sessions with these labels that nobody has used since `before` (seconds since the epoch)."""
    return [info async for info in every(journal, labels) if info.updated_at < before]
