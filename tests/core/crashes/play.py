"""The client of the crash matrix, who has the conversation, and what is left when it is over.

The rule here: each step waits for what the user would wait for, never for a time; so where a step falls in the
conversation does not depend on who owns the session by then.
"""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from agent_core import inputs
from agent_core.compaction.settings import LLMCompaction
from agent_core.content import ToolResultBlock
from agent_core.conversation import Conversation
from agent_core.entries import Entry, Settings, ToolBatch
from agent_core.messages import TurnId, UserMessage
from agent_core.payloads import InterruptMode, TextChunk, ToolResults, UserInput, When
from agent_core.session import Shell
from agent_core.simulation.loop import run
from agent_core.status import CompactResult
from agent_core.submission import TurnResult
from tests.core.crashes.points import Provider
from tests.core.crashes.script import BAD, LATER, TOOLS
from tests.core.crashes.world import World

_LONGEST = 500.0


@dataclass(frozen=True)
class Ending:
    """What is left of one run: the world, the session's state, and the turns that were answered, by key."""

    world: World
    conversation: Conversation
    accepted: dict[str, TurnId]


def play(crash_at: Collection[int], snapshot_after: int, provider: Provider) -> Ending:
    """Have the whole conversation, in virtual time."""
    return run(lambda: _play(World(crash_at, snapshot_after, provider)))


async def _play(world: World) -> Ending:
    reading = asyncio.get_running_loop().create_task(world.read_on())
    client = Client(world)
    try:
        async with asyncio.timeout(_LONGEST):
            await converse(client)
            shell = await world.ask(_itself)
            await world.seen(lambda: world.shown and world.shown[-1].cursor.seq == shell.conversation.last_seq)
            conversation = await world.ask(lambda shell: shell.whole())
            await shell.rest()
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
    return Ending(world, conversation, client.accepted)


class Client:
    """Somebody who uses the session."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.accepted: dict[str, TurnId] = {}

    async def send(self, words: str, when: When = "after") -> TurnId:
        """Send a message; its words are its key too."""
        given = inputs.Submit(UserInput.of(words), when, words)
        turn_id = self.accepted[words] = await self.world.ask(lambda shell: shell.submit(given))
        return turn_id

    async def turn(self, words: str) -> TurnResult:
        """Send a message and wait for the answer."""
        await self.send(words)
        return await self.ended(words)

    async def ended(self, words: str) -> TurnResult:
        """Wait for the end of a turn."""
        return await self.world.ask(lambda shell: shell.result(self.accepted[words]))

    async def answer(self, call: str) -> None:
        """Give a result from outside."""
        given = ToolResults(results=(ToolResultBlock(tool_use_id=call, content=f"allowed {call}"),))
        await self.world.ask(lambda shell: shell.submit(inputs.Submit(given)))

    async def interrupt(self, words: str, mode: InterruptMode) -> None:
        """Interrupt the turn, and wait for its end."""
        with self.interrupting(words):
            await self.world.ask(lambda shell: shell.perform(inputs.Interrupt(mode, f"end {words}")))
        await self.ended(words)

    @contextmanager
    def interrupting(self, words: str) -> Iterator[None]:
        """What is done here ends the turn at a moment of the user's, however far its answer has come."""
        self.world.interrupting = self.accepted[words]
        yield
        self.world.interrupting = None

    async def configure(self, *, tools: tuple[object, ...] | None = None, **fields: object) -> None:
        """Change settings."""
        changes = Settings(fields=fields, tools=tools)  # type: ignore[arg-type]
        await self.world.ask(lambda shell: shell.perform(inputs.Configure(changes)))

    async def compact(self, focus: str) -> CompactResult:
        """Compact now."""
        return await self.world.ask(lambda shell: shell.compact(focus))

    async def pin(self, words: str, *, kept: bool = True) -> None:
        """Pin the message with these words, or no longer."""
        conversation = await self.world.ask(lambda shell: shell.whole())
        message = next(m for m in conversation.messages if isinstance(m, UserMessage) and words in str(m.content))
        await self.world.ask(lambda shell: shell.pin(message.id, kept=kept))

    def facts(self, words: str) -> list[Entry]:
        """The facts of a turn that the reader has been shown."""
        turn_id = self.accepted[words]
        return [e.payload for e in self.world.shown if getattr(e.payload, "turn_id", None) == turn_id]  # type: ignore[misc]

    async def sees_calls(self, words: str) -> ToolBatch:
        """Wait until the turn's newest answer calls tools."""
        await self.world.seen(lambda: any(isinstance(fact, ToolBatch) for fact in self.facts(words)))
        return next(fact for fact in self.facts(words) if isinstance(fact, ToolBatch))

    async def sees_text(self, words: str, text: str) -> None:
        """Wait until the text of the turn that is made now is on the user's screen."""
        await self.world.seen(lambda: self._screen(words).endswith(text))

    def _screen(self, words: str) -> str:
        screen = ""
        for event in self.world.shown:
            payload = event.payload
            if payload.kind == "restarted":
                screen = ""
            elif isinstance(payload, TextChunk) and payload.turn_id == self.accepted[words]:
                screen += payload.text
        return screen


async def _itself(shell: Shell) -> Shell:
    return shell


async def converse(client: Client) -> None:
    """The conversation."""
    await client.world.ask(_itself, reopen=True)
    await client.turn("Hello.")
    await client.turn("Look and pay.")
    await _steer_and_queue(client)
    await _interrupt(client)
    await _change(client)
    await _grow_and_clear(client)
    await _compact_and_leave(client)


async def _steer_and_queue(client: Client) -> None:
    await client.send("Ask outside.")
    for call in (await client.sees_calls("Ask outside.")).calls:
        if call.external:
            await client.answer(call.id)
    await client.ended("Ask outside.")
    await client.send("Take your time.")
    await client.sees_calls("Take your time.")
    await client.send("Hurry.", "next_step")
    await client.ended("Take your time.")
    await client.send("Be busy.")
    await client.sees_calls("Be busy.")
    await client.send("First.")
    await client.send("Second.")
    await client.ended("Second.")


async def _interrupt(client: Client) -> None:
    await client.send("Tell a tale.")
    await client.sees_text("Tell a tale.", "there was")
    await client.interrupt("Tell a tale.", "keep")
    await client.send("Tell another.")
    await client.sees_text("Tell another.", "one that")
    with client.interrupting("Tell another."):
        await client.send("Stop that.", "interrupt")
    await client.ended("Stop that.")
    await client.send("Look for ever.")
    await client.sees_calls("Look for ever.")
    await client.interrupt("Look for ever.", "keep")
    await client.send("Look once more.")
    await client.sees_calls("Look once more.")
    await client.interrupt("Look once more.", "discard")


async def _change(client: Client) -> None:
    client.world.provider.well = False
    await client.turn("Fail.")
    client.world.provider.well = True
    await client.world.ask(lambda shell: shell.perform(inputs.Retry("retry")))
    await client.ended("Fail.")
    await client.configure(system_prompt="Be brief.", tools=(*TOOLS, LATER))
    await client.turn("Pay later.")


async def _grow_and_clear(client: Client) -> None:
    for number in ("one", "two", "three", "four"):
        await client.turn(f"Read {number}.")
    await client.world.ask(lambda shell: shell.perform(inputs.Clear("clear")))


async def _compact_and_leave(client: Client) -> None:
    await client.configure(compaction=LLMCompaction(mechanical=None, soft=0.9, trigger=0.9, keep_recent_turns=1))
    for words in ("Alpha.", "Beta.", "Gamma."):
        await client.turn(words)
    await client.pin("Alpha.")
    await client.pin("Beta.")
    await client.pin("Alpha.", kept=False)
    assert not (await client.compact(BAD)).compacted
    await client.compact("Everything.")
    await client.world.ask(_shut_down)
    await client.world.ask(_itself, reopen=True)
    await client.turn("Goodbye.")


async def _shut_down(shell: Shell) -> None:
    await shell.perform(inputs.Shutdown("finish"))
    await shell.wait_closed()
