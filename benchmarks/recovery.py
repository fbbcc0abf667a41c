"""F7: kill -9 of a session actor with turns in flight: seconds until its sessions answer again, and what was accepted.

Every session streams a turn and has a second one accepted behind it when the process of its actor is killed. From then
on each is asked for its history until it answers; the time is until the last has. Afterwards both turns of every
session must have completed with their whole text, their messages must be there once and in order, and every reader must
have come to the end of its turn.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from actors import SessionHandle
from agent_core.entries import TurnEnded
from agent_core.messages import AssistantMessage, Message
from agent_core.payloads import TextChunk
from agent_core.scripted import Knobs, Reply, Rule, Script
from benchmarks.figures import Figure, figure, quantile, show
from benchmarks.rig import Rig, rig

_TOKENS = 60
_TEXT = "four" * _TOKENS
FIRST, SECOND = "This is the first message.", "This is the second message."
SCRIPT = Script(
    rules=(Rule(replies=(Reply(text=_TEXT),)),), knobs=Knobs(deltas=_TOKENS, tokens_per_second=20, first_byte_s=0.2)
)
KEY = "second"


@dataclass(slots=True)
class Reading:
    """One reader of a first turn: whether it has got text, and when, after the kill, it got something again."""

    started: asyncio.Event
    first_after: float = 0.0
    outcome: str = ""


async def read(session: SessionHandle, reading: Reading, killed: asyncio.Event) -> None:
    """Read a turn through the kill. Raises RuntimeError if it does not complete."""
    async for event in session.send(FIRST):
        if isinstance(event, TextChunk):
            reading.started.set()
        if killed.is_set() and not reading.first_after:
            reading.first_after = time.perf_counter()
        if isinstance(event, TurnEnded):
            reading.outcome = event.outcome
            if event.outcome != "completed":
                raise RuntimeError(f"A turn ended as '{event.outcome}': {event.error}. Look at the log of its actor.")


def texts(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Who said what."""
    return [
        (
            "model" if isinstance(message, AssistantMessage) else "user",
            "".join(block.text for block in message.content if block.kind == "text"),
        )
        for message in messages
    ]


async def kill(stand: Rig, sessions: Sequence[SessionHandle]) -> tuple[list[float], list[Reading]]:
    """Kill the actor while all stream. Returns the seconds until each session answered, and how its reader fared."""
    killed = asyncio.Event()
    readings = [Reading(asyncio.Event()) for _ in sessions]
    async with asyncio.TaskGroup() as group:
        for session, reading in zip(sessions, readings, strict=True):
            group.create_task(read(session, reading, killed))
        await asyncio.gather(*(reading.started.wait() for reading in readings))
        await asyncio.gather(*(session.submit(SECOND, key=KEY) for session in sessions))
        stand.session_actor().kill()
        at = time.perf_counter()
        killed.set()

        async def answered(session: SessionHandle) -> float:
            await session.history()
            return time.perf_counter() - at

        taken = await asyncio.gather(*map(answered, sessions))
    for reading in readings:
        reading.first_after -= at
    return taken, readings


async def lost(sessions: Sequence[SessionHandle]) -> int:
    """How many messages are not as they should be once every turn has ended."""
    wanted = [("user", FIRST), ("model", _TEXT), ("user", SECOND), ("model", _TEXT)]
    wrong = 0
    for session in sessions:
        # The same key asks for the turn that was accepted, and waits for its end.
        await session.ask(SECOND, key=KEY)
        found = texts(await session.history(full=True))
        wrong += abs(len(found) - len(wanted)) + sum(a != b for a, b in zip(found, wanted, strict=False))
    return wrong


async def measure(count: int, rounds: int) -> list[Figure]:
    """Kill the actor once a round, each time with `count` new sessions."""
    taken: list[float] = []
    worst: list[float] = []
    readings: list[Reading] = []
    wrong = 0
    async with rig(SCRIPT) as stand:
        for _ in range(rounds):
            sessions = await stand.sessions(count)
            seconds, read_on = await kill(stand, sessions)
            wrong += await lost(sessions)
            taken += seconds
            worst.append(max(seconds))
            readings += read_on
            await stand.shut_down(sessions)
    went_on = [reading.first_after for reading in readings]
    completed = sum(reading.outcome == "completed" for reading in readings)
    return [
        figure("F7", "all sessions answer again, worst round", max(worst), "s", "<= 3"),
        figure("F7", "a session answers again, median", quantile(taken, 0.5), "s"),
        figure("F7", "a reader goes on, median", quantile(went_on, 0.5), "s"),
        figure("F7", "a reader goes on, longest", max(went_on), "s"),
        figure("F7", "readers that came to the end", completed, "", f">= {count * rounds}"),
        figure("F7", "messages lost, doubled or changed", wrong, "", "<= 0"),
        figure("F7", "sessions of the actor", count, ""),
    ]


def main(
    sessions: Annotated[int, typer.Option(help="Sessions with turns in flight.")] = 50,
    rounds: Annotated[int, typer.Option(help="How many times the actor is killed.")] = 3,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the recovery from the death of a session actor."""
    show("kill -9 of a session actor", asyncio.run(measure(sessions, rounds)), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
