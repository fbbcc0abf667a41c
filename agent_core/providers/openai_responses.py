"""OpenAI's Responses API: how a request is written. Nothing is stored there: each request carries the conversation.

The rule here: reasoning goes back as it came (id, summary parts, encrypted content), right before what it led to, or
not at all.

Fields are those of `openai.types.responses.ResponseCreateParams` and `ResponseInputItemParam` (openai 3.54).
"""

from collections.abc import Sequence
from itertools import groupby

from agent_core.content import AssistantBlock, ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.errors import ConfigError
from agent_core.messages import AssistantMessage, Message
from agent_core.models import model_info
from agent_core.ports import ModelRequest
from agent_core.providers.encoding import Fragment, Fragments, encode, object_with, wire_id, wire_name
from agent_core.providers.openai_chat import effort_of, image_url, marked
from agent_core.providers.openai_responses_events import ResponsesReader
from agent_core.providers.wire import Json, Reader, Sdk, checked_tool_choice, with_extra
from agent_core.tools.definition import ToolDefinition


class _Items(Fragment):
    """A message's items as JSON: the outputs of calls first, then the rest."""

    __slots__ = ("others", "outputs", "role")

    def __init__(self, role: str, outputs: list[bytes], others: list[bytes]) -> None:
        super().__init__(sum(map(len, outputs)) + sum(map(len, others)))
        self.role = role
        self.outputs = outputs
        self.others = others


class OpenAIResponses:
    """The wire `responses`. Holds nothing but the memory of messages that were written before."""

    sdk: Sdk = "openai"
    path = "/responses"

    def __init__(self, fragments: Fragments[_Items] | None = None) -> None:
        self._fragments: Fragments[_Items] = fragments or Fragments()

    def encode(self, request: ModelRequest) -> bytes:
        """The body. See `Wire.encode`."""
        provider = request.config.provider
        parts = [self._fragments.get(message, provider, _items) for message in request.messages]
        items: list[bytes] = []
        for _, neighbours in groupby(parts, key=lambda part: part.role):
            group = list(neighbours)
            items.extend(item for part in group for item in part.outputs)
            items.extend(item for part in group for item in part.others)
        return object_with(_settings(request), "input", items)

    def reader(self, request: ModelRequest) -> Reader:
        """See `Wire.reader`."""
        return ResponsesReader(request.config.provider, request.config.model_name)


# --- Settings ------------------------------------------------------------------------------------------------------


def _settings(request: ModelRequest) -> Json:
    config = request.config
    if config.stop_sequences:
        raise ConfigError(
            "stop_sequences: the Responses API has none. Leave them out, or set wire to 'chat'.", "stop_sequences"
        )
    body: Json = {"model": config.model_name, "max_output_tokens": request.max_tokens}
    if config.streaming:
        body["stream"] = True
    if request.system and request.system.strip():
        body["instructions"] = request.system
    if config.provider == "openai":
        body.update(_stateless(request))
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if effort := effort_of(request):
        body["reasoning"] = {"effort": effort, "summary": "auto"}
    elif config.thinking is not None:
        body["reasoning"] = {"summary": "auto"}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if choice := checked_tool_choice(request):
        usual = {"auto": "auto", "none": "none", "any": "required"}
        body["tool_choice"] = usual.get(choice) or {"type": "function", "name": choice}
    return with_extra(body, request, "input")


def _stateless(request: ModelRequest) -> Json:
    fields: Json = {"store": False}
    info = model_info(request.config.model)
    if info is None or info.reasoning is not False:
        # Models without reasoning refuse to be asked for it.
        fields["include"] = ["reasoning.encrypted_content"]
    if request.config.base_url is None:
        fields["prompt_cache_key"] = request.session_id[:64]
    return fields


def _tool(tool: ToolDefinition) -> Json:
    # Without `strict` the API takes it as true, and refuses schemas that leave a property out of `required`.
    wired: Json = {"type": "function", "name": tool.name, "parameters": tool.input_schema, "strict": False}
    if tool.description:
        wired["description"] = tool.description
    return wired


# --- Conversation --------------------------------------------------------------------------------------------------


def _items(message: Message, provider: str) -> _Items:
    if isinstance(message, AssistantMessage):
        return _Items("assistant", [], [encode(item) for item in _answer(message.content, provider)])
    outputs: list[bytes] = []
    content: list[Json] = []
    for block in message.content:
        match block:
            case ToolResultBlock():
                outputs.append(encode(_output(block)))
            case ImageBlock():
                content.append(_image(block))
            case TextBlock():
                if block.text.strip():
                    content.append({"type": "input_text", "text": block.text})
    others = [encode({"type": "message", "role": "user", "content": content})] if content else []
    return _Items("user", outputs, others)


def _answer(blocks: Sequence[AssistantBlock], provider: str) -> list[Json]:
    items: list[Json] = []
    waiting: list[Json] = []
    for item_id, group in groupby(blocks, key=_reasoning_id):
        if item_id is not None:
            thinking = [block for block in group if isinstance(block, ThinkingBlock) and block.provider == provider]
            waiting.extend(_reasoning(item_id, thinking))
            continue
        for block in group:
            if (item := _item(block)) is not None:
                # Reasoning is refused unless something follows that it led to.
                items.extend(waiting)
                waiting.clear()
                items.append(item)
    return items


def _reasoning_id(block: AssistantBlock) -> str | None:
    return block.item_id if isinstance(block, ThinkingBlock) else None


def _reasoning(item_id: str, blocks: Sequence[ThinkingBlock]) -> list[Json]:
    """The item whose summary parts are these blocks; none without the encrypted content that makes it whole."""
    encrypted = next((block.signature for block in blocks if block.signature), None)
    if encrypted is None:
        return []
    summary = [{"type": "summary_text", "text": block.thinking} for block in blocks if block.thinking]
    return [{"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": encrypted}]


def _item(block: AssistantBlock) -> Json | None:
    match block:
        case TextBlock():
            return {"type": "message", "role": "assistant", "content": block.text} if block.text.strip() else None
        case ToolUseBlock():
            return {
                "type": "function_call",
                "call_id": wire_id(block.id),
                "name": wire_name(block.name),
                "arguments": encode(block.input).decode(),
            }
        case ThinkingBlock():
            return None


def _output(block: ToolResultBlock) -> Json:
    output: object
    if isinstance(block.content, str):
        output = marked(block.content, block)
    else:
        parts = [
            _image(part) if isinstance(part, ImageBlock) else {"type": "input_text", "text": part.text}
            for part in block.content
            if isinstance(part, ImageBlock) or part.text
        ]
        if block.is_error:
            parts.insert(0, {"type": "input_text", "text": "Error:"})
        output = parts or ""
    return {"type": "function_call_output", "call_id": wire_id(block.tool_use_id), "output": output}


def _image(image: ImageBlock) -> Json:
    return {"type": "input_image", "image_url": image_url(image), "detail": "auto"}
