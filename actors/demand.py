"""What sessions at work ask of a cluster that grows by itself: CPUs, one for so many of them.

The rule here: session actors reserve nothing, so the autoscaler sees nothing of their work unless it is told. It is
told only that more is needed than is there, never more than the actors could use, and that it is over.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress

from ray.autoscaler.sdk import request_resources

from actors.calls import Gone, ask
from actors.finding import find_actor, names_in
from actors.nodes import ROLE_LABEL, SessionNode
from actors.settings import SESSIONS_AT_ONCE, SHARED, RuntimeSettings
from actors.threads import in_thread
from agent_core.errors import PlacementError

log = logging.getLogger("rayconteur.router")

QUIET = 300.0
"""Seconds without need after which what was asked for is given back."""
_ANSWER = 5.0

Bundles = list[dict[str, float]]
Request = Callable[[Bundles, list[dict[str, str]]], None]


def ask_autoscaler(bundles: Bundles, selectors: list[dict[str, str]]) -> None:
    """Have the cluster be large enough for all of these at once. What was asked for before is replaced."""
    request_resources(bundles=bundles, bundle_label_selectors=selectors)


class Demand:
    """Of one runtime, in its first router shard. The cluster has one such request: the newest, whoever made it."""

    def __init__(self, settings: RuntimeSettings, request: Request = ask_autoscaler) -> None:
        self._settings, self._request = settings, request
        self._asked = 0
        self._needed_at = 0.0

    async def look(self, nodes: Sequence[SessionNode], now: float) -> None:
        """See how many sessions are at work and ask for what they need. `now` is in seconds."""
        await self.follow(await self._working(), nodes, now)

    async def follow(self, working: int, nodes: Sequence[SessionNode], now: float) -> None:
        """So many sessions are at work on these nodes."""
        # An actor is one process, and its loop one thread: it has no use for more than one CPU.
        needed = min(math.ceil(working / SESSIONS_AT_ONCE), self._settings.session_actors)
        if needed > sum(node.cpus for node in nodes):
            self._needed_at = now
            if needed > self._asked:
                await self._ask(needed, nodes)
        elif self._asked and needed >= self._asked:
            self._needed_at = now
        elif self._asked and now - self._needed_at > QUIET:
            await self._ask(0, nodes)

    async def _ask(self, cpus: int, nodes: Sequence[SessionNode]) -> None:
        role = {ROLE_LABEL: "sessions"} if any(node.role == "sessions" for node in nodes) else {}
        await in_thread(self._request, [{"CPU": 1.0}] * cpus, [role] * cpus)
        self._asked = cpus
        log.info("asked the autoscaler for %d CPUs for sessions", cpus)

    async def _working(self) -> int:
        names = [name for name in await names_in(self._settings.namespace) if name.startswith(SHARED)]
        return sum(await asyncio.gather(*map(self._working_in, names)))

    async def _working_in(self, name: str) -> int:
        with suppress(Gone, PlacementError, TimeoutError):
            async with asyncio.timeout(_ANSWER):
                return await ask(await find_actor(name, self._settings.namespace), "working")
        return 0
