"""What must hold of a session at any moment, checked from outside: its records, its requests, its state.

The rule here: a check looks at records and requests alone, and raises AssertionError with what is wrong.
"""

from collections.abc import Sequence
from typing import get_args

from agent_core.content import ToolResultBlock, ToolUseBlock
from agent_core.conversation import Conversation
from agent_core.entries import Complete, ToolBatch, ToolSettled, TurnEnded, TurnRetried, decode, encode
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, UserMessage
from agent_core.payloads import SessionState
from agent_core.ports import ModelRequest, Record
from agent_core.snapshot import decode_snapshot, encode_snapshot

FOLDED = [
    "epoch",
    "last_seq",
    "created_at",
    "config",
    "tools",
    "labels",
    "history_digest",
    "messages",
    "queue",
    "steers",
    "open",
    "last_turn",
    "turns",
    "keys",
    "turn_of_call",
    "usage",
    "context_used",
    "compactions",
    "compaction_waited",
    "failed_compactions",
    "failed_at",
    "learned_limits",
    "performed",
    "closed",
    "parent_id",
]


def replayed(session_id: SessionId, records: Sequence[Record]) -> Conversation:
    """The conversation that a new owner makes of what was journalled, written and read on the way."""
    conversation = Conversation(session_id)
    for record in records:
        conversation.apply(Record(record.seq, record.epoch, record.at, decode(encode(record.entry))))
    return conversation


def check_replay(live: Conversation, records: Sequence[Record]) -> None:
    """A replay gives the state that living through it gave."""
    again = replayed(live.session_id, records)
    for name in FOLDED:
        assert getattr(again, name) == getattr(live, name), f"{name} differs after a replay"
    assert again.view.shown == live.view.shown, "the view differs after a replay"


def check_snapshot(live: Conversation, older: Conversation, records: Sequence[Record]) -> Conversation:
    """An older snapshot, with the records after it, is as good as a replay. Returns a newer one between two turns."""
    for record in records[older.last_seq :]:
        older.apply(Record(record.seq, record.epoch, record.at, decode(encode(record.entry))))
    for name in (name for name in FOLDED if name != "messages"):
        assert getattr(older, name) == getattr(live, name), f"{name} differs from a snapshot"
    assert older.messages == live.messages[older.left_out :], "messages differ from a snapshot"
    assert older.view.shown == live.view.shown, "the view differs from a snapshot"
    if live.open is not None:
        return older
    newer = decode_snapshot(live.session_id, encode_snapshot(live))
    assert newer is not None, "the snapshot cannot be read"
    return newer


def check_request(request: ModelRequest) -> None:
    """A provider takes the request: it begins with the user, and calls and results pair in the order of the calls."""
    messages = request.messages
    assert messages, "a request without a message"
    assert isinstance(messages[0], UserMessage), "the first message is not the user's"
    last = messages[-1]
    assert isinstance(last, UserMessage) or last.finish_reason == "pause_turn", "nothing is asked"
    check_pairs(messages)
    assert open_calls(messages) == [], "a call without its result"


def check_pairs(messages: Sequence[Message]) -> None:
    """No result without its call, no call passed over, every id once."""
    ids = [message.id for message in messages]
    assert len(set(ids)) == len(ids), f"a message id comes twice: {ids}"
    used = [block.id for message in messages for block in message.content if isinstance(block, ToolUseBlock)]
    assert len(set(used)) == len(used), f"a tool use id comes twice: {used}"
    assert all(used), "a call without an id"
    waiting: list[str] = []
    for message in messages:
        assert message.content, "a message without content"
        if isinstance(message, AssistantMessage):
            assert not waiting, f"an answer follows before the results of {waiting}"
            waiting = [block.id for block in message.content if isinstance(block, ToolUseBlock)]
            continue
        results = [block.tool_use_id for block in message.content if isinstance(block, ToolResultBlock)]
        assert results == waiting, f"results {results} answer the calls {waiting}"
        if results:
            assert isinstance(message.content[0], ToolResultBlock), "words stand before the results"
        waiting = []


def open_calls(messages: Sequence[Message]) -> list[str]:
    """The calls of the last message."""
    last = messages[-1] if messages else None
    if not isinstance(last, AssistantMessage):
        return []
    return [block.id for block in last.content if isinstance(block, ToolUseBlock)]


def check_records(records: Sequence[Record]) -> None:
    """Numbers follow each other, a call is started and settled once, and TurnEnded is the last of its turn."""
    assert [record.seq for record in records] == list(range(1, len(records) + 1)), "the numbers have a gap"
    ended: set[TurnId] = set()
    started: set[str] = set()
    settled: set[str] = set()
    for record in records:
        entry = record.entry
        turn_id: TurnId | None = getattr(entry, "turn_id", None)
        if isinstance(entry, TurnRetried):
            assert entry.turn_id in ended, f"{entry.turn_id} was retried before it had ended"
            ended.discard(entry.turn_id)
        else:
            assert turn_id not in ended, f"{entry.kind} of {turn_id} after its end"
        if isinstance(entry, TurnEnded):
            ended.add(entry.turn_id)
        elif isinstance(entry, ToolBatch):
            calls = {call.id for call in entry.calls}
            assert not calls & started, f"{calls & started} were started twice"
            started |= calls
        elif isinstance(entry, ToolSettled):
            call = entry.result.tool_use_id
            assert call in started, f"{call} was settled and never started"
            assert call not in settled, f"{call} was settled twice"
            settled.add(call)
        elif isinstance(entry, Complete):
            assert entry.message.turn_id == entry.turn_id, "history and events disagree about the turn"


def check_state(state: SessionState, conversation: Conversation) -> None:
    """The state is one of the known ones and fits what is open."""
    assert state in get_args(SessionState), state
    if conversation.closed:
        assert state == "closed"
    elif conversation.open is None:
        assert state in ("idle", "closed")
        assert state == "closed" or not conversation.queue, "messages wait while nothing is done"
        assert not conversation.steers, "a steering message was forgotten"
    else:
        assert (state == "awaiting_tools") == (conversation.open.batch is not None)
