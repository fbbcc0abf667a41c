"""The turn machine under any order of inputs, crashes included: what must always hold, holds after every step.

The world around the machine is as the shell and the journal make it: what one input decides becomes durable whole or
not at all; tool calls leave only when that has happened, the model is asked at once; a crash loses what was
not durable.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent_core import commands as out
from agent_core import inputs
from agent_core.compaction.settings import ThresholdCompaction
from agent_core.config import SessionConfig
from agent_core.content import TextBlock, ToolResultBlock
from agent_core.conversation import Conversation
from agent_core.entries import Accepted, Opened, ToolSettled, TurnEnded, decode, encode
from agent_core.errors import ProviderError, ProviderErrorKind
from agent_core.messages import Message, TurnId, Usage, UserMessage
from agent_core.payloads import ToolResults, UserInput, When
from agent_core.ports import (
    ModelEvent,
    Record,
    ResponseStopped,
    TextDelta,
    ToolInvocation,
    ToolReport,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.seeding import regular
from agent_core.turn import Machine
from tests.core.invariants import FOLDED, check_pairs, check_records, check_request, check_state
from tests.core.playbook import SESSION
from tests.core.said_before import BEFORE
from tests.core.strategies import FAILURES, TOOLS, deltas, good_calls, odd_calls, rare, stops, texts, usages

WINDOW = 1_500


class Owner:
    """One incarnation of the session: its machine, and what it has decided that is not durable yet."""

    def __init__(self, conversation: Conversation, epoch: int) -> None:
        self.machine = Machine(conversation, epoch, lambda config: config.context_limit or WINDOW)
        self.epoch = epoch
        self.call: int | None = None
        self.calls = 0
        self.pending: list[tuple[list[Record], list[out.Command]]] = []


class TurnMachine(RuleBasedStateMachine):
    """See the module."""

    history: tuple[Message, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sent = 0
        self.slow = False
        self.journal: list[Record] = []
        self.invocations: dict[str, ToolInvocation] = {}
        self.runs: Counter[str] = Counter()
        compaction = ThresholdCompaction(threshold=0.3, keep_recent_turns=1)
        config = SessionConfig(model="local/fake", max_tokens=300, max_steps=4, compaction=compaction)
        opened = Record(1, 1, self.now, Opened(config=config, tools=TOOLS, history=self.history))
        self.journal.append(opened)
        conversation = Conversation(SESSION)
        conversation.apply(opened)
        self.owner = Owner(conversation, 1)

    # --- the world --------------------------------------------------------------------------------------------------

    @property
    def conversation(self) -> Conversation:
        return self.owner.machine.conversation

    @property
    def decided(self) -> list[Record]:
        """What is durable and what would be next."""
        return [*self.journal, *(record for records, _ in self.owner.pending for record in records)]

    @property
    def accepted(self) -> list[Accepted]:
        return [record.entry for record in self.decided if isinstance(record.entry, Accepted)]

    def handle(self, given: inputs.Input) -> list[out.Command]:
        self.now += 1.0
        closed = self.conversation.closed
        owner, leaving, records = self.owner, list[out.Command](), list[Record]()
        commands = owner.machine.handle(given, self.now)
        if isinstance(given, inputs.FromModel | inputs.ModelFailed) and given.call == owner.call:
            ended = isinstance(given, inputs.ModelFailed) or isinstance(given.event, ResponseStopped)
            owner.call = None if ended else owner.call
        for command in commands:
            if isinstance(command, out.Journal):
                record = command.record
                records.append(Record(record.seq, record.epoch, record.at, decode(encode(record.entry))))
            elif isinstance(command, out.CallModel):
                assert owner.call is None, "two model calls at once"
                again = isinstance(given, inputs.ModelFailed)
                assert again or not self.conversation.steers, "a message for the next step was passed over"
                check_request(command.request)
                owner.call = owner.calls = command.call
            elif isinstance(command, out.CancelModel):
                assert command.call == owner.call, "another call was cancelled than the live one"
                owner.call = None
            elif isinstance(command, out.RunTools | out.CancelTools):
                leaving.append(command)
            elif isinstance(command, out.Refuse):
                assert not records, "a refused input left something in the journal"
        assert not closed or not records or records[0].entry.kind == "reopened", "a closed session went on"
        owner.pending.append((records, leaving))
        if not self.slow:
            self.becomes_durable()
        return commands

    def feed(self, *events: ModelEvent) -> None:
        if self.owner.call is not None:
            call = self.owner.call
            for event in events:
                self.handle(inputs.FromModel(call, event))

    def becomes_durable(self) -> None:
        """The journal has taken everything so far; what waited for it leaves."""
        pending, self.owner.pending = self.owner.pending, []
        for records, leaving in pending:
            self.journal += records
            for command in leaving:
                if isinstance(command, out.RunTools):
                    self.run_tools(command.invocations)

    @rule()
    def the_journal_is_slow_or_catches_up(self) -> None:
        self.slow = not self.slow
        if not self.slow:
            self.becomes_durable()

    def run_tools(self, invocations: Sequence[ToolInvocation]) -> None:
        for invocation in invocations:
            self.runs[invocation.key] += 1
            self.invocations[invocation.key] = invocation
            assert invocation.call.idempotent or self.runs[invocation.key] == 1, f"{invocation.key} ran twice"
            started = {record.entry.kind for record in self.journal if _starts(record, invocation.call.id)}
            assert started == {"tool_batch"}, f"{invocation.key} left before its start was durable"

    @rule(reopen=st.booleans())
    def crashes(self, reopen: bool) -> None:
        """The owner dies; another one takes over with what is durable."""
        if self.journal:
            conversation = Conversation(SESSION)
            for record in self.journal:
                conversation.apply(record)
            self.owner = Owner(conversation, self.owner.epoch + 1)
            self.handle(inputs.Recover(reopen))

    @precondition(lambda self: self.conversation.closed)
    @rule()
    def is_opened_again(self) -> None:
        self.becomes_durable()
        self.crashes(reopen=True)

    # --- what users do ----------------------------------------------------------------------------------------------

    @rule(long=st.booleans())
    def sends(self, long: bool) -> None:
        self.sent += 1
        self.handle(inputs.Submit(UserInput.of(f"{'long ' * 60 if long else 'word '}{self.sent}")))

    @rule(
        when=st.sampled_from(get_args(When)),
        key=st.sampled_from([None, "k1", "k2"]),
        turn_id=st.sampled_from([None, None, "mine", "u2"]),
        empty=st.booleans(),
    )
    def sends_oddly(self, when: When, key: str | None, turn_id: str | None, empty: bool) -> None:
        self.sent += 1
        given = UserInput.of(" " if empty and turn_id else f"word {self.sent}", TurnId(turn_id) if turn_id else None)
        known = next((entry.turn_id for entry in self.accepted if key is not None and entry.key == key), None)
        commands = self.handle(inputs.Submit(given, when, key))
        if known is not None:
            assert commands == [out.Answer(known)], "a repeated key did something"

    @rule(given=rare)
    def does_something_rare(self, given: inputs.Input) -> None:
        turn = self.conversation.open
        self.handle(given)
        if isinstance(given, inputs.Interrupt | inputs.Clear) and turn is not None and not self.conversation.closed:
            assert self.conversation.turns[turn.turn_id] is not None, "the interrupted turn goes on"

    @precondition(lambda self: self.conversation.open is not None and self.conversation.open.batch is not None)
    @rule(count=st.integers(1, 3), text=texts, summary=st.booleans())
    def answers_from_outside(self, count: int, text: str, summary: bool) -> None:
        """Some or all of the results that are waited for from outside."""
        turn = self.conversation.open
        assert turn is not None
        assert turn.batch is not None
        waiting = [call.id for call in turn.batch.calls if call.external and call.id not in turn.settled]
        self.answer(waiting[:count], text, summaries=dict.fromkeys(waiting, "short") if summary else {})

    @rule(picks=st.lists(st.integers(0, 30), min_size=1, max_size=3), text=texts)
    def answers_oddly(self, picks: list[int], text: str) -> None:
        """Results for calls of any kind and age, or of no call at all, some of them twice."""
        known = [*self.conversation.turn_of_call, "nothing"]
        self.answer([known[pick % len(known)] for pick in picks], text, summaries={})

    def answer(self, calls: list[str], text: str, summaries: dict[str, str]) -> None:
        results = tuple(ToolResultBlock(tool_use_id=call, content=f"{text}{self.now}") for call in calls)
        self.handle(inputs.Submit(ToolResults(results=results, compact_summaries=summaries)))

    # --- what the model does ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.owner.call is not None)
    @rule(events=st.lists(deltas, min_size=1, max_size=4))
    def model_says_something(self, events: list[ModelEvent]) -> None:
        self.feed(*events)

    @precondition(lambda self: self.owner.call is not None)
    @rule(text=texts, asked=st.lists(good_calls, max_size=3), usage=usages)
    def model_answers(self, text: str, asked: list[tuple[str, str, str]], usage: Usage) -> None:
        self.model_answers_oddly(text, asked, "tool_use" if asked else "end_turn", usage)

    @precondition(lambda self: self.owner.call is not None)
    @rule(text=texts, asked=st.lists(good_calls | odd_calls, max_size=3), stop=stops, usage=usages)
    def model_answers_oddly(self, text: str, asked: list[tuple[str, str, str]], stop: Any, usage: Usage) -> None:
        asks = [
            event
            for index, (id, name, given) in enumerate(asked, start=4)
            for event in (ToolUseDelta(index, id=id, name=name), ToolUseDelta(index, given))
        ]
        self.feed(TextDelta(3, text), *asks, UsageUpdate(usage), ResponseStopped(stop))

    @precondition(lambda self: self.owner.call is not None)
    @rule(kind=st.sampled_from(FAILURES), limit=st.sampled_from([None, 500, 9_000]))
    def model_fails(self, kind: ProviderErrorKind | None, limit: int | None) -> None:
        assert self.owner.call is not None
        if kind is None:
            return
        error = ProviderError("It failed. Try again.", kind, context_limit=limit)
        self.handle(inputs.ModelFailed(self.owner.call, error))

    @precondition(lambda self: self.owner.calls > 0)
    @rule(back=st.integers(0, 3), event=deltas | st.builds(ResponseStopped, stops))
    def a_late_event_comes(self, back: int, event: ModelEvent) -> None:
        call = self.owner.calls - back
        if call != self.owner.call:
            assert self.handle(inputs.FromModel(call, event)) == [], "a late event did something"

    # --- what tools do ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.running)
    @rule(newest=st.booleans(), text=texts, failed=st.booleans())
    def a_running_tool_reports(self, newest: bool, text: str, failed: bool) -> None:
        self.report(self.running[-1 if newest else 0], text, failed=failed)

    @precondition(lambda self: self.invocations)
    @rule(pick=st.integers(0, 30), text=texts, again=st.booleans())
    def any_tool_reports(self, pick: int, text: str, again: bool) -> None:
        """Any call that ever ran: late, twice, for an owner that is gone."""
        key = sorted(self.invocations)[pick % len(self.invocations)]
        for _ in range(1 + again):
            self.report(key, text, failed=False)

    def report(self, key: str, text: str, *, failed: bool) -> None:
        call = self.invocations[key].call
        result = ToolResultBlock(tool_use_id=call.id, content=f"{text}{self.now}", is_error=failed)
        self.handle(inputs.FromTool(ToolReport(key, result, "exception" if failed else "ok")))

    @property
    def running(self) -> list[str]:
        """Keys of open calls that have left."""
        turn = self.conversation.open
        keys = [f"{SESSION}/{call}" for call in turn.unsettled] if turn else []
        return [key for key in keys if key in self.invocations]

    @rule()
    def a_tool_that_was_never_called_reports(self) -> None:
        result = ToolResultBlock(tool_use_id="nothing", content="?")
        assert self.handle(inputs.FromTool(ToolReport("s/nothing", result, "ok"))) == []

    # --- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def the_log_is_in_order(self) -> None:
        check_records(self.decided)
        check_state(self.owner.machine.state, self.conversation)

    @invariant()
    def a_replay_gives_the_live_state(self) -> None:
        again = Conversation(SESSION)
        for record in self.decided:
            again.apply(record)
        for name in FOLDED:
            assert getattr(again, name) == getattr(self.conversation, name), f"{name} differs after a replay"
        assert again.view.shown == self.conversation.view.shown

    @invariant()
    def what_the_model_sees_is_paired(self) -> None:
        shown = self.conversation.view.shown
        check_pairs(shown)
        assert not shown or isinstance(shown[0], UserMessage)

    @invariant()
    def a_settled_result_is_in_the_conversation_as_it_came(self) -> None:
        conversation, gone = self.conversation, set[TurnId]()
        held = [
            block
            for message in conversation.messages
            for block in message.content
            if isinstance(block, ToolResultBlock)
        ]
        held += [entry.result for entry in conversation.open.settled.values()] if conversation.open else []
        results = {block.tool_use_id: block for block in held}
        assert len(results) == len(held), "a call has two results"
        for record in self.decided:
            if isinstance(record.entry, TurnEnded) and record.entry.discarded:
                gone.add(record.entry.turn_id)
        for record in self.decided:
            if isinstance(record.entry, ToolSettled) and record.entry.turn_id not in gone:
                assert results.get(record.entry.result.tool_use_id) == record.entry.result, (
                    "a result was lost or changed"
                )

    @invariant()
    def what_was_accepted_is_waiting_or_was_said(self) -> None:
        conversation = self.conversation
        waiting = [accepted for _, accepted in (*conversation.queue, *conversation.steers)]
        said = [block for message in conversation.messages for block in message.content]
        gone = {turn_id for turn_id, ended in conversation.turns.items() if ended is not None and ended.discarded}
        for record in self.decided:
            entry = record.entry
            if isinstance(entry, Accepted) and entry.turn_id not in gone and entry not in waiting:
                assert isinstance(entry.payload, UserInput)
                assert all(block in said for block in entry.payload.content), "an accepted message was lost"
                assert all(said.count(block) == 1 for block in entry.payload.content if isinstance(block, TextBlock))

    def teardown(self) -> None:
        """Once nothing goes wrong any more, everything comes to rest."""
        self.becomes_durable()
        self.crashes(reopen=True)
        for _ in range(500):
            self.becomes_durable()
            turn = self.conversation.open
            if turn is None:
                break
            if self.owner.call is not None:
                self.feed(TextDelta(0, "Done."), ResponseStopped("end_turn"))
                continue
            assert turn.batch is not None, "an open turn waits for nothing"
            for call in turn.batch.calls:
                if call.id in turn.settled:
                    continue
                result = ToolResultBlock(tool_use_id=call.id, content="Done.")
                if call.external:
                    self.handle(inputs.Submit(ToolResults(results=(result,))))
                else:
                    self.handle(inputs.FromTool(ToolReport(f"{SESSION}/{call.id}", result, "ok")))
        assert self.owner.machine.state == "idle", "it never comes to rest"
        assert not self.conversation.queue
        self.a_replay_gives_the_live_state()
        commands = self.handle(inputs.Submit(UserInput.of("Are you there?")))
        assert any(isinstance(command, out.CallModel) for command in commands), "it is dead"


class SeededTurnMachine(TurnMachine):
    """The same behind what was said elsewhere, with calls whose ids the model uses again."""

    history = regular(BEFORE)


TestTurnMachine = TurnMachine.TestCase
TestTurnMachine.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestSeededTurnMachine = SeededTurnMachine.TestCase
TestSeededTurnMachine.settings = settings(max_examples=30, stateful_step_count=50, deadline=None)


def _starts(record: Record, call: str) -> bool:
    entry = record.entry
    return entry.kind == "tool_batch" and any(started.id == call for started in entry.calls)
