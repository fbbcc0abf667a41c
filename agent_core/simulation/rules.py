"""What must hold: the rules of the system as checks over what the world has seen.

The rule here: a check looks at evidence gathered outside of the code under test (the journal's rows, the requests that
the model got, the tools' own ledger, what readers were shown, what callers were answered), never at its good word.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent_core.content import ContentBlock, TextBlock
from agent_core.conversation import Conversation
from agent_core.cursor import Event
from agent_core.entries import Accepted, Complete, Entry, Opened, ToolBatch, ToolSettled, TurnEnded, TurnRetried
from agent_core.errors import ConfigError
from agent_core.messages import SessionId, TurnId
from agent_core.payloads import Restarted
from agent_core.ports import CompactionJob, Record
from agent_core.seeding import calls_of, regular
from agent_core.simulation.ledger import Ledger, LedgerBroken


class RuleBroken(AssertionError):
    """A rule does not hold; the text says which and where."""


_REPLAYED = (
    "queue",
    "steers",
    "config",
    "usage",
    "last_turn",
    "closed",
    "context_used",
    "tools",
    "compactions",
    "failed_compactions",
    "learned_limits",
    "history_digest",
    "turn_of_call",
)


@dataclass
class Evidence:
    """What was seen of the world from outside."""

    accepted: list[tuple[SessionId, str, TurnId]] = field(default_factory=list[tuple[SessionId, str, TurnId]])
    tool_runs: Counter[str] = field(default_factory=Counter[str])
    idempotent: set[str] = field(default_factory=set[str])
    shown: dict[str, list[Event]] = field(default_factory=dict[str, list[Event]])
    interrupted: list[tuple[SessionId, TurnId]] = field(default_factory=list[tuple[SessionId, TurnId]])
    jobs: dict[str, str] = field(default_factory=dict[str, str])
    """The compaction job under way, by session and epoch."""
    given: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """The ids that each compaction job was given, by its key."""
    said: set[str] = field(default_factory=set[str])
    """What users have said."""


def check_tools(evidence: Evidence) -> None:
    """Rule 4: a tool that is not declared idempotent never runs twice."""
    for key, runs in evidence.tool_runs.items():
        if runs > 1 and key not in evidence.idempotent:
            raise RuleBroken(f"rule 4: the call {key} ran {runs} times and is not idempotent")


def check_job(evidence: Evidence, job: CompactionJob) -> None:
    """An owner has one compaction job under way at most."""
    owner = f"{job.session_id} {job.job_id.partition('.')[0]}"
    if (other := evidence.jobs.get(owner)) is not None:
        raise RuleBroken(f"compaction: {job.session_id} started {job.key} while {other} was under way")
    evidence.jobs[owner] = job.key
    evidence.given[job.key] = tuple(message.id for message in job.messages)


def forget_job(evidence: Evidence, key: str) -> None:
    """The job is over, or was given up."""
    evidence.jobs = {owner: other for owner, other in evidence.jobs.items() if other != key}


def check_view(session_id: SessionId, live: Conversation, records: Sequence[Record]) -> None:
    """What is shown is what the records say: one summary, first, for what it covers, then the rest as it happened."""
    try:
        Ledger.of(session_id, records).check(live.view.shown)
    except LedgerBroken as error:
        raise RuleBroken(f"compaction: {session_id}: {error}") from error


def check_summaries(evidence: Evidence, session_id: SessionId, records: Sequence[Record]) -> None:
    """Each summary that was put in place covers exactly what its job was given, and none was put in place twice."""
    placed: set[str] = set()
    for laid in Ledger.of(session_id, records).commits:
        key = f"{session_id}/{laid.summary.job_id}"
        if key in placed:
            raise RuleBroken(f"compaction: {key} was put in place twice")
        placed.add(key)
        if evidence.given.get(key) != laid.covers:
            raise RuleBroken(f"compaction: {key} covers {laid.covers}, and was given {evidence.given.get(key)}")


def check_question(evidence: Evidence, turn: str, content: Iterable[ContentBlock]) -> None:
    """A request holds, word for word, something that a user said: whatever was summarised, there is a question."""
    if not evidence.said & texts_of(content):
        raise RuleBroken(f"compaction: a request of {turn} holds no word of any user")


def texts_of(content: Iterable[ContentBlock]) -> frozenset[str]:
    """The texts among some content."""
    return frozenset(block.text for block in content if isinstance(block, TextBlock))


def check_shown(name: str, events: Sequence[Event], records: Sequence[Record]) -> None:
    """Rules 2 and 6: facts are shown in order, none twice, none left out, and only what the journal holds."""
    facts = [event for event in events if event.cursor.delta == 0 and not isinstance(event.payload, Restarted)]
    seqs = [event.cursor.seq for event in facts]
    if seqs != sorted(set(seqs)):
        raise RuleBroken(f"rule 6: reader {name} got facts out of order or twice: {seqs}")
    if seqs and seqs != list(range(seqs[0], seqs[-1] + 1)):
        raise RuleBroken(f"rule 6: reader {name} missed a fact: {seqs}")
    journal: dict[int, Entry] = {record.seq: record.entry for record in records}
    for event in facts:
        if journal.get(event.cursor.seq) != event.payload:
            raise RuleBroken(f"rule 2: reader {name} was shown {event.payload!r}, which the journal does not hold")


def check_journal(session_id: SessionId, records: Sequence[Record]) -> None:
    """Rules 1 and 3 in the log: epochs never go back, calls and results pair, a turn is silent after its end."""
    if [record.seq for record in records] != list(range(1, len(records) + 1)):
        raise RuleBroken(f"rule 1: {session_id} has a gap or a repeat in its log")
    if [record.epoch for record in records] != sorted(record.epoch for record in records):
        raise RuleBroken(f"rule 1: an old owner of {session_id} wrote after a newer one")
    ended: set[TurnId] = set()
    calls: set[str] = set()
    settled: set[str] = set()
    for record in records:
        entry = record.entry
        if isinstance(entry, TurnEnded):
            ended.add(entry.turn_id)
        elif isinstance(entry, TurnRetried):
            ended.discard(entry.turn_id)
        elif isinstance(entry, Complete | ToolBatch | ToolSettled) and entry.turn_id in ended:
            raise RuleBroken(f"rule 3: {session_id} {entry.kind} of turn {entry.turn_id} after its end")
        elif isinstance(entry, Opened):
            calls |= {call for message in entry.history for call in calls_of(message)}
            settled |= calls
        if isinstance(entry, ToolBatch):
            fresh = {call.id for call in entry.calls}
            if fresh & calls:
                raise RuleBroken(f"rule 4: {session_id} started a call twice: {fresh & calls}")
            calls |= fresh
        if isinstance(entry, ToolSettled):
            if entry.result.tool_use_id in settled or entry.result.tool_use_id not in calls:
                raise RuleBroken(f"rule 3: {session_id} settled {entry.result.tool_use_id} twice or unasked")
            settled.add(entry.result.tool_use_id)


def check_reopens(session_id: SessionId, live: Conversation) -> None:
    """What was said, and what the model is shown of it, is a history that another session can begin with."""
    if live.open is not None:
        return
    for messages in (live.view.belonging(live.messages), live.view.shown):
        try:
            regular(messages)
        except ConfigError as error:
            raise RuleBroken(f"rule 3: nothing can begin with what was said in {session_id}: {error}") from error


def check_replay(session_id: SessionId, live: Conversation, records: Sequence[Record]) -> None:
    """A replay of the log gives the state that the live session has."""
    replayed = Conversation(session_id)
    for record in records:
        replayed.apply(record)
    for name in _REPLAYED:
        if getattr(replayed, name) != getattr(live, name):
            raise RuleBroken(f"replay: {session_id} has another {name} after a replay")
    if replayed.messages[live.left_out :] != live.messages:
        raise RuleBroken(f"replay: {session_id} has other messages after a replay")
    if replayed.view.shown != live.view.shown:
        raise RuleBroken(f"replay: {session_id} shows another view after a replay")


def check_accepted(evidence: Evidence, logs: dict[SessionId, Sequence[Record]]) -> None:
    """Rule 2: what was answered is in the log, once for each key, under the turn that was answered."""
    for session_id, key, turn_id in evidence.accepted:
        found = [
            record.entry.turn_id
            for record in logs[session_id]
            if isinstance(record.entry, Accepted) and record.entry.key == key
        ]
        if found != [turn_id]:
            raise RuleBroken(f"rule 2: {session_id} answered turn {turn_id} for key {key}; the log holds {found}")


def check_settled(session_id: SessionId, live: Conversation) -> None:
    """In the end nothing is stuck: every accepted message was run."""
    if live.closed:
        return
    if live.open is not None or live.queue or live.steers:
        raise RuleBroken(f"stuck: {session_id} has an open turn or messages that were never run")
    unended = [turn_id for turn_id, ended in live.turns.items() if ended is None]
    if unended:
        raise RuleBroken(f"stuck: {session_id} never ended {unended}")


def check_interrupted(evidence: Evidence, logs: dict[SessionId, Sequence[Record]]) -> None:
    """Rule 7: an interrupt that was answered ended its turn."""
    for session_id, turn_id in evidence.interrupted:
        if not any(isinstance(r.entry, TurnEnded) and r.entry.turn_id == turn_id for r in logs[session_id]):
            raise RuleBroken(f"rule 7: {session_id} answered the interrupt of {turn_id}, which did not end")
