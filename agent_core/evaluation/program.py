"""Programs: what a worker runs for each sample, and how it travels to a worker.

The rule here: a worker is told where a program comes from, never handed code that only one process has. It loads the
program once and runs it beside its sessions.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from agent_core.evaluation.question import question_of
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Scorer
from agent_core.session_protocol import Session

Agent = Callable[[Session, Sample], Awaitable[str]]
"""Answers a sample with the help of a session, which is opened, empty but for the sample's history, and put away after.

It may ask as often as it likes. An agent that lost its process is run again on the same session, from its beginning:
the nth message that it sends is then answered as it was before, without a new model call. So it has to send the same
messages when it gets the same answers. It must not block its loop: other samples share it.
"""

# The nth message of an agent on its session has the nth key, so that it is asked once however often it is sent.
ASKED = "sample"


async def chat(session: Session, sample: Sample) -> str:
    """The plain agent: says the sample's input with its choices, then each of its turns; the last answer is it."""
    answer = await session.ask(question_of(sample))
    for turn in sample.turns:
        answer = await session.ask(turn)
    return answer


@dataclass(frozen=True, slots=True)
class Program:
    """An agent and what judges its answers. The names of the scorers differ."""

    agent: Agent = chat
    scorers: tuple[Scorer, ...] = ()


PLAIN = Program()


class ProgramSource(Protocol):
    """Where a program comes from. It is pickled, sent to every worker and loaded there."""

    def load(self) -> Program:
        """The program. Raises ConfigError with what to do: a file that is gone or not the same, a wrong name."""
        ...


@dataclass(frozen=True, slots=True)
class Given:
    """A program that is in this process, or whose parts pickle: built-in agents and scorers do."""

    program: Program = PLAIN

    def load(self) -> Program:
        return self.program
