"""kill -9 of any process of a runtime at a seeded moment of one conversation: it ends as if nothing had happened.

What may differ is what nobody can know: the outcome of a call that must not run twice and was under way.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from actors import Runtime, SessionHandle
from agent_core.compaction.settings import LLMCompaction
from agent_core.content import ToolResultBlock
from agent_core.cursor import Cursor, Event
from agent_core.errors import PlacementError
from agent_core.messages import Message
from agent_core.scripted import Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import config, kill, look, note

pytestmark = pytest.mark.asyncio(loop_scope="module")

VICTIMS = ("sessions/0", "sessions/0", "journal", "tools/0", "compactor/0", "router/0")
# So many events the conversation has at least, all of them together.
EVENTS = 60
COMPACTED_AFTER = 2
LONG = "There is a lot to say, and it is said at some length. " * 4


def words(ledger: Path) -> list[str]:
    """What the user says."""
    paid, seen = ledger / "paid", ledger / "seen"
    return [
        LONG,
        f'call note {{"path": "{paid}", "seconds": 0.2}} call look {{"path": "{seen}", "seconds": 0.1}}',
        f"Again. {LONG}",
        f'call look {{"path": "{seen}", "seconds": 0.1}} then call note {{"path": "{paid}-2", "seconds": 0.1}}',
        f"And again. {LONG}",
    ]


@pytest.mark.parametrize("seed", range(12))
async def test_the_conversation_ends_alike_whoever_is_killed(
    runtime: Runtime, server: ScriptedServer, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    victim, moment = VICTIMS[seed % len(VICTIMS)], random.randrange(EVENTS)
    server.knobs = Knobs(tokens_per_second=400)
    compaction = LLMCompaction(mechanical=None, soft=0.2, trigger=0.3, keep_recent_turns=1, keep_tokens=0)
    settings = config(server, context_limit=1_500, max_tokens=200, compaction=compaction)
    session = await runtime.session(f"crash-{seed}", tools=[note, look], **settings)
    shown: list[Event] = []
    reached = asyncio.Event()
    reading = asyncio.create_task(_read(session, shown, moment, reached))
    killing = asyncio.create_task(_kill(runtime, victim, reached))
    said = words(tmp_path)
    for number, text in enumerate(said):
        await session.ask(text, key=f"k{number}")
        assert await session.submit(text, key=f"k{number}") == f"u{number + 1}"
        if number == COMPACTED_AFTER:
            await session.compact()
    await killing
    status = await session.status()
    last = status.last_seq
    assert status.compactions, "the conversation is long enough to be summarised"
    while not shown or shown[-1].cursor.seq < last:
        await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])
    history = await session.history(full=True)
    assert _texts(history) == said
    assert _calls(history) == ["note", "look", "look", "note"]
    lost = [result for result in _results(history) if result.is_error]
    assert all("outcome" in str(result.content) or "unknown" in str(result.content) for result in lost)
    assert len(lost) <= (1 if victim in ("sessions/0", "tools/0") else 0)
    for name in ("paid", "paid-2"):
        ledger = tmp_path / name
        runs = ledger.read_text().splitlines() if ledger.exists() else []
        assert len(runs) <= 1
    facts = [event.cursor.seq for event in shown if event.cursor.delta == 0 and event.payload.kind != "restarted"]
    assert facts == list(range(1, last + 1))
    assert not server.stats.invalid


async def _read(session: SessionHandle, shown: list[Event], moment: int, reached: asyncio.Event) -> None:
    async for event in session.events(after=Cursor()):
        shown.append(event)
        if len(shown) > moment:
            reached.set()


async def _kill(runtime: Runtime, victim: str, reached: asyncio.Event) -> None:
    await reached.wait()
    while True:
        # A compactor is there once there was something to compact; an actor that starts has no process yet.
        with suppress(PlacementError):
            if await runtime.process_of(victim):
                return await kill(runtime, victim)
        await asyncio.sleep(0.02)


def _texts(history: Sequence[Message]) -> list[str]:
    return [
        block.text
        for message in history
        for block in message.content
        if message.kind == "user" and block.kind == "text"
    ]


def _calls(history: Sequence[Message]) -> list[str]:
    return [block.name for message in history for block in message.content if block.kind == "tool_use"]


def _results(history: Sequence[Message]) -> list[ToolResultBlock]:
    return [block for message in history for block in message.content if block.kind == "tool_result"]
