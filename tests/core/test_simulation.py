"""The simulation holds every rule, is repeatable, and notices when the code under test is broken on purpose."""

from collections.abc import Callable

import pytest

from agent_core import calls, conversation, outbox, session, stream, turn
from agent_core.accumulator import Accumulator
from agent_core.entries import Accepted, Steered
from agent_core.journals import memory
from agent_core.ports import Append, Record
from agent_core.simulation.loop import Deadlock
from agent_core.simulation.rules import RuleBroken
from agent_core.simulation.schedule import play

Sabotage = Callable[[pytest.MonkeyPatch], None]


def test_many_schedules_hold_every_rule() -> None:
    outcomes = [play(seed) for seed in range(1, 151)]
    assert sum(outcome.tool_runs for outcome in outcomes) > 100
    assert sum(outcome.requests for outcome in outcomes) > 500


def test_a_seed_always_plays_the_same_schedule() -> None:
    assert [play(seed) for seed in (7, 8, 9)] == [play(seed) for seed in (7, 8, 9)]


def _reruns_every_lost_call(patch: pytest.MonkeyPatch) -> None:
    unsettled = calls.Calls._unsettled
    recover = calls.Calls.recover

    def recovering(self: calls.Calls) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(calls.Calls, "_unsettled", lambda it: [replace_call(call) for call in unsettled(it)])
            recover(self)

    patch.setattr(calls.Calls, "recover", recovering)


def replace_call(call: calls.ToolCall) -> calls.ToolCall:
    return call.model_copy(update={"idempotent": True})


def _shows_facts_before_they_are_durable(patch: pytest.MonkeyPatch) -> None:
    def write(self: session.Shell, record: Record) -> None:
        self._outbox.write(record, lambda: None)
        self._left(record)

    patch.setattr(session.Shell, "_write", write)


def _forgets_idempotency_keys(patch: pytest.MonkeyPatch) -> None:
    accept = conversation.Conversation._accept

    def forgetful(self: conversation.Conversation, entry: Accepted, seq: int) -> None:
        accept(self, entry.model_copy(update={"key": None}), seq)

    patch.setattr(conversation.Conversation, "_accept", forgetful)


def _takes_appends_of_any_owner(patch: pytest.MonkeyPatch) -> None:
    # A log that trusts whoever writes: neither the epoch nor the place of a record is looked at.
    patch.setattr(memory, "judge", lambda head, span: 0)


def _leaves_interrupted_calls_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(calls.Calls, "abandon", lambda self: None)


def _keeps_calls_of_interrupted_answers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Accumulator, "partial", lambda self: self.blocks(()))


def _lets_late_readers_miss_what_has_passed(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: stream.Subscription) -> list[stream.Event]:
        self._behind = False
        return []

    patch.setattr(stream.Subscription, "_catch_up", nothing)


def _ignores_interrupts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(turn.Machine, "_interrupt_open", lambda self, mode, key=None: None)


def _drops_messages_that_wait_for_the_next_step(patch: pytest.MonkeyPatch) -> None:
    steer = conversation.Conversation._steer

    def dropping(self: conversation.Conversation, entry: Steered, record: Record) -> None:
        self.queue.clear()
        steer(self, entry, record)

    patch.setattr(conversation.Conversation, "_steer", dropping)


def _releases_what_waits_behind_a_refused_append(patch: pytest.MonkeyPatch) -> None:
    async def careless(self: outbox.Outbox) -> None:
        try:
            while self._records:
                records, self._records = self._records, []
                await self._journal.append([Append(self._session_id, self._epoch, records)])
                self._release(records[-1].seq)
        finally:
            self._task = None

    patch.setattr(outbox.Outbox, "_run", careless)


def _forgets_the_calls_of_what_was_said_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conversation, "calls_of", lambda message: [])


def _shows_nothing_of_what_was_said_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conversation, "placed", lambda history, session_id, prefix: ())


@pytest.mark.parametrize(
    "sabotage",
    [
        _forgets_the_calls_of_what_was_said_before,
        _shows_nothing_of_what_was_said_before,
        _reruns_every_lost_call,
        _shows_facts_before_they_are_durable,
        _forgets_idempotency_keys,
        _takes_appends_of_any_owner,
        _leaves_interrupted_calls_open,
        _keeps_calls_of_interrupted_answers,
        _lets_late_readers_miss_what_has_passed,
        _ignores_interrupts,
        _drops_messages_that_wait_for_the_next_step,
        _releases_what_waits_behind_a_refused_append,
    ],
)
def test_code_that_is_broken_on_purpose_is_noticed(sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage(monkeypatch)
    with pytest.raises((RuleBroken, Deadlock, AssertionError)):
        _play_all(range(1, 400))


def _play_all(seeds: range) -> None:
    for seed in seeds:
        play(seed)
