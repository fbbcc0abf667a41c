"""The message that stands first once something was compacted: the summary, and pinned messages word for word.

The rule here: the model reads it as a user's message, and everybody else knows it by its marker, never by its text,
which a user can type too.
"""

import json
from collections.abc import Iterator, Sequence

from agent_core.content import AssistantBlock, ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.messages import Message, SessionId, TurnId, UserMessage
from agent_core.overlays import Summary

SUMMARY_HEADING = "[Previous conversation summary]"
PIN_HEADING = "[Pinned message, word for word]"

_NO_TURN = TurnId("")
_Block = TextBlock | ImageBlock


def lead_message(
    session_id: SessionId, summary: Summary | None, carried: Sequence[Message], previous: Message | None
) -> UserMessage | None:
    """The message for a summary and the pinned messages that are not shown in their place; None if there is neither.

    It is of no turn. `previous` is given back if it says the same.
    """
    blocks: list[_Block] = [] if summary is None else [TextBlock(text=f"{SUMMARY_HEADING}\n\n{summary.text}")]
    for message in carried:
        blocks.extend(_pinned(message))
    if not blocks:
        return None
    content = tuple(blocks)
    id = f"{session_id}/summary/{summary.job_id if summary else 'none'}"
    if isinstance(previous, UserMessage) and previous.id == id and previous.content == content:
        return previous
    return UserMessage(
        id=id,
        session_id=session_id,
        turn_id=_NO_TURN,
        marker="summary",
        content=content,
    )


def _pinned(message: Message) -> Iterator[_Block]:
    yield TextBlock(text=PIN_HEADING)
    for block in message.content:
        yield from _words(block)


def _words(block: AssistantBlock | TextBlock | ImageBlock | ToolResultBlock) -> Iterator[_Block]:
    match block:
        case TextBlock() | ImageBlock():
            yield block
        case ToolResultBlock():
            if isinstance(block.content, str):
                yield TextBlock(text=block.content or "(empty)")
            else:
                yield from block.content
        case ToolUseBlock():
            yield TextBlock(text=f"{block.name}({json.dumps(block.input, ensure_ascii=False)})")
        case ThinkingBlock():
            pass
