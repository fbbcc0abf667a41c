"""What is still known after one to five compactions: planted facts, by kind, for each way to compact.

Whole sessions with tools run against the scripted model, which answers turns from a story and summarises as the prompt
says, within its length. After each stretch of a story the session is compacted, and what the model would see next is
searched for every fact. Everything follows from the seeds, so two runs tell the same figures.

`mechanical` redacts old tool results, `llm` summarises in 4,000 tokens, `llm, tight` in 500, and `forgetful` is a
summariser that keeps nothing but goal and next step: what the score has to tell apart. The scripted summariser misses
nothing that it has room for. So this says what the way to compact loses, not what a real model overlooks.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from agent_core.content import TextBlock, ToolResultBlock, ToolUseBlock, text_of
from agent_core.local_runtime import LocalRuntime
from agent_core.local_session import LocalSession
from agent_core.messages import Message
from agent_core.scripted import (
    Fault,
    Knobs,
    ModelLimits,
    ParsedRequest,
    Reply,
    Script,
    SummaryKnobs,
    ToolCall,
    default_brain,
)
from agent_core.scripted.server import ScriptedServer
from agent_core.tools import tool
from benchmarks.facts import KINDS, OPENING, Exchange, Fact, Story, kept, tell
from benchmarks.figures import Figure, figure, show

_WINDOW = 200_000


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to compact: the setting of a session, and how its summaries fare."""

    name: str
    compaction: dict[str, Any]
    summaries: SummaryKnobs | None = None


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy("mechanical", {"kind": "threshold", "threshold": 0.5, "keep_recent_turns": 1}),
        Strategy("llm", {"kind": "llm", "max_summary_tokens": 4_000}),
        Strategy("llm, tight", {"kind": "llm", "max_summary_tokens": 500}),
        Strategy(
            "forgetful",
            {"kind": "llm", "max_summary_tokens": 4_000},
            SummaryKnobs(spoils={"forgetful": Fault(every=1)}),
        ),
    )
}


@dataclass(slots=True)
class Score:
    """Facts by how many compactions they have seen: whether each was kept; and the share that each compaction left."""

    found: dict[int, list[tuple[Fact, bool]]] = field(default_factory=lambda: defaultdict(list))
    left: list[float] = field(default_factory=list[float])

    def share(self, compactions: int, **what: str) -> float:
        """The share (0 to 1) that is kept of the facts with these fields, after so many compactions."""
        hits = [
            hit
            for fact, hit in self.found[compactions]
            if all(getattr(fact, name) == value for name, value in what.items())
        ]
        return sum(hits) / len(hits)

    @property
    def mean_left(self) -> float:
        """The share (0 to 1) of the context that a compaction has left, on average."""
        return sum(self.left) / len(self.left)

    def add(self, other: "Score") -> None:
        """Count another's facts too."""
        for compactions, found in other.found.items():
            self.found[compactions] += found
        self.left += other.left


async def score(strategy: Strategy, stories: Sequence[Story]) -> Score:
    """Tell every story to a session of its own that is compacted in this way."""
    total = Score()
    told = {exchange.ask: exchange for story in stories for part in story.stretches for exchange in part}
    script = Script(knobs=Knobs(summaries=strategy.summaries), default_limits=ModelLimits(context_window=_WINDOW))
    async with ScriptedServer(script, brain=_Teller(told)) as server, LocalRuntime() as runtime:
        for story in stories:
            pages = {page: text for part in story.stretches for exchange in part for page, text in exchange.pages}
            session = await runtime.session(
                tools=[_reader(pages)],
                model="local/scripted",
                base_url=f"{server.url}/v1",
                context_limit=_WINDOW,
                compaction=strategy.compaction,
            )
            total.add(await _told(session, story))
            await session.shutdown()
    return total


async def _told(session: LocalSession, story: Story) -> Score:
    result = Score()
    for stretch, exchanges in enumerate(story.stretches):
        for exchange in exchanges:
            answer = await session.ask(exchange.ask)
            assert answer == exchange.answer, f"the story went wrong: {answer[:200]}"
        compacted = await session.compact()
        assert compacted.compacted, compacted
        result.left.append(compacted.tokens_after / compacted.tokens_before)
        view = _text(await session.history())
        for fact, compactions, hit in kept(story.facts, view, stretch):
            result.found[compactions].append((fact, hit))
    return result


class _Teller:
    """The scripted model's part in the stories; summaries it leaves to the usual one."""

    def __init__(self, told: dict[str, Exchange]) -> None:
        self._told = told

    def __call__(self, request: ParsedRequest) -> Reply:
        # What was compacted may stand in front of the user's words, in the same message.
        exchange = self._told.get(request.text[max(0, request.text.rfind(OPENING)) :])
        if request.summary or exchange is None:
            return default_brain(request)
        if not request.results:
            calls = tuple(ToolCall(name="read", input={"page": page}) for page, _ in exchange.pages)
            return Reply(text="Let me look.", tool_calls=calls)
        return Reply(text=exchange.answer)


def _reader(pages: dict[str, str]) -> Any:
    @tool
    async def read(page: str) -> str:
        """Read a page."""
        return pages[page]

    return read


def _text(view: Sequence[Message]) -> str:
    """Everything that the model would read, in order."""
    return "\n".join(_words(block) for message in view for block in message.content)


def _words(block: object) -> str:
    match block:
        case TextBlock():
            return block.text
        case ToolUseBlock():
            return str(block.input)
        case ToolResultBlock():
            return text_of(block.content)
        case _:
            return ""


async def measure(seeds: int, stretches: int, turns: int) -> dict[str, Score]:
    """Score every strategy, by name, over the same stories."""
    stories = [tell(seed, stretches, turns) for seed in range(seeds)]
    return {name: await score(strategy, stories) for name, strategy in STRATEGIES.items()}


def figures(scores: dict[str, Score]) -> list[Figure]:
    """Every share as a figure."""
    found: list[Figure] = []
    for name, result in scores.items():
        for kind in KINDS:
            for compactions in result.found:
                after = f"{name}: {kind}, after {compactions}"
                found.append(figure("retention", after, 100 * result.share(compactions, kind=kind), "%"))
        found.append(figure("retention", f"{name}: context left by a compaction", 100 * result.mean_left, "%"))
    return found


def table(scores: dict[str, Score]) -> Table:
    """The same for people: a row for each kind, a column for each number of compactions."""
    counts = sorted({compactions for result in scores.values() for compactions in result.found})
    made = Table(title="Facts still in the view after so many compactions, in %")
    for heading in ("", "kind", *map(str, counts), "context left"):
        made.add_column(heading, justify="left" if heading in ("", "kind") else "right", no_wrap=True)
    for name, result in scores.items():
        for kind in KINDS:
            shares = (f"{100 * result.share(count, kind=kind):.0f}" for count in counts)
            first = kind == KINDS[0]
            made.add_row(name * first, kind, *shares, f"{100 * result.mean_left:.0f}" * first)
        made.add_section()
    return made


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Stories.")] = 10,
    stretches: Annotated[int, typer.Option(min=1, help="Compactions of each story.")] = 5,
    turns: Annotated[int, typer.Option(min=3, help="Turns between two compactions.")] = 6,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count the planted facts that are still in the view after each compaction."""
    scores = asyncio.run(measure(seeds, stretches, turns))
    if as_json:
        show("Facts still in the view", figures(scores), as_json=True)
    else:
        Console().print(table(scores))


if __name__ == "__main__":
    typer.run(main)
