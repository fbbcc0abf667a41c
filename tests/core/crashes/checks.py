"""What must be left when the conversation is over, wherever the process was lost on the way.

The rule here: the history is that of the run without a crash. What may differ follows from what the journal held when
the process was lost, and from nothing else:

- ids of messages, epochs and times;
- a call that had been started, is not idempotent and had no result is told to be of unknown outcome;
- an answer that the user was interrupting just then may be kept shorter, or not at all, for what had come of it was
  lost with the process;
- where compaction in the background took place. What it left is cleared on the way, so that the end is alike.
"""

from collections import Counter
from typing import Any

from agent_core.content import ToolResultBlock
from agent_core.conversation import Conversation
from agent_core.entries import Accepted, Complete, TurnEnded
from agent_core.messages import Message, TurnId
from agent_core.payloads import Restarted, TextChunk
from agent_core.simulation.rules import check_journal, check_replay, check_settled, check_view
from tests.core.crashes.play import Ending
from tests.core.crashes.world import SESSION, World, records_of

UNKNOWN = "The tool's process was lost. Whether the call took effect is unknown."
_LEFT_OUT = {"id", "parent_id", "created_at", "completed_at", "session_id"}
_SAME = ("config", "tools", "labels", "keys", "performed", "closed", "queue", "steers", "open", "turn_of_call")


Plain = dict[str, Any]


class Uncrashed:
    """The run without a crash, which all others are measured by."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        self.conversation = ending.conversation
        self.messages = [_plain(message) for message in self.conversation.messages]
        self.shown = [_plain(message) for message in self.conversation.view.shown]

    def check(self, ending: Ending) -> None:
        """Raises AssertionError, or RuleBroken, for what is not as it must be."""
        world, live, whole = ending.world, ending.conversation, self.conversation
        records = records_of(world.store)
        assert not world.provider.broken, world.provider.broken
        check_journal(SESSION, records)
        check_settled(SESSION, live)
        check_view(SESSION, live, records)
        check_replay(SESSION, live, records)
        said = [_plain(message) for message in live.messages]
        assert [m for m in said if not _is_cut(m, world.cut)] == self._expected(world)
        assert [_plain(message) for message in live.view.shown] == self.shown
        for name in _SAME:
            assert getattr(live, name) == getattr(whole, name), name
        _check_answers(live, whole, world)
        _check_messages_taken_once(ending)
        _check_tools(world)
        _check_reader(world)

    def _expected(self, world: World) -> list[Plain]:
        return [
            message if not world.unknown else {**message, "content": [_outcome(b, world) for b in message["content"]]}
            for message in self.messages
            if not _is_cut(message, world.cut)
        ]


def _plain(message: Message) -> Plain:
    plain = message.model_dump(exclude=_LEFT_OUT)
    return {**plain, "content": list(plain["content"])}


def _is_cut(message: Plain, cut: set[TurnId]) -> bool:
    """Whether this is an answer that was being interrupted when the process was lost."""
    return message["turn_id"] in cut and message.get("finish_reason") == "interrupted"


def _outcome(block: Plain, world: World) -> Plain:
    """The block; a result that nobody can know is replaced by that."""
    if block.get("tool_use_id") not in world.unknown:
        return block
    return ToolResultBlock(tool_use_id=block["tool_use_id"], content=UNKNOWN, is_error=True).model_dump()


def _check_answers(live: Conversation, whole: Conversation, world: World) -> None:
    """Turns ended alike; an answer that was being interrupted begins as it did without a crash."""
    ends = [
        {
            turn_id: (ended.outcome, ended.discarded, ended.key, ended.error.kind if ended.error else None)
            for turn_id, ended in conversation.turns.items()
            if ended is not None
        }
        for conversation in (live, whole)
    ]
    assert ends[0] == ends[1]
    for turn_id in world.cut:
        kept, said = live.final_text(turn_id), whole.final_text(turn_id)
        assert said.startswith(kept), f"{turn_id} kept '{kept}' of '{said}'"
    if not world.cut:
        assert live.usage.total == whole.usage.total
        assert live.usage.request_count == whole.usage.request_count


def _check_messages_taken_once(ending: Ending) -> None:
    """Every message that was answered is in the journal once, under the turn that was answered."""
    entries = [record.entry for record in records_of(ending.world.store)]
    taken = [(entry.key, entry.turn_id) for entry in entries if isinstance(entry, Accepted)]
    assert sorted(taken) == sorted(ending.accepted.items())


def _check_tools(world: World) -> None:
    """Rule 4, in the words of the tools' own ledger."""
    assert world.ledger.wrong == []
    assert {key: runs for key, runs in world.ledger.runs.items() if key in world.ledger.once and runs > 1} == {}
    most = 1 + world.crashes
    assert {key: runs for key, runs in world.ledger.runs.items() if runs > most} == {}


def _check_reader(world: World) -> None:
    """Every fact was shown, once and in order; text that was shown before a fact is that of the fact."""
    records = records_of(world.store)
    cursors = [event.cursor for event in world.shown]
    assert cursors == sorted(set(cursors))
    facts = [event.payload for event in world.shown if event.cursor.delta == 0 and event.payload.kind != "restarted"]
    assert facts == [record.entry for record in records]
    text = Counter[str]()
    screen = ""
    for event in world.shown:
        match event.payload:
            case TextChunk():
                screen += event.payload.text
            case Restarted() | TurnEnded():
                screen = ""
            case Complete():
                said = "".join(block.text for block in event.payload.message.content if block.kind == "text")
                assert screen in ("", said)
                text[said], screen = text[said] + 1, ""
            case _:
                pass
    assert text
