"""A request as a script sees it, the same for the three wires.

The rule here: only a request that its wire's validator let pass is parsed, so nothing is checked again.
"""

from dataclasses import dataclass
from typing import Any

from agent_core.compaction.prompt import MARKER
from agent_core.scripted.wire import Json, Wire, as_array, as_object


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's answer in the last message. `name` is the tool that was called."""

    call_id: str
    name: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """What a brain decides on.

    `text` is the last text of the user, `results` the tool results after the last answer of the model, `rounds` how
    many times the model called tools since `text`. `session` is the tag that the client sent (`metadata.user_id`,
    `metadata.session_id`, `safety_identifier`, `user` or `prompt_cache_key`). `number` counts valid requests from 1.
    """

    wire: Wire
    model: str
    text: str
    system: str
    results: tuple[ToolResult, ...]
    rounds: int
    tools: tuple[str, ...]
    session: str | None
    stream: bool
    thinking: bool
    thinking_omitted: bool
    max_tokens: int | None
    stop_sequences: tuple[str, ...]
    body: Json
    number: int = 0

    @property
    def summary(self) -> bool:
        """Whether this asks for the summary of a conversation, and is no turn of one."""
        return MARKER in self.system


@dataclass(slots=True)
class _Walk:
    """What one pass over the messages gathers."""

    text: str = ""
    rounds: int = 0
    results: tuple[ToolResult, ...] = ()


def content_text(content: object) -> str:
    """The text of a message's content, whatever form it has; blocks are joined by newlines."""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for block in as_array(content) or ():
        inner = as_object(block) or {}
        text = inner.get("text", inner.get("refusal"))
        if isinstance(text, str):
            texts.append(text)
    return "\n".join(texts)


def parse(wire: Wire, body: Json, *, thinks_unasked: bool = False) -> ParsedRequest:
    """Reads a valid body of `wire`."""
    match wire:
        case Wire.ANTHROPIC:
            return _parse_anthropic(body, thinks_unasked=thinks_unasked)
        case Wire.CHAT:
            return _parse_chat(body, thinks_unasked=thinks_unasked)
        case Wire.RESPONSES:
            return _parse_responses(body)


def _parse_anthropic(body: Json, *, thinks_unasked: bool) -> ParsedRequest:
    walk = _Walk()
    names: dict[str, str] = {}
    for message in body["messages"]:
        content: Any = message["content"]
        blocks = as_array(content) or [{"type": "text", "text": content}]
        if message["role"] == "assistant":
            calls = {block["id"]: block["name"] for block in blocks if block.get("type") == "tool_use"}
            names.update(calls)
            walk.rounds += bool(calls)
            walk.results = ()
        elif message["role"] == "user":
            walk.results += tuple(
                ToolResult(
                    block["tool_use_id"],
                    names.get(block["tool_use_id"], ""),
                    content_text(block.get("content", "")),
                    bool(block.get("is_error")),
                )
                for block in blocks
                if block.get("type") == "tool_result"
            )
            _take_text(walk, content_text([block for block in blocks if block.get("type") == "text"]))
    thinking: Json = body.get("thinking") or {}
    metadata: Json = body.get("metadata") or {}
    return ParsedRequest(
        wire=Wire.ANTHROPIC,
        model=body["model"],
        text=walk.text,
        system=content_text(body.get("system", "")),
        results=walk.results,
        rounds=walk.rounds,
        tools=tuple(tool["name"] for tool in body.get("tools") or () if "name" in tool),
        session=metadata.get("user_id"),
        stream=bool(body.get("stream")),
        thinking=thinking.get("type", "adaptive" if thinks_unasked else "disabled") != "disabled",
        thinking_omitted=thinking.get("display") == "omitted",
        max_tokens=body.get("max_tokens"),
        stop_sequences=tuple(body.get("stop_sequences") or ()),
        body=body,
    )


def _parse_chat(body: Json, *, thinks_unasked: bool) -> ParsedRequest:
    walk = _Walk()
    names: dict[str, str] = {}
    system: list[str] = []
    for message in body["messages"]:
        match message["role"]:
            case "assistant":
                calls = message.get("tool_calls") or ()
                names.update({call["id"]: (call.get("function") or call.get("custom"))["name"] for call in calls})
                walk.rounds += bool(calls)
                walk.results = ()
            case "tool":
                call_id: str = message["tool_call_id"]
                walk.results += (ToolResult(call_id, names.get(call_id, ""), content_text(message["content"])),)
            case "user":
                _take_text(walk, content_text(message["content"]))
            case _:
                system.append(content_text(message.get("content", "")))
    stop = body.get("stop")
    return ParsedRequest(
        wire=Wire.CHAT,
        model=body["model"],
        text=walk.text,
        system="\n".join(system),
        results=walk.results,
        rounds=walk.rounds,
        tools=tuple(_tool_name(tool) for tool in body.get("tools") or ()),
        session=_openai_session(body),
        stream=bool(body.get("stream")),
        thinking=thinks_unasked or body.get("reasoning_effort") is not None,
        thinking_omitted=False,
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop_sequences=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        body=body,
    )


def _parse_responses(body: Json) -> ParsedRequest:
    walk = _Walk()
    names: dict[str, str] = {}
    system = [body.get("instructions") or ""]
    in_calls = False
    reasoning: Json = body.get("reasoning") or {}
    items = as_array(body.get("input")) or [{"role": "user", "content": body.get("input", "")}]
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            names[item["call_id"]] = item["name"]
            walk.rounds += not in_calls
            walk.results = ()
        elif kind == "function_call_output":
            call_id: str = item["call_id"]
            walk.results += (ToolResult(call_id, names.get(call_id, ""), content_text(item["output"])),)
        elif kind == "message" and item["role"] == "user":
            _take_text(walk, content_text(item["content"]))
        elif kind == "message" and item["role"] == "assistant":
            walk.results = ()
        elif kind == "message":
            system.append(content_text(item["content"]))
        in_calls = kind == "function_call"
    return ParsedRequest(
        wire=Wire.RESPONSES,
        model=body["model"],
        text=walk.text,
        system="\n".join(part for part in system if part),
        results=walk.results,
        rounds=walk.rounds,
        tools=tuple(_tool_name(tool) for tool in body.get("tools") or ()),
        session=_openai_session(body),
        stream=bool(body.get("stream")),
        thinking=bool(reasoning) or "reasoning.encrypted_content" in (body.get("include") or ()),
        thinking_omitted=not reasoning.get("summary"),
        max_tokens=body.get("max_output_tokens"),
        stop_sequences=(),
        body=body,
    )


def _take_text(walk: _Walk, text: str) -> None:
    if text:
        walk.text = text
        walk.rounds = 0


def _tool_name(tool: Json) -> str:
    inner = tool.get("function") or tool.get("custom") or tool
    return str(inner.get("name", inner.get("type", "")))


def _openai_session(body: Json) -> str | None:
    metadata: Json = body.get("metadata") or {}
    for value in (
        metadata.get("session_id"),
        body.get("safety_identifier"),
        body.get("user"),
        body.get("prompt_cache_key"),
    ):
        if isinstance(value, str):
            return value
    return None
