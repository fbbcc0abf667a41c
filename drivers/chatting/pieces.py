"""Pieces: what a conversation looks like once it is said for good, in the order in which a reader sees it.

The rule here: a piece is plain data with every control character taken out, so that nothing that a model or a tool says
can move the cursor, recolour the screen or set the terminal's title.
"""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.messages import AssistantMessage, Message
from drivers.chatting.markdown_stream import MarkdownStream

# C0 but tab and newline, DEL, C1, and the marks that reorder text from right to left.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ESCAPE_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")

Level = Literal["info", "good", "warning", "error"]


@dataclass(frozen=True, slots=True)
class UserSaid:
    """The user's words. `steered`: they joined a turn that was already open."""

    text: str
    steered: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole block of the answer's Markdown."""

    markdown: str


@dataclass(frozen=True, slots=True)
class Thought:
    """What the model thought; `seconds` from its first to its last word, where that was seen."""

    text: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ToolUsed:
    """A call and what came of it. `outcome` is a ToolOutcome; `result` is None while the call runs."""

    name: str
    input: dict[str, Any]
    result: str | None = None
    is_error: bool = False
    outcome: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that the program itself says, in a line or a few."""

    text: str
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class Listed:
    """Something that the program says in two columns, under a heading."""

    heading: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Printed:
    """A line that a tool or a library wrote to the terminal."""

    text: str


Piece = UserSaid | Answered | Thought | ToolUsed | Noted | Listed | Printed


def clean(text: str) -> str:
    """`text` without what a terminal would act upon; line ends are all newlines."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", text))


def content_text(content: "str | Sequence[Any]") -> str:
    """What a person reads of some content: its text, and a mark for each image."""
    if isinstance(content, str):
        return clean(content)
    parts: list[str] = []
    for block in content:
        match block:
            case TextBlock():
                parts.append(block.text)
            case ImageBlock():
                parts.append(f"[image {block.media_type or block.url or ''}]".replace(" ]", "]"))
            case _:
                pass
    return clean("\n".join(parts))


def answered(text: str) -> list["Piece"]:
    """An answer that is whole, block by block."""
    stream = MarkdownStream()
    return [Answered(block) for block in (*stream.feed(clean(text)), *stream.close())]


def open_calls(messages: Sequence[Message]) -> dict[str, ToolUsed]:
    """The calls at the end of a conversation that have no result yet, by id."""
    if not messages or messages[-1].kind != "assistant":
        return {}
    return {block.id: ToolUsed(block.name, block.input) for block in messages[-1].content if block.kind == "tool_use"}


def pieces_of(messages: Sequence[Message], leaving_out: Container[str] = ()) -> list[Piece]:
    """A conversation that already happened, as pieces; results stand with the calls that they belong to.

    Calls with these ids are left out.
    """
    results = {
        block.tool_use_id: block
        for message in messages
        if message.kind == "user"
        for block in message.content
        if isinstance(block, ToolResultBlock)
    }
    pieces: list[Piece] = []
    for message in messages:
        if message.kind == "assistant":
            pieces += _pieces_of_answer(message, results, leaving_out)
        elif message.marker == "summary":
            pieces.append(Listed("What stands for the conversation before", (("", content_text(message.content)),)))
        elif text := content_text([block for block in message.content if not isinstance(block, ToolResultBlock)]):
            pieces.append(UserSaid(text))
    return pieces


def _pieces_of_answer(
    message: AssistantMessage, results: dict[str, ToolResultBlock], leaving_out: Container[str]
) -> list[Piece]:
    pieces: list[Piece] = []
    for block in message.content:
        match block:
            case TextBlock():
                pieces += answered(block.text)
            case ThinkingBlock() if block.thinking.strip():
                pieces.append(Thought(clean(block.thinking).strip()))
            case ToolUseBlock() if block.id not in leaving_out:
                result = results.get(block.id)
                pieces.append(
                    ToolUsed(
                        block.name,
                        block.input,
                        None if result is None else content_text(result.content),
                        is_error=result is not None and result.is_error,
                    )
                )
            case _:
                pass
    if message.finish_reason == "interrupted":
        pieces.append(Noted("interrupted", "warning"))
    return pieces
