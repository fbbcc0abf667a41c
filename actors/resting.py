"""Sessions that nobody wants anything of are put away: after a while, and sooner when their actor takes much memory.

The rule here: a session that is put away is in the journal whole; whoever wants it next activates it, and notices
nothing. One that works, waits or is read from stays.
"""

import asyncio
import logging

import psutil

from actors.settings import RuntimeSettings
from agent_core.hosting import SessionHost

log = logging.getLogger("rayconteur.actor")

_LONGEST_PAUSE = 10.0
# The part of the sessions that goes at once when memory is short.
_PART = 10


async def put_idle_away(host: SessionHost, settings: RuntimeSettings) -> None:
    """Return never."""
    process = psutil.Process()
    while True:
        await asyncio.sleep(min(_LONGEST_PAUSE, settings.put_away_after / 4))
        gone = await host.put_away(settings.put_away_after)
        if settings.actor_memory and process.memory_info().rss > settings.actor_memory:
            gone += await host.put_away(at_most=max(1, len(host.active) // _PART))
        if gone:
            log.info("put %d idle sessions away; %d are active", gone, len(host.active))
