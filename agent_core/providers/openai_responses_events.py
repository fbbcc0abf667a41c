"""OpenAI's Responses API: how an answer is read, streamed or whole.

The rule here: every summary part of a reasoning item is a block of its own, all with the item's id and the last with
its encrypted content, so that the item can be sent back as it came. Input tokens include the cached ones there; here
they do not.

Events are those of `openai.types.responses.ResponseStreamEvent` (openai 3.54); an unknown event or item is passed over.
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
from agent_core.providers.errors import cut_short, stream_error
from agent_core.providers.wire import Json, part, parts

_INCOMPLETE: dict[str, StopReason] = {"max_output_tokens": "max_tokens", "content_filter": "refusal"}
# An output item, by its place or its id.
_Item = int | str
_Place = tuple[_Item, str, int]


class ResponsesReader:
    """Reads one answer. See `Reader`."""

    __slots__ = ("_blocks", "_calls", "_filled", "_final", "_model", "_provider", "_refused", "_started", "finished")

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._model = model
        # The block of each part, by output item, kind and number of the part.
        self._blocks: dict[_Place, int] = {}
        self._filled: set[int] = set()
        self._started = False
        self._calls = False
        self._refused = False
        self._final: Json | None = None
        self.finished = False

    def feed(self, event: Json) -> Iterable[ModelEvent]:
        """See `Reader.feed`."""
        match event.get("type"):
            case "response.output_text.delta":
                return self._text(_item(event), event.get("content_index", 0), event["delta"])
            case "response.function_call_arguments.delta":
                return self._arguments(_item(event), event["delta"])
            case "response.reasoning_summary_text.delta":
                return self._thinking(_item(event), event.get("summary_index", 0), event["delta"])
            case "response.reasoning_text.delta":
                return self._thinking(_item(event), event.get("content_index", 0), event["delta"])
            case "response.refusal.delta":
                self._refused = True
                return self._text(_item(event), event.get("content_index", 0), event["delta"])
            case "response.output_item.added":
                return self._added(_item(event), event["item"])
            case "response.output_item.done":
                return self._done(_item(event), event["item"])
            case _:
                return self._frame(event)

    def whole(self, body: Json) -> Iterable[ModelEvent]:
        """See `Reader.whole`."""
        yield from self._start(body)
        for number, item in enumerate(body["output"]):
            yield from self._done(number, item)
        yield from self._last(body)

    def end(self) -> Iterable[ModelEvent]:
        """See `Reader.end`."""
        if self._final is None:
            raise cut_short(self._provider)
        details = part(self._final, "incomplete_details")
        if self._final.get("status") == "incomplete":
            return (ResponseStopped(_INCOMPLETE.get(details.get("reason") or "", "max_tokens")),)
        if self._calls:
            return (ResponseStopped("tool_use"),)
        return (ResponseStopped("refusal" if self._refused else "end_turn"),)

    def _frame(self, event: Json) -> Iterable[ModelEvent]:
        match event.get("type"):
            case "response.created" | "response.in_progress" | "response.queued":
                return () if self._started else self._start(event["response"])
            case "response.completed" | "response.incomplete":
                self.finished = True
                return self._last(event["response"])
            case "response.failed":
                raise stream_error(self._provider, event["response"].get("error"))
            case "error":
                raise stream_error(self._provider, event.get("error") or event)
            case _:
                return ()

    def _start(self, response: Json) -> Iterable[ModelEvent]:
        self._started = True
        yield ResponseStarted(str(response.get("id") or ""), str(response.get("model") or self._model))

    def _last(self, response: Json) -> Iterable[ModelEvent]:
        if response.get("status") == "failed":
            raise stream_error(self._provider, response.get("error"))
        self._final = response
        yield from _usage(part(response, "usage"))

    def _block(self, output: _Item, kind: str, part: int) -> int:
        return self._blocks.setdefault((output, kind, part), len(self._blocks))

    def _text(self, output: _Item, part: int, text: str) -> Iterable[ModelEvent]:
        index = self._block(output, "text", part)
        self._filled.add(index)
        return (TextDelta(index, text),) if text else ()

    def _arguments(self, output: _Item, text: str) -> Iterable[ModelEvent]:
        index = self._block(output, "call", 0)
        self._filled.add(index)
        return (ToolUseDelta(index, text),)

    def _thinking(self, output: _Item, part: int, text: str) -> Iterable[ModelEvent]:
        index = self._block(output, "thinking", part)
        self._filled.add(index)
        return (ThinkingDelta(index, text),)

    def _added(self, output: _Item, item: Json) -> Iterable[ModelEvent]:
        if item["type"] == "function_call":
            self._calls = True
            return (ToolUseDelta(self._block(output, "call", 0), id=item.get("call_id"), name=item.get("name")),)
        return ()

    def _done(self, output: _Item, item: Json) -> Iterable[ModelEvent]:
        """What an item holds that no delta brought, and what only its end tells."""
        match item["type"]:
            case "reasoning":
                return self._reasoning(output, item)
            case "function_call":
                return self._call(output, item)
            case "message":
                return self._message(output, item)
            case _:
                pass
        return ()

    def _message(self, output: _Item, item: Json) -> Iterable[ModelEvent]:
        for number, piece in enumerate(parts(item, "content")):
            refusal = piece.get("refusal")
            self._refused = self._refused or bool(refusal)
            if self._block(output, "text", number) not in self._filled:
                yield from self._text(output, number, refusal or piece.get("text") or "")

    def _call(self, output: _Item, item: Json) -> Iterable[ModelEvent]:
        self._calls = True
        known = (output, "call", 0) in self._blocks
        index = self._block(output, "call", 0)
        if not known:
            yield ToolUseDelta(index, item.get("arguments") or "", item.get("call_id"), item.get("name"))
        elif index not in self._filled and item.get("arguments"):
            yield ToolUseDelta(index, item["arguments"])

    def _reasoning(self, output: _Item, item: Json) -> Iterable[ModelEvent]:
        summary = parts(item, "summary") or parts(item, "content")
        texts = [str(piece.get("text") or "") for piece in summary] or [""]
        for number, text in enumerate(texts):
            index = self._block(output, "thinking", number)
            signature = item.get("encrypted_content") if number == len(texts) - 1 else None
            yield ThinkingDelta(index, "" if index in self._filled else text, signature, item_id=item.get("id"))


def _item(event: Json) -> _Item:
    """Which output item an event is about. llama.cpp numbers none; its ids stand for them."""
    place = event.get("output_index")
    if place is not None:
        return place
    item = part(event, "item")
    return event.get("item_id") or item.get("id") or item.get("call_id") or ""


def _usage(usage: Json) -> Iterable[ModelEvent]:
    if not usage:
        return
    details = part(usage, "input_tokens_details")
    read, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    counts = Usage(
        input_tokens=max(0, (usage.get("input_tokens") or 0) - read - written),
        output_tokens=usage.get("output_tokens") or 0,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    yield UsageUpdate(counts)
