"""Earlier messages: a conversation that stands before a sample's input, as datasets write it.

The rule here: it begins with the user and ends with the assistant, so that the input may follow. Messages are either
those of a session (see `messages.py`) or `{"role": "user" | "assistant", "content": TEXT}`.
"""

from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from agent_core.content import TextBlock
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, UserMessage

_MESSAGES: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])
_KINDS: dict[object, str] = {"user": "user", "assistant": "assistant"}


def messages_of(value: Any) -> tuple[Message, ...]:
    """The messages that `value` holds. Raises ValueError: what is wrong, as the end of a sentence."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in cast("list[Any]", value)):
        raise ValueError("a list of messages is wanted")
    items = cast("list[dict[str, Any]]", value)
    if any("kind" in item for item in items):
        messages = _whole(items)
    else:
        messages = tuple(_simple(number, item) for number, item in enumerate(items, start=1))
    if messages and (messages[0].kind, messages[-1].kind) != ("user", "assistant"):
        raise ValueError("it has to begin with the user and end with the assistant, for the input follows it")
    return messages


def _whole(items: list[dict[str, Any]]) -> tuple[Message, ...]:
    try:
        return _MESSAGES.validate_python(items)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from None


def _simple(number: int, item: dict[str, Any]) -> Message:
    if set(item) != {"role", "content"}:
        raise ValueError(f"message {number} has the fields {', '.join(item) or 'none'}, not role and content")
    kind, content = _KINDS.get(item["role"]), item["content"]
    if kind is None:
        raise ValueError(f"message {number} has the role {item['role']!r}, neither user nor assistant")
    if not isinstance(content, str) or not content.strip():
        raise ValueError(f"message {number} has a content that is no text")
    blocks, session = (TextBlock(text=content),), SessionId("")
    # A turn is a question with its answer.
    identity, turn = f"earlier-{number}", TurnId(f"earlier-{(number + 1) // 2}")
    if kind == "user":
        return UserMessage(id=identity, session_id=session, turn_id=turn, content=blocks)
    return AssistantMessage(
        id=identity, session_id=session, turn_id=turn, provider="", model="", finish_reason="end_turn", content=blocks
    )
