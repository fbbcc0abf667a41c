"""OpenAI's Chat Completions, and the many servers that speak it (vLLM, llama.cpp, Ollama): how a request is written.

The rule here: only what every such server knows is sent. Neighbours of one role are one message, since many chat
templates refuse anything but turns; a lone text goes as a plain string; thinking is never sent back.

Fields are those of `openai.types.chat.CompletionCreateParams` (openai 3.54).
"""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from agent_core.config import SessionConfig
from agent_core.content import ImageBlock, TextBlock, ToolResultBlock, ToolUseBlock
from agent_core.errors import ConfigError
from agent_core.messages import AssistantMessage, Message
from agent_core.ports import ModelRequest
from agent_core.providers.encoding import Fragment, Fragments, encode, object_with, wire_id, wire_name
from agent_core.providers.openai_chat_events import ChatReader
from agent_core.providers.wire import Json, Reader, Sdk, checked_tool_choice, with_extra
from agent_core.tools.definition import ToolDefinition

_IMAGES_FOLLOW = "(The images of this result follow in the next message.)"


class _Turn(Fragment):
    """A message's tool messages as JSON, its content parts and calls; `alone` is the message that these two make."""

    __slots__ = ("alone", "calls", "parts", "results", "role")

    def __init__(self, role: str, results: list[bytes], parts: list[Json], calls: list[Json]) -> None:
        self.role = role
        self.results = results
        self.parts = parts
        self.calls = calls
        self.alone = encode(_message(role, parts, calls)) if parts or calls else b""
        super().__init__(sum(map(len, results)) + len(self.alone))


class OpenAIChat:
    """The wire `chat`. Holds nothing but the memory of messages that were written before."""

    sdk: Sdk = "openai"
    path = "/chat/completions"

    def __init__(self, fragments: Fragments[_Turn] | None = None) -> None:
        self._fragments: Fragments[_Turn] = fragments or Fragments()

    def encode(self, request: ModelRequest) -> bytes:
        """The body. See `Wire.encode`."""
        turns = [self._fragments.get(message, "", _turn) for message in request.messages]
        messages: list[bytes] = []
        if request.system and request.system.strip():
            messages.append(encode({"role": "system", "content": request.system}))
        for group in _neighbours(turns):
            messages.extend(result for turn in group for result in turn.results)
            if (message := _merged(group)) is not None:
                messages.append(message)
        return object_with(_settings(request), "messages", messages)

    def reader(self, request: ModelRequest) -> Reader:
        """See `Wire.reader`."""
        config = request.config
        return ChatReader(config.provider, config.model_name, config.stop_sequences)


# --- Settings ------------------------------------------------------------------------------------------------------


def _settings(request: ModelRequest) -> Json:
    config = request.config
    body: Json = {"model": config.model_name}
    if config.streaming:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if not config.extra.keys() & {"max_tokens", "max_completion_tokens"}:
        body["max_completion_tokens" if is_openai(config) else "max_tokens"] = request.max_tokens
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if config.stop_sequences:
        body["stop"] = list(config.stop_sequences)
    if effort := effort_of(request):
        body["reasoning_effort"] = effort
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if choice := checked_tool_choice(request):
        usual = {"auto": "auto", "none": "none", "any": "required"}
        body["tool_choice"] = usual.get(choice) or {"type": "function", "function": {"name": choice}}
    if config.provider == "openai" and config.base_url is None:
        body["prompt_cache_key"] = request.session_id[:64]
    return with_extra(body, request, "messages")


def is_openai(config: SessionConfig) -> bool:
    """Whether it is OpenAI's own server, by its address, rather than one that speaks its API."""
    if config.provider != "openai":
        return False
    host = urlsplit(config.base_url).hostname if config.base_url else None
    return config.base_url is None or (host or "").endswith((".openai.com", ".azure.com"))


def effort_of(request: ModelRequest) -> str | None:
    """The effort to ask for. Raises ConfigError for a budget, which these wires do not have."""
    thinking = request.config.thinking
    if thinking is None:
        return None
    if thinking.budget_tokens is not None:
        raise ConfigError(
            f"thinking.budget_tokens: {request.config.model} takes none on this wire. Set thinking.effort to low,"
            " medium or high instead.",
            "thinking",
        )
    return thinking.effort


def _tool(tool: ToolDefinition) -> Json:
    function: Json = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


# --- Conversation --------------------------------------------------------------------------------------------------


def _neighbours(turns: Sequence[_Turn]) -> Iterator[list[_Turn]]:
    group: list[_Turn] = []
    for turn in turns:
        if not turn.results and not turn.alone:
            continue
        if group and group[-1].role != turn.role:
            yield group
            group = []
        group.append(turn)
    if group:
        yield group


def _merged(group: Sequence[_Turn]) -> bytes | None:
    full = [turn for turn in group if turn.alone]
    if len(full) <= 1:
        return full[0].alone if full else None
    parts = [part for turn in full for part in turn.parts]
    calls = [call for turn in full for call in turn.calls]
    return encode(_message(full[0].role, parts, calls))


def _message(role: str, parts: Sequence[Json], calls: Sequence[Json]) -> Json:
    content: object = list(parts)
    if all(part["type"] == "text" for part in parts):
        content = "\n\n".join(part["text"] for part in parts) if parts else None
    return {"role": role, "content": content} | ({"tool_calls": list(calls)} if calls else {})


def _turn(message: Message, variant: str) -> _Turn:
    del variant
    if isinstance(message, AssistantMessage):
        texts = [_text(block.text) for block in message.content if isinstance(block, TextBlock) and block.text.strip()]
        calls = [_call(block) for block in message.content if isinstance(block, ToolUseBlock)]
        return _Turn("assistant", [], texts, calls)
    results: list[bytes] = []
    seen: list[Json] = []
    parts: list[Json] = []
    for block in message.content:
        match block:
            case ToolResultBlock():
                text, images = result_text(block)
                results.append(encode({"role": "tool", "tool_call_id": wire_id(block.tool_use_id), "content": text}))
                seen.extend(_image(image) for image in images)
            case ImageBlock():
                parts.append(_image(block))
            case TextBlock():
                if block.text.strip():
                    parts.append(_text(block.text))
    return _Turn("user", results, seen + parts, [])


def result_text(block: ToolResultBlock) -> tuple[str, list[ImageBlock]]:
    """A result's text, an error marked as one, and its images, which a tool message cannot hold."""
    images: list[ImageBlock] = []
    text = block.content
    if not isinstance(text, str):
        images = [part for part in text if isinstance(part, ImageBlock)]
        text = "\n\n".join(part.text for part in text if isinstance(part, TextBlock))
        if images:
            text = f"{text}\n\n{_IMAGES_FOLLOW}".strip()
    return marked(text, block), images


def marked(text: str, block: ToolResultBlock) -> str:
    """The text of a result, with an error told as one: these wires have no field for it."""
    if block.is_error and not text.lower().startswith("error"):
        return f"Error: {text or 'the tool failed and said nothing.'}"
    return text


def _call(block: ToolUseBlock) -> Json:
    arguments = encode(block.input).decode()
    return {
        "id": wire_id(block.id),
        "type": "function",
        "function": {"name": wire_name(block.name), "arguments": arguments},
    }


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _image(image: ImageBlock) -> Json:
    return {"type": "image_url", "image_url": {"url": image_url(image)}}


def image_url(image: ImageBlock) -> str:
    """An image's address, a data URL for one that is given whole."""
    if image.data is None:
        return image.url or ""
    return f"data:{image.media_type or 'image/png'};base64,{image.data}"
