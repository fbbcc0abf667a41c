"""F8: tokens a second of many sessions in one actor, read by one process, and the first token under a steady load.

At full speed every session streams at once from a model that sends all its tokens in one piece; the rate is tokens over
the wall seconds from the first call until the last reader has the end of its turn, and what arrived is compared with
what was sent. The steady load is that of `first_token.py`, with as many streams in flight as there are sessions and 20
tokens a second of each, ours and the bare SDK's stream helper in alternating blocks.

The bare loop is one process too, and its stream helper alone may take more than a core for the steady load: what is
added can be negative. The time over the model's own stands beside.
"""

import asyncio
import statistics
import time
from typing import Annotated

import typer

from actors import SessionHandle
from agent_core.entries import TurnEnded
from agent_core.payloads import TextChunk
from agent_core.scripted import Knobs, Match, Reply, Rule, Script
from benchmarks.figures import Figure, figure, show
from benchmarks.first_token import PROMPT, Load, Times, added, beside, compare
from benchmarks.processes import Cpu
from benchmarks.rig import Rig, rig

FAST = "As fast as you can."
_TOKEN = "four"
_BLOCKS = 2


async def read(session: SessionHandle) -> str:
    """Have one answer at full speed and return what was streamed of it. Raises RuntimeError if the turn fails."""
    parts: list[str] = []
    async for event in session.send(FAST):
        if isinstance(event, TextChunk):
            parts.append(event.text)
        elif isinstance(event, TurnEnded) and event.outcome != "completed":
            raise RuntimeError(f"A turn ended as '{event.outcome}': {event.error}. Look at the log of its actor.")
    return "".join(parts)


async def full_speed(stand: Rig, sessions: list[SessionHandle], tokens: int) -> tuple[float, Cpu]:
    """Tokens a second over all sessions at once, and the CPU that they took."""
    before, start = stand.cpu(), time.perf_counter()
    texts = await asyncio.gather(*map(read, sessions))
    wall = time.perf_counter() - start
    whole = _TOKEN * tokens
    if any(text != whole for text in texts):
        raise RuntimeError("A stream did not bring what the model sent. Run the tests of the channel first.")
    return len(sessions) * tokens / wall, stand.cpu().since(before)


async def measure(load: Load, tokens: int, rounds: int) -> list[Figure]:
    """Both parts of F8 on one rig."""
    paced = load.script()
    burst = Rule(match=Match(text=FAST), replies=(Reply(text=_TOKEN * tokens, knobs=Knobs(deltas=tokens)),))
    steady = Rule(match=Match(text=PROMPT), replies=paced.rules[0].replies, knobs=paced.knobs)
    async with rig(Script(rules=(burst, steady)), max_concurrent_requests=load.streams + 100) as stand:
        sessions = await stand.sessions(load.streams)
        await full_speed(stand, sessions, tokens)
        found = [await full_speed(stand, sessions, tokens) for _ in range(rounds)]
        await stand.shut_down(sessions)
        ours, bare = await compare(stand, load, _BLOCKS)
    return [*speed(found, load.streams * tokens), *steadily(load, (ours, bare))]


def speed(found: list[tuple[float, Cpu]], tokens: int) -> list[Figure]:
    """The figures of the rounds at full speed, each of which had `tokens` tokens."""
    kinds = sorted({kind for _, cpu in found for kind in cpu.ours})
    rows = [
        figure("F8", "tokens a second at full speed", statistics.median(rate for rate, _ in found), "/s", ">= 10000")
    ]
    for kind in kinds:
        spent = statistics.median(cpu.ours.get(kind, 0.0) for _, cpu in found)
        rows.append(figure("F8", f"CPU per 1,000 tokens at full speed, {kind}", spent * 1e6 / tokens, "ms"))
    return rows


def steadily(load: Load, times: tuple[Times, Times]) -> list[Figure]:
    """The figures of the steady load."""
    ours, bare = times
    rate = load.streams * load.tokens / load.length
    return [
        figure("F8", "tokens a second at a steady load", rate, "/s"),
        figure("F8", "added to the first token at that load, median", added(ours, bare, 0.5), "ms"),
        figure("F8", "added to the first token at that load, p95", added(ours, bare, 0.95), "ms", "<= 50"),
        *beside("F8", load, ours, bare),
    ]


def main(
    sessions: Annotated[int, typer.Option(help="Sessions that stream at once.")] = 200,
    tokens: Annotated[int, typer.Option(help="Tokens of each answer; at most 60 at the steady load.")] = 400,
    rounds: Annotated[int, typer.Option(help="Rounds at full speed, of which the median is taken.")] = 5,
    seconds: Annotated[float, typer.Option(help="Length of each of two blocks at the steady load.")] = 12.0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure many streams through one actor."""
    load = Load(streams=sessions, seconds=seconds, tokens=min(tokens, Load().tokens))
    figures = asyncio.run(measure(load, tokens, rounds))
    show(f"{sessions} sessions in one actor, read by one process", figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
