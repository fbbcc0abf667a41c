"""A long chat with the local model in a small window: that it stays within it, and that no turn waits for a summary.

The model that answers also summarises, on the same CPU: a turn that meets a summary is slower for it, which is told
apart from waiting. The model is a tiny one, so what its summaries are worth is not looked at here, but how many came
to nothing is, and why; `--show` prints them.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from agent_core.entries import Compacted, CompactionFailed, TurnEnded
from agent_core.local_runtime import LocalRuntime
from agent_core.local_session import LocalSession
from agent_core.overlays import Summary
from agent_core.payloads import CompactionUpdate, StatusChanged
from agent_core.tokens import estimate_text
from benchmarks.figures import Figure, figure, quantile, show

MODEL = "local/smollm2"
# A summary takes as long as many short answers here, and the same CPU: begin early, and let no turn wait for it. What
# does not fit in time is left out by the last resort, which is counted below.
_MARKS = {"soft": 0.35, "trigger": 0.5, "max_wait": 0.0}
# llama.cpp's samplers against repetition: so small a model says the same for ever otherwise, and its summaries are cut.
_KEEP_GOING = {"repeat_penalty": 1.1, "dry_multiplier": 0.8}
_PLACES = ("Rome", "Oslo", "Lima", "Cairo", "Tokyo", "Delhi", "Berlin", "Athens", "Madrid", "Dublin", "Hanoi", "Quito")
_WISHES = (
    "I am planning a trip to {place} with {count} friends. What should we see first?",
    "We have {count} days in {place}. Suggest a plan for the first of them.",
    "Our budget for {place} is {count} hundred euros. Is that enough for food and museums?",
    "Tell me a little about the history of {place}.",
    "What should we pack for {place} in month {count} of the year?",
    "Name a dish from {place} that I should try, and say how it is made.",
)


@dataclass(slots=True)
class Heard:
    """What the session told: times by `perf_counter`, jobs from start to end, the summaries put in place."""

    waits: int = 0
    jobs: list[list[float]] = field(default_factory=list[list[float]])
    compacted: list[Compacted] = field(default_factory=list[Compacted])
    ends: Counter[str] = field(default_factory=Counter[str])

    async def listen(self, session: LocalSession) -> None:
        """Take down what concerns compaction, until cancelled."""
        async for event in session.events():
            match event.payload:
                case StatusChanged(state="compacting"):
                    self.waits += 1
                case CompactionUpdate(state="started"):
                    self.jobs.append([time.perf_counter()])
                case CompactionUpdate(state="ready" | "failed" | "stale" | "unproductive"):
                    self._end_job()
                case Compacted() as compacted:
                    self.compacted.append(compacted)
                case CompactionFailed() as failed:
                    self._end_job()
                    self.ends[failed.error.kind if failed.error else failed.reason] += 1
                case _:
                    pass

    def _end_job(self) -> None:
        if self.jobs and len(self.jobs[-1]) == 1:
            self.jobs[-1].append(time.perf_counter())

    def met(self, start: float, end: float) -> bool:
        """Whether a summary was being made in that time."""
        return any(job[0] < end and start < (job[1] if len(job) > 1 else end) for job in self.jobs)

    @property
    def summaries(self) -> list[str]:
        """The texts that were put in place."""
        laid = [overlay for compacted in self.compacted for overlay in compacted.overlays]
        return [overlay.text for overlay in laid if isinstance(overlay, Summary)]


@dataclass(slots=True)
class Chat:
    """What was measured: seconds of turns beside no summary and beside one, and the tokens that requests took."""

    alone: list[float] = field(default_factory=list[float])
    beside: list[float] = field(default_factory=list[float])
    context: list[int] = field(default_factory=list[int])
    said: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    heard: Heard = field(default_factory=Heard)


@dataclass(frozen=True, slots=True)
class Chatting:
    """What is done: so many turns in a window with answers of so many tokens, with `pause` seconds between them."""

    turns: int
    window: int
    max_tokens: int
    pause: float


async def chat(do: Chatting, compaction: dict[str, Any]) -> Chat:
    """Talk. Turns that fail are counted, not raised."""
    seen, chosen = Chat(), random.Random(1)
    async with LocalRuntime() as runtime:
        fields: dict[str, Any] = {
            "model": MODEL,
            "context_limit": do.window,
            "max_tokens": do.max_tokens,
            "temperature": 0.2,
            "extra": _KEEP_GOING,
            "system_prompt": "You are a brief and friendly guide.",
            "compaction": compaction,
        }
        session = await runtime.session(**fields)
        listening = asyncio.create_task(seen.heard.listen(session))
        for _ in range(do.turns):
            await asyncio.sleep(do.pause)
            wish = chosen.choice(_WISHES).format(place=chosen.choice(_PLACES), count=chosen.randrange(2, 12))
            await _turn(session, wish, seen)
        listening.cancel()
        await session.shutdown()
    return seen


async def _turn(session: LocalSession, wish: str, seen: Chat) -> None:
    start = time.perf_counter()
    async for event in session.send(wish):
        if isinstance(event, TurnEnded) and event.outcome not in ("completed", "max_tokens"):
            seen.failed[f"{event.outcome}: {event.error.kind if event.error else ''}"] += 1
    end = time.perf_counter()
    (seen.beside if seen.heard.met(start, end) else seen.alone).append(end - start)
    usage = (await session.status()).usage
    seen.context.append(usage.last.context_tokens)
    seen.said += usage.last.output_tokens + estimate_text(wish, "local")


def figures(seen: Chat, window: int) -> list[Figure]:
    """What the chat came to."""
    heard = seen.heard
    done = [compacted for compacted in heard.compacted if compacted.strategy == "llm"]
    lengths = [estimate_text(text, "local") for text in heard.summaries]
    jobs = [end - start for start, end in (job for job in heard.jobs if len(job) > 1)]
    rows: list[tuple[str, float, str, str]] = [
        ("turns", len(seen.context), "", ""),
        ("turns that failed", seen.failed.total(), "", "<= 0"),
        ("the window", window, "tokens", ""),
        ("the most that a request and its answer took", max(seen.context), "tokens", f"<= {window}"),
        ("all that was said", seen.said, "tokens", ""),
        ("summaries put in place", len(done), "", ">= 3"),
        ("turns that waited for a summary", heard.waits, "", "<= 0"),
        ("seconds waited", sum(compacted.waited for compacted in heard.compacted), "s", "<= 0"),
        ("compactions by the last resort", len(heard.compacted) - len(done), "", ""),
        ("jobs that came to nothing", heard.ends.total(), "", ""),
        *((f"jobs that came to nothing: {why}", count, "", "") for why, count in sorted(heard.ends.items())),
        *_quantiles("a summary's length", lengths, "tokens"),
        *_quantiles("making a summary", jobs, "s"),
        *_quantiles("a turn beside no summary", seen.alone, "s"),
        *_quantiles("a turn beside one, on the same CPU", seen.beside, "s"),
    ]
    return [figure("chat", *row) for row in rows]


def _quantiles(name: str, values: Sequence[float], unit: str) -> list[tuple[str, float, str, str]]:
    if not values:
        return []
    return [(f"{name}, median", quantile(values, 0.5), unit, ""), (f"{name}, most", max(values), unit, "")]


def main(  # noqa: PLR0913 - a program's options
    turns: Annotated[int, typer.Option(help="Turns of the chat.")] = 60,
    window: Annotated[int, typer.Option(help="The session's window, in tokens.")] = 3_072,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 100,
    summary: Annotated[int, typer.Option(help="Most tokens of a summary.")] = 512,
    pause: Annotated[float, typer.Option(help="Seconds that the user takes between turns.")] = 1.0,
    *,
    shows: Annotated[bool, typer.Option("--show", help="Print the summaries.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Chat with the local model for longer than its window."""
    # Without a model of its own the summariser is set as the session is.
    compaction: dict[str, Any] = {"kind": "llm", "max_summary_tokens": summary, **_MARKS}
    seen = asyncio.run(chat(Chatting(turns, window, max_tokens, pause), compaction))
    if shows:
        for text in seen.heard.summaries:
            print(text, end="\n\n")
    show(f"{turns} turns with {MODEL} in a window of {window:,} tokens", figures(seen, window), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
