"""The chaos soak's checker finds each kind of defect, and nothing where there is none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent_core.config import SessionConfig
from agent_core.content import TextBlock, ToolResultBlock, ToolUseBlock
from agent_core.cursor import Cursor, Event
from agent_core.entries import (
    Accepted,
    Complete,
    Entry,
    Opened,
    ToolBatch,
    ToolCall,
    ToolSettled,
    TurnEnded,
    TurnStarted,
)
from agent_core.messages import AssistantMessage, SessionId, TurnId
from agent_core.payloads import Restarted, TextChunk, UserInput
from agent_core.ports import Record
from benchmarks import chaos_check
from benchmarks.chaos_check import Answered, Evidence, Reading, check
from benchmarks.chaos_tools import Run, charge, enter, runs_in

HERE, TURN, TEXT, KEY, CALL = SessionId("here"), TurnId("t1"), "Charge it.", "key-1", "call-1"
DONE = "It is done."


def complete(number: int, *content: TextBlock | ToolUseBlock) -> Complete:
    fields = {"session_id": HERE, "turn_id": TURN, "model": "m", "provider": "anthropic"}
    message = AssistantMessage(id=f"m{number}", content=content, **fields)
    return Complete(turn_id=TURN, message=message, stop_reason="tool_use" if number == 1 else "end_turn")


def settled() -> ToolSettled:
    return ToolSettled(turn_id=TURN, result=ToolResultBlock(tool_use_id=CALL, content="charged"), outcome="ok")


def accepted(key: str, turn_id: TurnId = TURN) -> Accepted:
    return Accepted(turn_id=turn_id, payload=UserInput.of(TEXT), key=key)


ENTRIES: tuple[Entry, ...] = (
    Opened(config=SessionConfig(model="anthropic/m"), tools=(charge.definition,)),
    accepted(KEY),
    TurnStarted(turn_id=TURN),
    complete(1, ToolUseBlock(id=CALL, name="charge", input={})),
    ToolBatch(turn_id=TURN, message_id="m1", calls=(ToolCall(id=CALL, name="charge", input={}),)),
    settled(),
    complete(2, TextBlock(text=DONE)),
    TurnEnded(turn_id=TURN, outcome="completed"),
)


def log_of(*entries: Entry) -> list[Record]:
    return [Record(seq, 1, 0.0, entry) for seq, entry in enumerate(entries, 1)]


def read(reading: Reading, log: list[Record]) -> Reading:
    for record in log:
        reading.take(Event(Cursor(record.seq, record.epoch), record.entry))
    return reading


def sound() -> Evidence:
    """What is seen of a session with one turn and one call, all of it well."""
    return rewritten(
        Evidence(
            answered=[Answered(HERE, KEY, TURN, TEXT)], runs=[Run(HERE, CALL, "charge", once=True)],
        ),
        *ENTRIES,
    )  # fmt: skip


def rewritten(evidence: Evidence, *entries: Entry) -> Evidence:
    """The same with other entries in the journal, which the reader was shown."""
    log = log_of(*entries)
    evidence.logs[HERE], evidence.readings[HERE] = log, read(Reading(), log)
    return evidence


def facts(change: Callable[[list[Event]], list[Event]]) -> Callable[[Evidence], None]:
    """A defect in what the reader was shown."""

    def spoil(evidence: Evidence) -> None:
        reading = evidence.readings[HERE]
        reading.facts = change(reading.facts)

    return spoil


def chunks(*payloads: TextChunk | Restarted) -> Callable[[Evidence], None]:
    """A defect in the text that came before the last answer."""

    def spoil(evidence: Evidence) -> None:
        log = log_of(*ENTRIES)
        reading = read(Reading(), log[:6])
        for number, payload in enumerate(payloads, 1):
            reading.take(Event(Cursor(6, 1, number), payload))
        evidence.readings[HERE] = read(reading, log[6:])

    return spoil


def text(part: str) -> TextChunk:
    return TextChunk(turn_id=TURN, index=0, text=part)


def entries(*made: Entry) -> Callable[[Evidence], None]:
    """A defect in the journal."""
    return lambda evidence: void(rewritten(evidence, *made))


def void(_: object) -> None:
    """Nothing."""


SECOND = TurnId("t2")
DEFECTS: dict[str, tuple[Callable[[Evidence], None], set[str]]] = {
    "an answered message that the journal does not hold": (
        lambda evidence: evidence.answered.append(Answered(HERE, "key-2", SECOND, "Other.")),
        {chaos_check.LOST},
    ),
    "a message answered with another turn than the journal's": (
        lambda evidence: evidence.answered.append(Answered(HERE, KEY, SECOND, TEXT)),
        {chaos_check.LOST},
    ),
    "an answered message of a session that the journal does not hold": (
        lambda evidence: evidence.answered.append(Answered(SessionId("there"), KEY, TURN, TEXT)),
        {chaos_check.LOST},
    ),
    "an accepted message that never entered the conversation": (
        entries(*(accepted(KEY).model_copy(update={"payload": UserInput.of("Other.")}), *ENTRIES[2:])),
        {chaos_check.LOST},
    ),
    "a key that was accepted twice": (
        entries(
            *ENTRIES, accepted(KEY, SECOND), TurnStarted(turn_id=SECOND), TurnEnded(turn_id=SECOND, outcome="completed")
        ),
        {chaos_check.DOUBLED},
    ),
    "a text that entered the conversation under two keys": (
        entries(
            *ENTRIES,
            accepted("key-2", SECOND),
            TurnStarted(turn_id=SECOND),
            TurnEnded(turn_id=SECOND, outcome="completed"),
        ),
        {chaos_check.DOUBLED},
    ),
    "a tool that ran twice": (
        lambda evidence: evidence.runs.append(evidence.runs[0]),
        {chaos_check.RAN_TWICE},
    ),
    "a tool that ran for no call": (
        lambda evidence: evidence.runs.append(Run(HERE, "call-2", "charge", once=True)),
        {chaos_check.UNTOLD},
    ),
    "a result of a tool that never ran": (lambda evidence: evidence.runs.clear(), {chaos_check.UNTOLD}),
    "a turn that never ended": (entries(*ENTRIES[:-1]), {chaos_check.STUCK}),
    "a message that was never run": (entries(*ENTRIES, accepted("key-2", SECOND)), {chaos_check.STUCK}),
    "a session that does not answer": (
        lambda evidence: evidence.silent.update({HERE: "it has not answered"}),
        {chaos_check.STUCK},
    ),
    "an invalid request": (lambda evidence: setattr(evidence, "invalid", {"orphan": 1}), {chaos_check.INVALID}),
    "a reader that missed a fact": (facts(lambda shown: shown[:3] + shown[4:]), {chaos_check.MISREAD}),
    "a reader that missed the end": (facts(lambda shown: shown[:-1]), {chaos_check.MISREAD}),
    "a reader that was shown nothing": (lambda evidence: evidence.readings.clear(), {chaos_check.MISREAD}),
    "a reader that was shown a fact twice": (facts(lambda shown: [*shown, shown[-1]]), {chaos_check.MISREAD}),
    "a reader that was shown facts out of order": (
        facts(lambda shown: [shown[1], shown[0], *shown[2:]]),
        {chaos_check.MISREAD},
    ),
    "a reader that was shown what the journal does not hold": (
        facts(lambda shown: [*shown[:-1], shown[-1]._replace(payload=TurnStarted(turn_id=TURN))]),
        {chaos_check.MISREAD},
    ),
    "a reader that was shown a text twice": (
        chunks(text("It is "), text("It is "), text("done.")),
        {chaos_check.MISREAD},
    ),
    "a reader that missed a text in the middle": (chunks(text("It is"), text("done.")), {chaos_check.MISREAD}),
    "an owner that wrote after a newer one": (
        lambda evidence: evidence.logs.update(
            {HERE: [replace(record, epoch=2 if record.seq < 5 else 1) for record in evidence.logs[HERE]]}
        ),
        {chaos_check.LOGS},
    ),
    "a call that was settled twice": (entries(*ENTRIES[:6], settled(), *ENTRIES[6:]), {chaos_check.LOGS}),
}


def test_nothing_is_found_where_all_is_well() -> None:
    evidence = sound()
    chunks(text("It "), Restarted(from_seq=6), text("It is "), text("done."))(evidence)
    assert not any(check(evidence).values())


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_as_what_it_is(name: str) -> None:
    spoil, kinds = DEFECTS[name]
    evidence = sound()
    spoil(evidence)
    found = {kind: findings for kind, findings in check(evidence).items() if findings}
    assert set(found) == kinds, found


def test_a_message_that_waits_is_stuck_and_not_lost() -> None:
    evidence = rewritten(sound(), *ENTRIES, accepted("key-2", SECOND))
    evidence.answered.append(Answered(HERE, "key-2", SECOND, "Other."))
    assert {kind for kind, findings in check(evidence).items() if findings} == {chaos_check.STUCK}


def test_an_idempotent_tool_may_run_twice() -> None:
    evidence = sound()
    evidence.runs = [Run(HERE, CALL, "look", once=False)] * 2
    assert not any(check(evidence).values())


def test_what_is_entered_in_the_ledger_is_read_from_it(tmp_path: Path) -> None:
    runs = [Run(HERE, CALL, "charge", once=True), Run(HERE, "call-2", "look", once=False)]
    assert not list(runs_in(tmp_path / "ledger"))
    for run in runs:
        enter(str(tmp_path / "ledger"), run)
    assert list(runs_in(tmp_path / "ledger")) == runs
