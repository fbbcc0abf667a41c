"""F3: memory of a resident session beyond its transcript, with thousands in one actor that all answer afterwards.

What counts is the memory that would be free if the actor's process ended (its unshared pages), less what it was when
the actor was warm, over the sessions opened since. It is read twice: when all are open, and when each has had a turn,
less the bytes of the messages that were said. Memory of the requests in flight stays with the process and is counted
too.
"""

import asyncio
import time
from typing import Annotated

import typer

from actors import SessionHandle
from agent_core.scripted import Reply, Rule, Script
from benchmarks.figures import Figure, figure, show
from benchmarks.processes import unshared_bytes
from benchmarks.rig import rig

ANSWER = "I am here, and this is what I have to say about it."
SCRIPT = Script(rules=(Rule(replies=(Reply(text=ANSWER),)),))
QUESTION = "Are you there?"
_WARM = 200
_AT_ONCE = 64


async def answers(sessions: list[SessionHandle]) -> int:
    """Ask every session and count those that answer."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def ask(session: SessionHandle) -> bool:
        async with limit:
            return await session.ask(QUESTION) == ANSWER

    return sum(await asyncio.gather(*map(ask, sessions)))


async def measure(count: int) -> list[Figure]:
    """Open `count` sessions in one actor, then ask every one."""
    transcript = len(QUESTION) + len(ANSWER)
    async with rig(SCRIPT, sessions_per_actor=count + _WARM) as stand:
        await answers(await stand.sessions(min(_WARM, count)))
        actor = stand.session_actor()
        empty, start = unshared_bytes(actor), time.perf_counter()
        sessions = await stand.sessions(count)
        opened, opening = unshared_bytes(actor), time.perf_counter() - start
        answered = await answers(sessions)
        used, asking = unshared_bytes(actor), time.perf_counter() - start - opening
    return [
        figure("F3", "a session that is open", (opened - empty) / count / 1000, "KB", "<= 20"),
        figure(
            "F3",
            "a session after a turn, beyond its transcript",
            (used - empty) / count / 1000 - transcript / 1000,
            "KB",
            "<= 20",
        ),
        figure("F3", "of that transcript", transcript / 1000, "KB"),
        figure("F3", "sessions in one actor", count, ""),
        figure("F3", "of them answered", answered, "", f">= {count}"),
        figure("F3", "the actor, warm", empty / 1e6, "MB"),
        figure("F3", "the actor with all of them", used / 1e6, "MB"),
        figure("F3", "opened a second", count / opening, "/s"),
        figure("F3", "answered a second", answered / asking, "/s"),
    ]


def main(
    sessions: Annotated[int, typer.Option(help="Sessions in the actor.")] = 10_000,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the memory of resident sessions."""
    show(f"{sessions:,} sessions in one actor", asyncio.run(measure(sessions)), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
