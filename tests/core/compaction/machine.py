"""A session under compaction, in any order of what users, the model, tools, the summariser and time do to it.

The rule here: the rules only act; what must hold is checked by the `StrainedBook` after every step, from the records.
"""

from collections.abc import Callable
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent_core import commands as out
from agent_core import inputs
from agent_core.compaction.settings import LLMCompaction, ThresholdCompaction
from agent_core.entries import Settings, TurnEnded
from agent_core.errors import ProviderErrorKind
from agent_core.messages import StopReason, TurnId, Usage, UserMessage
from agent_core.payloads import InterruptMode, When
from agent_core.ports import CompactionFailure, CompactionJob, CompactionReport, Patch
from tests.core.compaction.strained import FAILED, SPENT, StrainedBook, strained
from tests.core.playbook import APPROVE, LOOKUP, PAY, Step, outside, report, user

MECHANICAL = ThresholdCompaction(threshold=0.3, keep_recent_turns=1)
End = Literal["good", "short", "failed", "shed", "empty", "blank", "huge", "another"]

texts = st.sampled_from(["word ", "word " * 40, "long " * 200])
ends: st.SearchStrategy[End] = st.sampled_from(
    ["good", "good", "good", "short", "failed", "shed", "empty", "blank", "huge", "another"]
)
calls = st.lists(st.tuples(st.sampled_from(["lookup", "pay", "approve"]), st.just('{"q": 1}')), max_size=3)
marks = st.fixed_dictionaries(
    {
        "soft": st.sampled_from([0.05, 0.3]),
        "trigger": st.sampled_from([0.3, 0.5]),
        "hard": st.sampled_from([0.5, 0.8]),
        "keep_recent_turns": st.integers(0, 2),
        "keep_tokens": st.sampled_from([0, 200, 20_000]),
        "max_wait": st.sampled_from([0.0, 10.0]),
        "mechanical": st.sampled_from([None, None, MECHANICAL]),
    }
)


def patch_of(job: CompactionJob, end: End) -> CompactionReport:
    """What a job comes to."""
    match end:
        case "good":
            return Patch(job.key, job.digest, f"What was said before {job.job_id}. " * 4, SPENT)
        case "short":
            return Patch(job.key, job.digest, job.job_id, SPENT)
        case "failed":
            return CompactionFailure(job.key, FAILED, SPENT)
        case "shed":
            return CompactionFailure(job.key, FAILED, shed=True)
        case "empty":
            return Patch(job.key, job.digest, "", SPENT)
        case "blank":
            return Patch(job.key, job.digest, " \n", Usage())
        case "huge":
            return Patch(job.key, job.digest, "huge " * 3_000, SPENT)
        case "another":
            return Patch(job.key, "another digest", "A summary of something else.", SPENT)


class CompactionMachine(RuleBasedStateMachine):
    """See the module."""

    book: StrainedBook

    @initialize(fields=marks, steps=st.sampled_from([4, 50]))
    def begins(self, fields: dict[str, Any], steps: int) -> None:
        self.sent = 0
        self.running: list[str] = []
        self.reported: list[str] = []
        self.book = StrainedBook(
            LOOKUP, PAY, APPROVE, compaction=strained(**fields), max_steps=steps, thinking={"effort": "low"}
        )

    def give(self, *what: inputs.Input) -> Step:
        step = self.book.given(*what)
        for command in step.commands:
            if isinstance(command, out.RunTools):
                self.running += [invocation.call.id for invocation in command.invocations]
            elif isinstance(command, out.CancelTools):
                self.running = []
        return step

    @property
    def asking(self) -> bool:
        """Whether a model call is under way."""
        return self.book.machine.state == "running"

    # --- users ------------------------------------------------------------------------------------------------------

    @rule(text=texts, when=st.sampled_from(["after", "after", "next_step", "interrupt"]))
    def a_user_writes(self, text: str, when: When) -> None:
        self.sent += 1
        self.give(user(f"{self.sent} {text}", when=when))

    @rule(text=texts, reply=texts, thinking=st.booleans())
    def a_whole_turn(self, text: str, reply: str, thinking: bool) -> None:
        self.a_user_writes(text, "after")
        self.the_model_answers(reply, [], thinking)

    @precondition(lambda self: self.book.machine.state == "idle")
    @rule(number=st.integers(2, 5), thinking=st.booleans())
    def a_user_goes_on_for_long(self, number: int, thinking: bool) -> None:
        for _ in range(number):
            self.a_whole_turn("long " * 80, "word " * 80, thinking)

    @precondition(lambda self: self.book.conversation.open is not None)
    @rule(mode=st.sampled_from(["keep", "discard"]))
    def a_user_interrupts(self, mode: InterruptMode) -> None:
        turn = self.book.conversation.open
        self.give(inputs.Interrupt(mode))
        assert turn is None or turn.turn_id in self.ended, "the interrupted turn goes on"
        assert self.book.machine.state != "compacting" or self.book.conversation.open is not turn

    @property
    def ended(self) -> set[TurnId]:
        return {entry.turn_id for entry in self.book.entries if isinstance(entry, TurnEnded)}

    @precondition(lambda self: len(self.book.conversation.view.shown) > 2)
    @rule(sure=st.integers(0, 3))
    def a_user_clears(self, sure: int) -> None:
        if sure == 0:
            self.give(inputs.Clear())
            assert not self.book.conversation.view.shown or self.book.conversation.open
            assert self.book.underway is None, "the job of what was cleared goes on"

    @rule(focus=st.sampled_from(["", "", "the code"]), twice=st.booleans())
    def a_user_compacts(self, focus: str, twice: bool) -> None:
        started = len(self.book.jobs)
        step = self.give(*[inputs.Compact(focus)] * (1 + twice))
        assert len(self.book.jobs) <= started + 1, "asked for twice, it was started twice"
        told = [command for command in step.commands if isinstance(command, out.Answer)]
        assert all(bool(answer.compacted) != bool(answer.job_id) for answer in told), "it was answered by nothing"

    @rule(pick=st.integers(0, 30), kept=st.booleans())
    def a_user_pins(self, pick: int, kept: bool) -> None:
        if messages := self.book.conversation.messages:
            self.give(inputs.Pin(messages[-1 - pick % len(messages)].id, kept=kept))

    @precondition(lambda self: len(self.book.records) > 30)
    @rule(change=st.sampled_from([None, MECHANICAL, strained(), strained(soft=0.1, trigger=0.2, hard=0.4), "prompt"]))
    def a_user_configures(self, change: LLMCompaction | ThresholdCompaction | str | None) -> None:
        fields = {"system_prompt": "Be brief."} if change == "prompt" else {"compaction": change}
        self.give(inputs.Configure(Settings(fields=fields)))

    @precondition(lambda self: self.book.conversation.last_turn and self.book.conversation.last_turn[1] == "failed")
    @rule()
    def a_user_retries(self) -> None:
        self.give(inputs.Retry())

    # --- the model and tools ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.asking)
    @rule(text=texts, asked=calls, thinking=st.booleans(), used=st.sampled_from([0, 0, 0, 300, 1_500, 2_600]))
    def the_model_answers(
        self, text: str, asked: list[tuple[str, str]], thinking: bool, used: int = 0, stop: StopReason | None = None
    ) -> None:
        # An answer that goes on after a pause is one with it, which cannot begin to think in the middle.
        thought = "hm" if thinking and isinstance(self.book.conversation.messages[-1], UserMessage) else ""
        self.give(*self.book.says(text, calls=asked, thinking=thought, used=used, stop=stop))

    @precondition(lambda self: self.asking)
    @rule(text=texts, asked=calls, stop=st.sampled_from(["pause_turn", "pause_turn", "max_tokens", "refusal"]))
    def the_model_stops_oddly(self, text: str, asked: list[tuple[str, str]], stop: StopReason) -> None:
        self.the_model_answers(text, asked if stop != "pause_turn" else [], thinking=False, stop=stop)

    @precondition(lambda self: self.asking)
    @rule(kind=st.sampled_from(["server", "context_too_long"]), limit=st.sampled_from([None, 1_500, 9_000]))
    def the_model_fails(self, kind: ProviderErrorKind, limit: int | None) -> None:
        self.give(self.book.fails(kind, limit))

    @precondition(lambda self: self.running)
    @rule(pick=st.integers(0, 3), text=texts, again=st.booleans())
    def a_tool_reports(self, pick: int, text: str, again: bool) -> None:
        call = self.running.pop(pick % len(self.running))
        self.reported.append(call)
        self.give(*[report(call, text)] * (1 + again))

    @precondition(lambda self: self.reported)
    @rule(pick=st.integers(0, 30))
    def a_tool_reports_late(self, pick: int) -> None:
        shown = list(self.book.conversation.view.shown)
        self.give(report(self.reported[pick % len(self.reported)], "late"))
        assert self.book.conversation.view.shown == shown, "a late report changed what is shown"

    @precondition(lambda self: self.book.machine.state == "awaiting_tools")
    @rule(text=texts, summary=st.sampled_from([None, "approved"]))
    def somebody_answers_from_outside(self, text: str, summary: str | None) -> None:
        turn = self.book.conversation.open
        assert turn is not None
        assert turn.batch is not None
        waiting = [call.id for call in turn.batch.calls if call.external and call.id not in turn.settled]
        if waiting:
            summaries = {waiting[0]: summary} if summary else None
            self.give(outside((waiting[0], text), summaries=summaries))

    # --- the summariser ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.book.jobs)
    @rule()
    def the_summariser_begins(self) -> None:
        self.book.begins()

    @precondition(lambda self: self.book.underway is not None)
    @rule(end=ends, again=st.booleans())
    def the_summariser_ends(self, end: End, again: bool) -> None:
        assert self.book.underway is not None
        told = patch_of(self.book.underway, end)
        bad = end not in ("good", "short")
        for _ in range(1 + again):
            self._hears(told, changes_nothing=bad)

    @precondition(lambda self: self.book.jobs)
    @rule(pick=st.integers(0, 10), end=ends)
    def the_summariser_reports_late(self, pick: int, end: End) -> None:
        """A report of any job that ever was, which was lost, or given up, or is done."""
        job = self.book.jobs[pick % len(self.book.jobs)]
        over = self.book.underway is None or job.key != self.book.underway.key
        self._hears(patch_of(job, end), changes_nothing=over or end not in ("good", "short"))

    def _hears(self, told: CompactionReport, *, changes_nothing: bool) -> None:
        conversation, waiting = self.book.conversation, self.book.machine.state == "compacting"
        held = self.book.machine.compaction.state == "ready"
        before = (list(conversation.messages), list(conversation.view.shown), conversation.context_used)
        self.give(inputs.FromCompactor(told))
        if changes_nothing and not waiting and not held:
            after = (conversation.messages, conversation.view.shown, conversation.context_used)
            assert before == after, "a job that came to nothing changed the conversation"

    # --- time and death ---------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 9.0, 30.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.book.passes(seconds)

    @precondition(lambda self: self.book.underway is not None)
    @rule(number=st.integers(1, 5))
    def a_timer_of_long_ago_ends(self, number: int) -> None:
        if number not in [timer.number for timer in self.book.timers]:
            self.give(inputs.TimerEnded(number))

    @precondition(lambda self: len(self.book.records) > 10)
    @rule(how=st.sampled_from(["dies", "dies", "finish", "cancel"]))
    def the_owner_goes(self, how: Literal["dies", "finish", "cancel"]) -> None:
        if how != "dies":
            self.give(inputs.Shutdown(how))
        self.running = []
        step = self.book.crashes(reopen=True)
        self.running = [
            invocation.call.id
            for command in step.commands
            if isinstance(command, out.RunTools)
            for invocation in command.invocations
        ]

    def teardown(self) -> None:
        """Once nothing new comes, it comes to rest, and whoever speaks to it then is answered."""
        if not hasattr(self, "book"):
            return
        self.the_owner_goes("dies")
        steps: dict[str, Callable[[], object]] = {
            "compacting": lambda: self.book.passes(400.0),
            "running": lambda: self.the_model_answers("Done.", [], thinking=False),
            "awaiting_tools": self._answers_a_call,
        }
        for _ in range(200):
            state = self.book.machine.state
            if state not in steps:
                break
            steps[state]()
        assert self.book.machine.state == "idle", "it never comes to rest"
        self.a_whole_turn("Are you there?", "Yes.", thinking=False)

    def _answers_a_call(self) -> None:
        if self.running:
            self.a_tool_reports(0, "done", again=False)
        else:
            self.somebody_answers_from_outside("done", None)
