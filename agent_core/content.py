"""Content blocks: what a message is made of.

The rule here: a block says everything that is needed to send it back to the provider it came from, so that thinking is
returned byte for byte or left out whole, never edited. `kind` is the tag of the union; an unknown kind is refused by
name.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from agent_core.frozen import Frozen


class TextBlock(Frozen):
    """Plain text."""

    kind: Literal["text"] = "text"
    text: str


class ThinkingBlock(Frozen):
    """A model's reasoning, with what its provider needs to accept it back.

    `signature` is Anthropic's signature, or OpenAI's encrypted reasoning content; for a redacted block it is the whole
    opaque payload and `thinking` is empty. `item_id` is the id of an OpenAI reasoning item. `provider` says whose it
    is: another provider's thinking is left out of a request.
    """

    kind: Literal["thinking"] = "thinking"
    thinking: str = ""
    signature: str | None = None
    redacted: bool = False
    item_id: str | None = None
    provider: str = ""


class ToolUseBlock(Frozen):
    """A call that the model asks for.

    `id` is unique within the session. `input_error` is set when the model's JSON could not be read as an object;
    `input` is then empty and `raw_input` holds the text, and the call is answered with an error result instead of being
    run.
    """

    kind: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any] = Field(default_factory=dict)
    input_error: str | None = None
    raw_input: str | None = None


class ImageBlock(Frozen):
    """An image: base64 `data` with its `media_type` (such as `image/png`), or a `url`."""

    kind: Literal["image"] = "image"
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class ToolResultBlock(Frozen):
    """What a call gave back. `compact_summary` stands for the content once it has grown old."""

    kind: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    content: str | tuple["TextBlock | ImageBlock", ...] = ""
    is_error: bool = False
    compact_summary: str | None = None


UserBlock = Annotated[TextBlock | ImageBlock | ToolResultBlock, Field(discriminator="kind")]
AssistantBlock = Annotated[TextBlock | ThinkingBlock | ToolUseBlock, Field(discriminator="kind")]
InputBlock = Annotated[TextBlock | ImageBlock, Field(discriminator="kind")]
ContentBlock = TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock | ImageBlock


def text_of(content: "str | tuple[Any, ...]") -> str:
    """The text of some content, blocks that are not text left out."""
    if isinstance(content, str):
        return content
    return "".join(block.text for block in content if isinstance(block, TextBlock))
