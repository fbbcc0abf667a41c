"""Anthropic's Messages API: how an answer is read, streamed or whole.

The rule here: usage comes twice, at the start and at the end, each a part of it; the later figure of each field
holds. Events are those of `anthropic.types.RawMessageStreamEvent` (anthropic 2.12); an unknown event or block is
passed over.
"""

from collections.abc import Iterable

from agent_core.messages import StopReason, Usage
from agent_core.ports import (
    ModelEvent,
    ResponseStarted,
    ResponseStopped,
    TextDelta,
    ThinkingDelta,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.providers.encoding import encode
from agent_core.providers.errors import cut_short, stream_error
from agent_core.providers.wire import Json, part, parts

_STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "pause_turn": "pause_turn",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_exceeded",
}
_COUNTS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}


class MessagesReader:
    """Reads one answer. See `Reader`."""

    __slots__ = ("_complete", "_counts", "_inputs", "_model", "_provider", "_stop_reason", "_uses_tools", "finished")

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._model = model
        self._counts: dict[str, int] = {}
        # Inputs that some servers give whole where a block starts, until it is seen that no deltas follow.
        self._inputs: dict[int, Json] = {}
        self._stop_reason: str | None = None
        self._uses_tools = False
        self._complete = False
        self.finished = False

    def feed(self, event: Json) -> Iterable[ModelEvent]:
        """See `Reader.feed`."""
        match event.get("type"):
            case "content_block_delta":
                return self._delta(event["index"], event["delta"])
            case "content_block_start":
                return self._block(event["index"], event["content_block"])
            case "content_block_stop":
                return self._block_end(event["index"])
            case "message_start":
                return self._start(event["message"])
            case "message_delta":
                self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
                return self._usage(part(event, "usage"))
            case "message_stop":
                self._complete = self.finished = True
            case "error":
                raise stream_error(self._provider, event.get("error"))
            case _:
                pass
        return ()

    def whole(self, body: Json) -> Iterable[ModelEvent]:
        """See `Reader.whole`."""
        yield self._started(body)
        for index, block in enumerate(parts(body, "content")):
            if block["type"] == "tool_use":
                self._uses_tools = True
                yield ToolUseDelta(index, encode(part(block, "input")).decode(), block.get("id"), block.get("name"))
            else:
                yield from self._block(index, block)
        yield from self._usage(part(body, "usage"))
        self._stop_reason = body.get("stop_reason")
        self._complete = "content" in body

    def end(self) -> Iterable[ModelEvent]:
        """See `Reader.end`."""
        if not self._complete:
            raise cut_short(self._provider)
        default: StopReason = "tool_use" if self._uses_tools else "end_turn"
        return (ResponseStopped(_STOP_REASONS.get(self._stop_reason or "", default)),)

    def _started(self, message: Json) -> ResponseStarted:
        return ResponseStarted(str(message.get("id") or ""), str(message.get("model") or self._model))

    def _start(self, message: Json) -> Iterable[ModelEvent]:
        return (self._started(message), *self._usage(part(message, "usage")))

    def _delta(self, index: int, delta: Json) -> Iterable[ModelEvent]:
        match delta["type"]:
            case "text_delta":
                return (TextDelta(index, delta["text"]),) if delta["text"] else ()
            case "input_json_delta":
                if delta["partial_json"]:
                    self._inputs.pop(index, None)
                return (ToolUseDelta(index, delta["partial_json"]),)
            case "thinking_delta":
                return (ThinkingDelta(index, delta["thinking"]),)
            case "signature_delta":
                return (ThinkingDelta(index, signature=delta["signature"]),)
            case _:
                return ()

    def _block(self, index: int, block: Json) -> Iterable[ModelEvent]:
        match block["type"]:
            case "text":
                return (TextDelta(index, block["text"]),) if block.get("text") else ()
            case "tool_use":
                self._uses_tools = True
                if block.get("input"):
                    self._inputs[index] = block["input"]
                return (ToolUseDelta(index, id=block.get("id"), name=block.get("name")),)
            case "thinking":
                return (ThinkingDelta(index, block.get("thinking") or "", signature=block.get("signature") or None),)
            case "redacted_thinking":
                return (ThinkingDelta(index, signature=block["data"], redacted=True),)
            case _:
                return ()

    def _block_end(self, index: int) -> Iterable[ModelEvent]:
        if (given := self._inputs.pop(index, None)) is None:
            return ()
        return (ToolUseDelta(index, encode(given).decode()),)

    def _usage(self, usage: Json) -> Iterable[ModelEvent]:
        if not usage:
            return ()
        for theirs, ours in _COUNTS.items():
            if (count := usage.get(theirs)) is not None:
                self._counts[ours] = count
        return (UsageUpdate(Usage(**self._counts)),)
