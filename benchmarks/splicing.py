"""How long it takes to put a summary in place, against the length of the history before it.

A conversation of so many messages has been compacted down to its newest ones, and is compacted again and again as it
grows. Timed is the whole step of the session in which a summary that was asked for arrives: it is checked, laid over
what it was made for, recorded, and the view is built anew. Nothing runs beside, and medians are told.
"""

import time
from collections.abc import Iterator, Sequence

from agent_core import commands as out
from agent_core import inputs
from agent_core.config import SessionConfig
from agent_core.content import TextBlock
from agent_core.conversation import Conversation
from agent_core.entries import Accepted, Compacted, Complete, Entry, Opened, TurnEnded, TurnStarted
from agent_core.messages import AssistantMessage, SessionId, TurnId, Usage
from agent_core.overlays import Summary
from agent_core.payloads import UserInput
from agent_core.ports import CompactionJob, Patch, Record
from agent_core.turn import Machine
from benchmarks.figures import Figure, figure, quantile

SIZES = (1_000, 10_000, 100_000)
_ROUNDS = 15
_STANDING = (100, 1_000)
_SESSION = SessionId("long")
_LIMIT = 1_000_000
_TEXT = "As was said before, this is one of many messages of a long conversation. " * 4


class _Long:
    """A long conversation, without a model: turns are recorded as they would have been."""

    def __init__(self) -> None:
        self.conversation = Conversation(_SESSION)
        self.machine = Machine(self.conversation, 1, lambda _: _LIMIT)
        config = SessionConfig.of(model="anthropic/claude-sonnet-5", context_limit=_LIMIT, compaction={"kind": "llm"})
        self._record(Opened(config=config))

    def grow(self, messages: int) -> None:
        """Add so many messages, two a turn."""
        for _ in range(messages // 2):
            for entry in self._turn():
                self._record(entry)

    def cover(self, standing: int) -> None:
        """Lay a summary over all but the newest messages."""
        through = self.conversation.messages[-standing - 1].id
        overlay = Summary(job_id="0.1", through=through, text="What was said before.")
        self._record(Compacted(strategy="llm", overlays=(overlay,), tokens_before=2, tokens_after=1, job_id="0.1"))

    def compact(self) -> float:
        """Compact but for the newest turn: seconds from the summary's arrival until it is in place."""
        job = self._job()
        patch = Patch(job.key, job.digest, "What was said before, and since.", Usage(), 1.0)
        before = self.conversation.compactions
        start = time.perf_counter()
        self.machine.handle(inputs.FromCompactor(patch), 0.0)
        seconds = time.perf_counter() - start
        if self.conversation.compactions != before + 1:
            raise RuntimeError("A summary was not put in place. Look at what the session refuses.")
        return seconds

    def _job(self) -> CompactionJob:
        for command in self.machine.handle(inputs.Compact(), 0.0):
            if isinstance(command, out.StartCompaction):
                return command.job
        raise RuntimeError("There was nothing to compact. Let the conversation grow first.")

    def _turn(self) -> Iterator[Entry]:
        number = len(self.conversation.turns) + 1
        turn_id = TurnId(f"u{number}")
        yield Accepted(turn_id=turn_id, payload=UserInput(content=(TextBlock(text=_TEXT),)))
        yield TurnStarted(turn_id=turn_id)
        answer = AssistantMessage(
            id=f"a{number}",
            session_id=_SESSION,
            turn_id=turn_id,
            created_at=0.0,
            content=(TextBlock(text=_TEXT),),
            usage=Usage(input_tokens=100_000),
            provider="anthropic",
            model="claude-sonnet-5",
        )
        yield Complete(turn_id=turn_id, message=answer, stop_reason="end_turn")
        yield TurnEnded(turn_id=turn_id, outcome="completed")

    def _record(self, entry: Entry) -> None:
        self.conversation.apply(Record(self.conversation.last_seq + 1, 1, 0.0, entry))


def splices_by_history(sizes: Sequence[int] = SIZES) -> list[Figure]:
    """The median splice for every size of the history, and for two sizes of what stands of it, in milliseconds."""
    found: list[Figure] = []
    for standing in _STANDING:
        for size in sizes:
            if size < standing + 2:
                continue
            long = _Long()
            long.grow(size)
            long.cover(standing)
            times: list[float] = []
            for _ in range(_ROUNDS):
                times.append(long.compact())
                long.grow(standing)
            name = f"splice into {size:,} messages, {standing:,} of them standing"
            found.append(figure("F5", name, quantile(times, 0.5) * 1e3, "ms"))
    return found
