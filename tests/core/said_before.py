"""A conversation that was had elsewhere: two turns of another session with another model, with thinking and calls."""

from agent_core.content import AssistantBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock, UserBlock
from agent_core.messages import AssistantMessage, SessionId, StopReason, TurnId, Usage, UserMessage
from agent_core.scripted import Signer

ELSEWHERE = SessionId("elsewhere")


def said(*content: UserBlock | str, turn: str = "t1") -> UserMessage:
    """What the user said there, or results."""
    blocks = tuple(TextBlock(text=block) if isinstance(block, str) else block for block in content)
    return UserMessage(id="same", session_id=ELSEWHERE, turn_id=TurnId(turn), created_at=7.0, content=blocks)


def answered(*content: AssistantBlock | str, turn: str = "t1", stop: StopReason = "end_turn") -> AssistantMessage:
    """What the model answered there."""
    return AssistantMessage(
        id="same",
        session_id=ELSEWHERE,
        turn_id=TurnId(turn),
        provider="anthropic",
        model="another",
        usage=Usage(input_tokens=1_000),
        finish_reason=stop,
        content=tuple(TextBlock(text=block) if isinstance(block, str) else block for block in content),
    )


def call(id: str, name: str = "find", **given: object) -> ToolUseBlock:
    return ToolUseBlock(id=id, name=name, input=given)


def result(id: str, text: str = "found") -> ToolResultBlock:
    return ToolResultBlock(tool_use_id=id, content=text)


def thought(text: str) -> ThinkingBlock:
    return ThinkingBlock(thinking=text, signature=Signer().thinking(text), provider="anthropic")


BEFORE = (
    said("Where is my parcel?"),
    answered(thought("Two places to look."), "I look.", call("a", x=1), call("b"), stop="tool_use"),
    said(result("a", "not here"), result("b")),
    answered("It is at the post office."),
    said("And the other one?", turn="t2"),
    answered("That one too.", turn="t2"),
)
LINES = (
    "user: Where is my parcel?",
    "model thinks: Two places to look.",
    "model: I look.",
    "model calls a: find",
    "model calls b: find",
    "result a: not here",
    "result b: found",
    "model: It is at the post office.",
    "user: And the other one?",
    "model: That one too.",
)
