"""A `StrainedBook` is a Playbook whose compaction is watched from outside, step by step.

    book = StrainedBook(LOOKUP, soft=0.2)
    book.turn("Hi."); book.finishes("A summary.")

The rule here: what must hold is worked out by the ledger from the records alone. Time is the book's: whatever timer the
machine has set ends exactly when it is due, before anything later is given.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent_core import commands as out
from agent_core import inputs
from agent_core.compaction.settings import LLMCompaction
from agent_core.content import ThinkingBlock
from agent_core.conversation import Conversation
from agent_core.entries import Compacted, CompactionFailed
from agent_core.errors import ErrorInfo
from agent_core.messages import StopReason, Usage
from agent_core.payloads import CompactionUpdate
from agent_core.ports import (
    CompactionFailure,
    CompactionJob,
    CompactionReport,
    CompactionStarted,
    ModelEvent,
    ModelRequest,
    Patch,
    Record,
    ResponseStopped,
    TextDelta,
    ThinkingDelta,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.providers.anthropic_messages import AnthropicMessages
from agent_core.providers.openai_chat import OpenAIChat
from agent_core.providers.openai_responses import OpenAIResponses
from agent_core.scripted import ModelLimits, Signer, validate_anthropic, validate_chat, validate_responses
from agent_core.scripted.signing import tool_use_id
from agent_core.simulation.ledger import Ledger
from agent_core.tools.definition import ToolDefinition
from tests.core.invariants import check_pairs
from tests.core.playbook import SESSION, Calls, Playbook

SIGNER = Signer()
WIRES = (AnthropicMessages(), OpenAIResponses(), OpenAIChat())
FAILED = ErrorInfo(boundary="provider", kind="overloaded", message="The summariser is overloaded.")
SPENT = Usage(input_tokens=100, output_tokens=10)


def strained(**fields: Any) -> LLMCompaction:
    """Compaction with low marks and nothing mechanical, so that a few long messages are enough."""
    given = {"soft": 0.3, "trigger": 0.5, "hard": 0.8, "keep_recent_turns": 1, "max_wait": 10.0, "mechanical": None}
    return LLMCompaction(**{**given, **fields})


def check_wires(request: ModelRequest) -> None:
    """Every provider takes the request."""
    bodies = [json.loads(wire.encode(request)) for wire in WIRES]
    validate_anthropic(bodies[0], ModelLimits(), SIGNER)
    validate_responses(bodies[1], ModelLimits(), SIGNER)
    validate_chat(bodies[2], ModelLimits())


@dataclass(frozen=True)
class Timer:
    """A time that the machine has set."""

    number: int
    due: float


class StrainedBook(Playbook):
    """See the module. Marks are fields of LLMCompaction; `config` are other fields of the session's."""

    def __init__(
        self,
        *tools: ToolDefinition,
        limit: int = 3_000,
        compaction: LLMCompaction | None = None,
        **config: Any,
    ) -> None:
        self.ledger = Ledger(SESSION)
        self.shadow = Conversation(SESSION)
        self.jobs: list[CompactionJob] = []
        self.underway: CompactionJob | None = None
        self.given_up: list[str] = []
        self.timers: list[Timer] = []
        self.waiting_since: float | None = None
        self._ids = 0
        given = {"model": "anthropic/fake", "max_tokens": 300, **config}
        super().__init__(*tools, limit=limit, compaction=compaction or strained(), **given)
        self._take_in(self.records[0])

    # --- time -------------------------------------------------------------------------------------------------------

    def passes(self, seconds: float) -> list[out.Command]:
        """Let time pass: every timer that is due meanwhile ends, each at its time."""
        until, commands = self.now + seconds, list[out.Command]()
        while due := sorted((timer for timer in self.timers if timer.due <= until), key=lambda timer: timer.due):
            self.timers.remove(due[0])
            self.now = max(due[0].due, self.now) - 1.0
            commands += self._step(inputs.TimerEnded(due[0].number))
        self.now = until
        return commands

    def _handle(self, given: inputs.Input) -> list[out.Command]:
        commands = self.passes(1.0)
        self.now -= 1.0
        return commands + self._step(given)

    # --- what the summariser does -----------------------------------------------------------------------------------

    @property
    def job(self) -> CompactionJob:
        """The job that was started last."""
        return self.jobs[-1]

    def begins(self) -> list[out.Command]:
        """The summariser has the newest job."""
        return self.hears(CompactionStarted(self.job.key))

    def finishes(self, summary: str = "A summary.", job: CompactionJob | None = None) -> list[out.Command]:
        """The summariser is done with a job, the newest one if it is not said which."""
        job = job or self.job
        return self.hears(Patch(job.key, job.digest, summary, SPENT))

    def fails_to_summarise(self, *, shed: bool = False) -> list[out.Command]:
        """The newest job comes to nothing."""
        return self.hears(CompactionFailure(self.job.key, FAILED, Usage() if shed else SPENT, shed=shed))

    def hears(self, report: CompactionReport) -> list[out.Command]:
        """A report comes in."""
        return list(self.given(inputs.FromCompactor(report)).commands)

    # --- what the model does ----------------------------------------------------------------------------------------

    def says(
        self,
        text: str = "",
        *,
        calls: Sequence[tuple[str, str]] = (),
        thinking: str = "",
        stop: StopReason | None = None,
        used: int = 0,
    ) -> list[inputs.Input]:
        """The newest model call's whole answer; calls are (name, JSON). Thinking and ids are as the server signs."""
        events: list[ModelEvent] = []
        if thinking:
            events += [ThinkingDelta(0, thinking), ThinkingDelta(0, signature=SIGNER.thinking(thinking))]
        if text:
            events.append(TextDelta(1, text))
        for index, (name, given) in enumerate(calls, start=2):
            self._ids += 1
            id = tool_use_id(f"{self._ids:024d}", after_thinking=bool(thinking))
            events += [ToolUseDelta(index, id=id, name=name), ToolUseDelta(index, given)]
        events.append(UsageUpdate(Usage(input_tokens=used)))
        events.append(ResponseStopped(stop or ("tool_use" if calls else "end_turn")))
        return self.model(*events)

    def answer_to_next(self, text: str, *, calls: Calls = (), usage: Usage = Usage()) -> list[inputs.Input]:
        """See `Playbook`; of the calls only name and input count."""
        self._call += 1
        events = self.says(text, calls=[(name, str(given)) for _, name, given in calls], used=usage.context_tokens)
        self._call -= 1
        return events

    # --- what must hold ---------------------------------------------------------------------------------------------

    def _step(self, given: inputs.Input) -> list[out.Command]:
        held = self.machine.compaction.state == "ready"
        commands = super()._handle(given)
        report = given.report if isinstance(given, inputs.FromCompactor) else None
        shed = isinstance(report, CompactionFailure) and report.shed and not held
        if shed and self.underway and report and self.underway.key == report.key:
            # The only end of a job that leaves no record and no command.
            self.underway = None
        for command in commands:
            match command:
                case out.Journal():
                    self._take_in(command.record)
                case out.StartCompaction():
                    assert self.underway is None, f"{command.job.key} was started while another job was under way"
                    assert command.job.messages, "there is nothing in the job"
                    self.underway = command.job
                    self.jobs.append(command.job)
                case out.CancelCompaction():
                    assert self.underway is not None, "a job was cancelled that was over"
                    assert self.underway.key == command.key, "another job was cancelled than the one under way"
                    self.given_up.append(command.key)
                    self.underway = None
                case out.StartTimer():
                    self.timers.append(Timer(command.timer, self.now + command.seconds))
                case out.Emit(delta=CompactionUpdate(state="waiting")):
                    self.waiting_since = self.now
                case out.CallModel():
                    check_wires(command.request)
                    self.ledger.check_request(command.request.messages)
                    assert self.machine.state != "compacting", "it asks while it waits"
                case _:
                    pass
        self._the_whole_is_right()
        return commands

    def _take_in(self, record: Record) -> None:
        """One more record: whatever it lays over the history is for a whole range, and makes the view smaller."""
        before = self.shadow.view.tokens(self.shadow.config.provider)
        self.shadow.apply(record)
        self.ledger.take(record)
        entry = record.entry
        if isinstance(entry, Compacted):
            after = self.shadow.view.tokens(self.shadow.config.provider)
            assert after < before, f"{entry.strategy} took the view from {before} to {after} tokens"
            assert entry.tokens_after <= entry.tokens_before, "it says of itself that it made the context larger"
            if entry.job_id is not None:
                job = next(job for job in self.jobs if job.job_id == entry.job_id)
                assert not self._thinks, "a summary was put in place under a turn with thinking"
                assert self.underway is job, f"the summary of {entry.job_id} was put in place after that job was over"
                covered = self.ledger.commits[-1].covers
                assert covered == tuple(message.id for message in job.messages), "another range than the job's"
                ids = [commit.summary.job_id for commit in self.ledger.commits]
                assert len(set(ids)) == len(ids), "a summary was put in place twice"
                self.underway = None
        elif isinstance(entry, CompactionFailed) and self.underway and self.underway.job_id == entry.job_id:
            self.underway = None

    @property
    def _thinks(self) -> bool:
        """Whether the open turn holds thinking, by its records."""
        turn = self.shadow.open
        return turn is not None and any(
            isinstance(block, ThinkingBlock)
            for said in self.ledger.said
            if said.turn_id == turn.turn_id
            for block in said.blocks
        )

    def _the_whole_is_right(self) -> None:
        shown = self.conversation.view.shown
        self.ledger.check(shown)
        check_pairs(shown)
        assert self.shadow.view.shown == shown, "the view is not what its records make of it"
        status = self.machine.compaction
        assert (status.job_id is not None) == (self.underway is not None), "it lost sight of its job"
        if self.machine.state != "compacting":
            self.waiting_since = None
            return
        settings = self.conversation.config.compaction
        assert isinstance(settings, LLMCompaction)
        assert self.waiting_since is not None, "nobody was told that the turn waits"
        assert self.now - self.waiting_since <= settings.max_wait, "a turn waits for longer than it was told to"

    def crashes(self, *, reopen: bool = False) -> "Any":
        """See `Playbook`: a job, its timers and whoever waits go with the owner."""
        self.underway, self.waiting_since = None, None
        self.timers.clear()
        return super().crashes(reopen=reopen)
