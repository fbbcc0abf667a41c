"""Anthropic's Messages API, and servers that speak it: how a request is written.

The rule here: whatever the history holds, the body is one that the API takes. Neighbours of one role are one message,
results come before anything else of their message, blank texts and thinking that is not signed by this provider are
left out.

Fields are those of `anthropic.types.MessageCreateParams` (anthropic 2.12). What is refused: docs, "Errors", "Handling
tool calls" and "Extended thinking" on platform.claude.com.
"""

from collections.abc import Iterator, Sequence

from agent_core.config import SessionConfig
from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.errors import ConfigError
from agent_core.messages import AssistantMessage, Message
from agent_core.models import model_info
from agent_core.ports import ModelRequest
from agent_core.providers.anthropic_events import MessagesReader
from agent_core.providers.encoding import Fragment, Fragments, encode, object_with, wire_id, wire_name
from agent_core.providers.wire import Json, Reader, Sdk, checked_tool_choice, with_extra
from agent_core.tools.definition import ToolDefinition

_CACHED = {"type": "ephemeral"}
# In place of the end of a message: of its last block, its blocks and itself.
_CACHED_END = b',"cache_control":{"type":"ephemeral"}}]}'


class _Blocks(Fragment):
    """A message by itself as JSON, results first. `thinks` says whether it begins with thinking."""

    __slots__ = ("_middle", "_start", "calls", "role", "thinks", "whole")

    def __init__(self, role: str, results: list[bytes], others: list[bytes], *, thinks: bool, calls: bool) -> None:
        opening = b'{"role":"%b","content":[' % role.encode()
        first = b",".join(results)
        second = b",".join(others)
        separator = b"," if first and second else b""
        self.role = role
        self.whole = b"".join((opening, first, separator, second, b"]}")) if first or second else b""
        self._start = len(opening)
        self._middle = len(opening) + len(first)
        self.thinks = thinks
        self.calls = calls
        super().__init__(len(self.whole))

    @property
    def results(self) -> bytes:
        """The results alone, without brackets."""
        return self.whole[self._start : self._middle]

    @property
    def others(self) -> bytes:
        """Everything but the results, without brackets."""
        return self.whole[self._middle : -2].removeprefix(b",")

    @property
    def has_results(self) -> bool:
        return self._middle > self._start


class AnthropicMessages:
    """The wire `messages`. Holds nothing but the memory of messages that were written before."""

    sdk: Sdk = "anthropic"
    path = "/v1/messages"

    def __init__(self, fragments: Fragments[_Blocks] | None = None) -> None:
        self._fragments: Fragments[_Blocks] = fragments or Fragments()

    def encode(self, request: ModelRequest) -> bytes:
        """The body. See `Wire.encode`."""
        provider = request.config.provider
        turns = _merged(self._fragments.get(message, provider, _blocks) for message in _ended(request.messages))
        head = _settings(request, thinking_kept=_thinking_is_kept(turns))
        marked = _cached_turns(turns) if _caches(request.config) else frozenset[int]()
        written = (_written(turn, cached=place in marked) for place, turn in enumerate(turns))
        return object_with(head, "messages", written)

    def reader(self, request: ModelRequest) -> Reader:
        """See `Wire.reader`."""
        return MessagesReader(request.config.provider, request.config.model_name)


# --- Settings ------------------------------------------------------------------------------------------------------


def _settings(request: ModelRequest, *, thinking_kept: bool) -> Json:
    config = request.config
    body: Json = {"model": config.model_name, "max_tokens": request.max_tokens}
    if config.streaming:
        body["stream"] = True
    cached = _caches(config)
    if request.system and request.system.strip():
        block: Json = {"type": "text", "text": request.system}
        body["system"] = [block | {"cache_control": _CACHED}] if cached else request.system
    if request.tools:
        tools = [_tool(tool) for tool in request.tools]
        if cached and "system" not in body:
            tools[-1]["cache_control"] = _CACHED
        body["tools"] = tools
    if choice := checked_tool_choice(request):
        body["tool_choice"] = (
            {"type": choice} if choice in ("auto", "any", "none") else {"type": "tool", "name": choice}
        )
    if config.stop_sequences:
        body["stop_sequences"] = list(config.stop_sequences)
    if config.temperature is not None:
        body["temperature"] = config.temperature
    body.update(_thinking(request, kept=thinking_kept))
    return with_extra(body, request, "messages")


def _tool(tool: ToolDefinition) -> Json:
    wired: Json = {"name": tool.name, "input_schema": tool.input_schema}
    if tool.description:
        wired["description"] = tool.description
    return wired


def _thinking(request: ModelRequest, *, kept: bool) -> Json:
    """The fields for thinking. Which of them a model takes: docs, "Troubleshooting thinking".

    `display` is asked for since models from 4.7 on leave the thinking's text out by default.
    """
    thinking = request.config.thinking
    if thinking is None:
        return {}
    name = request.config.model_name
    info = model_info(request.config.model)
    takes = info.thinking if info and info.thinking else ("budget", "effort", "adaptive")
    fields: Json = {}
    if thinking.effort is not None:
        if "effort" not in takes:
            raise ConfigError(f"thinking.effort: {name} takes none. Set thinking.budget_tokens instead.", "thinking")
        fields["output_config"] = {"effort": thinking.effort}
    if thinking.budget_tokens is None:
        if "adaptive" in takes:
            fields["thinking"] = {"type": "adaptive", "display": "summarized"}
        return fields
    if "budget" not in takes:
        raise ConfigError(f"thinking.budget_tokens: {name} takes none. Set thinking.effort instead.", "thinking")
    if thinking.budget_tokens >= request.max_tokens:
        raise ConfigError(
            f"thinking.budget_tokens: {thinking.budget_tokens} must be below max_tokens ({request.max_tokens}),"
            " which holds the thinking too. Raise max_tokens or lower the budget.",
            "thinking",
        )
    if kept:
        fields["thinking"] = {"type": "enabled", "budget_tokens": thinking.budget_tokens}
    return fields


# --- Conversation --------------------------------------------------------------------------------------------------


def _ended(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages, an answer that is to be continued without white space at its end: with it, it is refused."""
    last = messages[-1] if messages else None
    if not isinstance(last, AssistantMessage) or not last.content:
        return messages
    text = last.content[-1]
    if not isinstance(text, TextBlock) or text.text == text.text.rstrip():
        return messages
    trimmed = text.model_copy(update={"text": text.text.rstrip()})
    return (*messages[:-1], last.model_copy(update={"content": (*last.content[:-1], trimmed)}))


_Turn = list[_Blocks]


def _merged(messages: Iterator[_Blocks]) -> list[_Turn]:
    """Messages grouped so that no two groups in a row have one role. Those that hold nothing are left out."""
    turns: list[_Turn] = []
    for message in messages:
        if not message.whole:
            continue
        if turns and turns[-1][0].role == message.role:
            turns[-1].append(message)
        else:
            turns.append([message])
    return turns


def _caches(config: SessionConfig) -> bool:
    """Whether the prompt is to be cached. What is summarised once is never read again, and writing costs more."""
    return config.provider == "anthropic" and config.request_class != "summary"


def _written(turn: _Turn, *, cached: bool) -> bytes:
    """A group as one message, results first."""
    whole = turn[0].whole
    if len(turn) > 1:
        content = [part.results for part in turn if part.has_results]
        content.extend(others for part in turn if (others := part.others))
        whole = b'{"role":"%b","content":[%b]}' % (turn[0].role.encode(), b",".join(content))
    return whole[:-3] + _CACHED_END if cached else whole


def _cached_turns(turns: Sequence[_Turn]) -> frozenset[int]:
    """The turns at whose end the prefix is asked to be kept: the newest two of the user.

    The older one is where the last request ended. Without it a step with more than 20 new blocks would miss the prefix,
    since the cache looks no further back than that (docs, "Prompt caching").
    """
    return frozenset([place for place, turn in enumerate(turns) if turn[0].role == "user"][-2:])


def _thinking_is_kept(turns: Sequence[_Turn]) -> bool:
    """Whether every answer of the open tool loop begins with thinking.

    With `enabled` thinking the API refuses one that does not, as when a loop goes on that another provider's model
    began.
    """
    for turn in reversed(turns):
        if turn[0].role == "user":
            if not any(part.has_results for part in turn):
                return True
        elif any(part.calls for part in turn) and not turn[0].thinks:
            return False
    return True


def _blocks(message: Message, provider: str) -> _Blocks:
    if isinstance(message, AssistantMessage):
        wired = [
            block for block in (_assistant_block(block, provider) for block in message.content) if block is not None
        ]
        thinks = bool(wired) and wired[0]["type"] in ("thinking", "redacted_thinking")
        calls = any(block["type"] == "tool_use" for block in wired)
        return _Blocks("assistant", [], [encode(block) for block in wired], thinks=thinks, calls=calls)
    results: list[bytes] = []
    others: list[bytes] = []
    for block in message.content:
        match block:
            case ToolResultBlock():
                results.append(encode(_result(block)))
            case ImageBlock():
                others.append(encode(_image(block)))
            case TextBlock():
                if block.text.strip():
                    others.append(encode({"type": "text", "text": block.text}))
    return _Blocks("user", results, others, thinks=False, calls=False)


def _assistant_block(block: TextBlock | ThinkingBlock | ToolUseBlock, provider: str) -> Json | None:
    match block:
        case TextBlock():
            return {"type": "text", "text": block.text} if block.text.strip() else None
        case ToolUseBlock():
            return {"type": "tool_use", "id": wire_id(block.id), "name": wire_name(block.name), "input": block.input}
        case ThinkingBlock():
            if block.provider != provider or not block.signature:
                return None
            if block.redacted:
                return {"type": "redacted_thinking", "data": block.signature}
            return {"type": "thinking", "thinking": block.thinking, "signature": block.signature}


def _result(block: ToolResultBlock) -> Json:
    content: str | list[Json] | tuple[TextBlock | ImageBlock, ...] = block.content
    if isinstance(content, tuple):
        content = [_part(part) for part in content if isinstance(part, ImageBlock) or part.text.strip()] or ""
    if block.is_error:
        # An error without words is refused.
        return {
            "type": "tool_result",
            "tool_use_id": wire_id(block.tool_use_id),
            "content": content or "The tool failed and said nothing.",
            "is_error": True,
        }
    return {"type": "tool_result", "tool_use_id": wire_id(block.tool_use_id), "content": content}


def _part(part: TextBlock | ImageBlock) -> Json:
    return {"type": "text", "text": part.text} if isinstance(part, TextBlock) else _image(part)


def _image(image: ImageBlock) -> Json:
    if image.data is not None:
        source = {"type": "base64", "media_type": image.media_type or "image/png", "data": image.data}
    else:
        source = {"type": "url", "url": image.url or ""}
    return {"type": "image", "source": source}
