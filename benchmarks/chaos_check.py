"""What must hold after a chaos soak, as checks over evidence that was gathered outside of the code under test.

The rule here: the journal's own rows, the tools' ledger, the model server's counters, what readers were shown and what
callers were answered are held against each other. Each finding is one sentence that says where; none is hidden by
another.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agent_core.content import TextBlock
from agent_core.conversation import Conversation
from agent_core.cursor import Event
from agent_core.entries import BESIDE_ANSWERS, Accepted, Complete, Entry, ToolBatch, ToolSettled, TurnStarted
from agent_core.messages import SessionId, TurnId, UserMessage
from agent_core.payloads import Restarted, TextChunk
from agent_core.ports import Record
from agent_core.simulation.rules import RuleBroken, check_journal
from benchmarks.chaos_tools import Run

LOST = "accepted messages lost"
DOUBLED = "accepted messages doubled"
RAN_TWICE = "tools run twice that must not"
UNTOLD = "tool runs and results that do not belong together"
STUCK = "stuck sessions"
INVALID = "invalid requests"
MISREAD = "readers that missed or doubled an event"
LOGS = "logs against the rules of the journal"


@dataclass(frozen=True, slots=True)
class Answered:
    """A message that was answered as accepted: with which key, under which turn. Its text is nobody else's."""

    session_id: SessionId
    key: str
    turn_id: TurnId
    text: str


@dataclass(slots=True)
class Reading:
    """What one reader of a session was shown, from its first event on: the facts, and texts that went wrong."""

    facts: list[Event] = field(default_factory=list[Event])
    garbled: list[str] = field(default_factory=list[str])
    _text: str = ""

    def take(self, event: Event) -> None:
        """Note an event. The chunks of an answer must be the beginning of it, none twice and none left out."""
        payload = event.payload
        if isinstance(payload, TextChunk):
            self._text += payload.text
        elif isinstance(payload, Restarted):
            self._text = ""
        elif event.cursor.delta == 0:
            self.facts.append(event)
            if isinstance(payload, Complete):
                whole = "".join(block.text for block in payload.message.content if isinstance(block, TextBlock))
                if not whole.startswith(self._text):
                    self.garbled.append(f"entry {event.cursor.seq}: read {self._text!r} of {whole!r}")
            if not isinstance(payload, BESIDE_ANSWERS):
                self._text = ""


@dataclass(slots=True)
class Evidence:
    """All that was seen. `silent` are sessions that did not come to rest, each with what it did instead."""

    logs: dict[SessionId, Sequence[Record]] = field(default_factory=dict[SessionId, Sequence[Record]])
    answered: list[Answered] = field(default_factory=list[Answered])
    readings: dict[SessionId, Reading] = field(default_factory=dict[SessionId, Reading])
    runs: list[Run] = field(default_factory=list[Run])
    invalid: Mapping[str, int] = field(default_factory=dict[str, int])
    silent: dict[SessionId, str] = field(default_factory=dict[SessionId, str])


def check(evidence: Evidence) -> dict[str, list[str]]:
    """What is wrong, by its kind; every kind is there, with no findings if all is well."""
    replayed = {session_id: _replayed(session_id, log) for session_id, log in evidence.logs.items()}
    checks: dict[str, Callable[[], Iterator[str]]] = {
        LOST: lambda: _lost(evidence, replayed),
        DOUBLED: lambda: _doubled(evidence, replayed),
        RAN_TWICE: lambda: _ran_twice(evidence),
        UNTOLD: lambda: _untold(evidence),
        STUCK: lambda: _stuck(evidence, replayed),
        INVALID: lambda: (f"{reason}, {count} times" for reason, count in evidence.invalid.items()),
        MISREAD: lambda: _misread(evidence),
        LOGS: lambda: _broken_logs(evidence),
    }
    return {kind: list(found()) for kind, found in checks.items()}


def _replayed(session_id: SessionId, log: Sequence[Record]) -> Conversation:
    conversation = Conversation(session_id)
    for record in log:
        conversation.apply(record)
    return conversation


# --- messages -------------------------------------------------------------------------------------------------------


def _turns_of_keys(log: Sequence[Record]) -> dict[str, list[TurnId]]:
    """Under which turns each idempotency key was accepted."""
    turns: dict[str, list[TurnId]] = defaultdict(list)
    for record in log:
        if isinstance(record.entry, Accepted) and record.entry.key is not None:
            turns[record.entry.key].append(record.entry.turn_id)
    return turns


def _texts(conversation: Conversation) -> Counter[str]:
    """How many times each text of a user is in the conversation."""
    return Counter(
        block.text
        for message in conversation.messages
        if isinstance(message, UserMessage)
        for block in message.content
        if isinstance(block, TextBlock)
    )


def _lost(evidence: Evidence, replayed: Mapping[SessionId, Conversation]) -> Iterator[str]:
    keys = {session_id: _turns_of_keys(log) for session_id, log in evidence.logs.items()}
    texts = {session_id: _texts(conversation) for session_id, conversation in replayed.items()}
    for each in evidence.answered:
        turns = keys.get(each.session_id, {}).get(each.key, [])
        if each.turn_id not in turns:
            yield f"{each.session_id}: key {each.key} was answered with turn {each.turn_id}; the journal has {turns}"
        elif not texts[each.session_id][each.text] and not _waits(replayed[each.session_id], each.key):
            yield f"{each.session_id}: the message of key {each.key} is not in the conversation"


def _waits(conversation: Conversation, key: str) -> bool:
    """Whether the message is still to be run, for which its session is stuck and the message not lost."""
    return any(accepted.key == key for _, accepted in (*conversation.queue, *conversation.steers))


def _doubled(evidence: Evidence, replayed: Mapping[SessionId, Conversation]) -> Iterator[str]:
    for session_id, log in evidence.logs.items():
        for key, turns in _turns_of_keys(log).items():
            if len(turns) > 1:
                yield f"{session_id}: key {key} was accepted {len(turns)} times, as turns {turns}"
        sent = {each.text for each in evidence.answered if each.session_id == session_id}
        for text, count in _texts(replayed[session_id]).items():
            if count > 1 and text in sent:
                yield f"{session_id}: {text[:80]!r} is in the conversation {count} times"
        started = Counter(record.entry.turn_id for record in log if isinstance(record.entry, TurnStarted))
        for turn_id, count in started.items():
            if count > 1:
                yield f"{session_id}: turn {turn_id} was started {count} times"


# --- tools ----------------------------------------------------------------------------------------------------------


def _ran_twice(evidence: Evidence) -> Iterator[str]:
    runs = Counter(run for run in evidence.runs if run.once)
    for run, count in runs.items():
        if count > 1:
            yield f"{run.session_id}: {run.tool} ran {count} times for call {run.call_id}"


def _untold(evidence: Evidence) -> Iterator[str]:
    """Runs of calls that the journal does not hold, and results of tools that never ran."""
    ran = {(run.session_id, run.call_id) for run in evidence.runs}
    started: set[tuple[str, str]] = set()
    for session_id, log in evidence.logs.items():
        for record in log:
            entry = record.entry
            if isinstance(entry, ToolBatch):
                started |= {(session_id, call.id) for call in entry.calls}
            elif isinstance(entry, ToolSettled) and entry.outcome == "ok":
                call = (session_id, entry.result.tool_use_id)
                if call not in ran:
                    yield f"{session_id}: call {call[1]} has a result, though its tool never ran"
    for session_id, call_id in sorted(ran - started):
        yield f"{session_id}: a tool ran for call {call_id}, which the journal does not hold"


# --- sessions -------------------------------------------------------------------------------------------------------


def _stuck(evidence: Evidence, replayed: Mapping[SessionId, Conversation]) -> Iterator[str]:
    for session_id in sorted({*evidence.silent, *replayed}):
        reasons = [evidence.silent[session_id]] if session_id in evidence.silent else []
        live = replayed.get(session_id)
        if live is not None:
            if live.open is not None:
                reasons.append(f"turn {live.open.turn_id} is open")
            if live.queue or live.steers:
                reasons.append(f"{len(live.queue) + len(live.steers)} messages were never run")
            if unended := [turn_id for turn_id, ended in live.turns.items() if ended is None]:
                reasons.append(f"turns {unended} never ended")
        if reasons:
            yield f"{session_id}: {', '.join(reasons)}"


def _misread(evidence: Evidence) -> Iterator[str]:
    for session_id, log in evidence.logs.items():
        reading = evidence.readings.get(session_id, Reading())
        journal: dict[int, Entry] = {record.seq: record.entry for record in log}
        # What was written after the journal was looked at is nobody's fault.
        facts = [event for event in reading.facts if event.cursor.seq <= len(log)]
        seqs = [event.cursor.seq for event in facts]
        reasons = list(reading.garbled)
        if missed := sorted(journal.keys() - set(seqs)):
            reasons.append(f"entries {missed} were not shown")
        if doubled := [seq for seq, count in Counter(seqs).items() if count > 1]:
            reasons.append(f"entries {doubled} were shown more than once")
        if seqs != sorted(seqs):
            reasons.append("entries were shown out of order")
        reasons += [
            f"entry {event.cursor.seq} was shown as something else"
            for event in facts
            if event.cursor.seq in journal and journal[event.cursor.seq] != event.payload
        ]
        if reasons:
            yield f"{session_id}: {', '.join(reasons)}"


def _broken_logs(evidence: Evidence) -> Iterator[str]:
    for session_id, log in evidence.logs.items():
        try:
            check_journal(session_id, log)
        except RuleBroken as error:
            yield str(error)
