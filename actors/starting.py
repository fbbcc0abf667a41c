"""What a runtime is made of, started and ended in their order.

The rule here: what was started ends with the program, and takes a bounded time even if nothing on the cluster answers.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import journal as journal_actor
from actors.calls import Gone, ask, tell
from actors.cluster import ClusterInfo, disconnect
from actors.head import Head
from actors.journals import RuntimeJournal, journal_of
from actors.router import spawn_router
from actors.settings import JOURNAL_NAME, RuntimeSettings, router_name
from actors.spawning import started
from actors.threads import in_thread
from agent_core.errors import PlacementError, RayconteurError
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.postgres_options import PostgresOptions
from agent_core.journals.sqlite_file import FileOptions, SqliteFile

_STOP_DEADLINE = 10.0
_LEAVE_DEADLINE = 10.0


async def try_journal(path: Path, address: str | None) -> None:
    """Open and close the journal, before anything is started. Raises JournalError if it cannot be kept there."""
    if address is None:
        return await asyncio.to_thread(_try_file, path)
    journal = PostgresJournal(address)
    try:
        await journal.open()
    finally:
        await journal.close()
    return None


def _try_file(path: Path) -> None:
    file = SqliteFile(path, FileOptions())
    try:
        file.opened()
    finally:
        file.close()


async def start_routers(settings: RuntimeSettings, head: Head, stack: AsyncExitStack) -> RuntimeSettings:
    """Start the router, or meet the one of this name: the settings that the runtime goes by.

    What was started here ends with `stack`, unless it is detached. Raises PlacementError if one does not start.
    """
    first = await spawn_router(0, settings)
    known: RuntimeSettings = await started(router_name(0), first, "settings")
    if known.founder != settings.founder:
        return known
    # The first shard is no detached actor: it ends with this program, and all the others when it is gone.
    if settings.tethered:
        stack.push_async_callback(_end, first, head)
    for shard in range(1, settings.routers):
        await spawn_router(shard, settings)
    if not settings.shared:
        tell(first, "prepare")
    return settings


@asynccontextmanager
async def started_journal(settings: RuntimeSettings) -> AsyncIterator[RuntimeJournal]:
    """The runtime's journal, for this program. Raises JournalError if it cannot be used."""
    if settings.journal is None:
        await _start_journal_actor(settings)
        yield journal_of(settings)
        return
    journal = PostgresJournal(settings.journal, PostgresOptions(durability=settings.durability))
    try:
        yield await journal.open()
    finally:
        await journal.close()


async def _start_journal_actor(settings: RuntimeSettings) -> None:
    """Start the journal's actor, or meet it, and have it open its file."""
    handle = journal_actor.spawn(
        JOURNAL_NAME,
        settings.namespace,
        settings.journal_path,
        FileOptions(durability=settings.durability),
        tether=settings if settings.tethered else None,
        lifetime="detached",
        scheduling_strategy=NodeAffinitySchedulingStrategy(settings.node_id or "", soft=False),
    )
    await handle.open()


async def _end(first: Any, head: Head) -> None:
    """End what this program started. The shard is held until then: Ray ends it with its last handle."""
    with suppress(Gone, RayconteurError, TimeoutError):
        async with head.awaited(), asyncio.timeout(_STOP_DEADLINE):
            await ask(first, "stop")
    with suppress(PlacementError):
        async with head.awaited():
            await in_thread(ray.kill, first, no_restart=True)


async def cancel(task: asyncio.Task[None]) -> None:
    """End a task that watches something."""
    task.cancel()
    await asyncio.wait([task])


async def leave(cluster: ClusterInfo, head: Head) -> None:
    """Leave the cluster. Without its head Ray takes five seconds for it, which the program need not stand still for."""
    if not head.lost:
        return disconnect(cluster)
    with suppress(TimeoutError):
        async with asyncio.timeout(_LEAVE_DEADLINE):
            await in_thread(disconnect, cluster)
    return None
