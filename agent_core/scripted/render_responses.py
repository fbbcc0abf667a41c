"""A message on the Responses wire, as one body or as a stream of events.

The rule here: bodies and events are those of `openai.types.responses.Response` and `ResponseStreamEvent` (openai
3.54); every event has the next `sequence_number`, and the last one (completed or incomplete) carries the whole
response with its usage.
"""

from typing import Any

from agent_core.scripted.compose import Composed, ComposedCall
from agent_core.scripted.frames import Frames, Usage, event, pieces, quote
from agent_core.scripted.knobs import Knobs
from agent_core.scripted.signing import Signer, item_id
from agent_core.scripted.wire import Json

_INCOMPLETE = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "content_filter": "content_filter",
}
_ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def response_body(message: Composed, usage: Usage, request: Json, created: int, signer: Signer) -> Json:
    """The body of a non-streaming answer."""
    reason = _INCOMPLETE.get(message.stop_reason)
    return _envelope(message, request, created) | {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "completed_at": None if reason else created,
        "output": _items(message, request, signer),
        "usage": _usage(usage),
    }


def response_frames(whole: Json, knobs: Knobs) -> Frames:
    """The events of a streaming answer that ends in the response `whole`."""
    frames = ResponseFrames()
    unfinished: Json = {
        "status": "in_progress",
        "incomplete_details": None,
        "completed_at": None,
        "output": [],
        "usage": None,
    }
    started = whole | unfinished
    frames.plain("response.created", {"response": started})
    frames.plain("response.in_progress", {"response": started})
    for index, item in enumerate(whole["output"]):
        frames.item(index, item, knobs)
    frames.plain(f"response.{whole['status']}", {"response": whole})
    return frames


class ResponseFrames(Frames):
    """Frames that number their events."""

    def plain(self, kind: str, fields: Json) -> None:
        """Adds an event that is no content."""
        self.add(event(kind, {"type": kind, **fields, "sequence_number": len(self.data)}))

    def content(self, kind: str, place: str, text: str) -> None:
        """Adds a delta; `place` is its fields as JSON text without braces."""
        number = len(self.data)
        self.delta(
            f'event: {kind}\ndata: {{"type":"{kind}",{place},"delta":{quote(text)},"sequence_number":{number}}}\n\n'
        )

    def item(self, index: int, item: Json, knobs: Knobs) -> None:
        """Adds one output item: added, its parts and deltas, done."""
        at = {"output_index": index, "item_id": item["id"]}
        opened: Json = item | {"status": "in_progress"}
        match item["type"]:
            case "message":
                opened["content"] = []
            case "function_call":
                opened["arguments"] = ""
            case _:
                opened = item | {"summary": [], "encrypted_content": item.get("encrypted_content")}
        self.plain("response.output_item.added", {"output_index": index, "item": opened})
        match item["type"]:
            case "message":
                self._message(at, item["content"][0], knobs)
            case "function_call":
                self._arguments(at, item["arguments"], knobs)
            case _:
                self._summary(at, item["summary"], knobs)
        self.plain("response.output_item.done", {"output_index": index, "item": item})

    def _message(self, at: Json, part: Json, knobs: Knobs) -> None:
        refused = part["type"] == "refusal"
        name = "refusal" if refused else "text"
        text: str = part[name]
        at = at | {"content_index": 0}
        self.plain("response.content_part.added", at | {"part": part | {name: ""}})
        kind = "response.refusal" if refused else "response.output_text"
        place = _place(at) + ("" if refused else ',"logprobs":[]')
        for piece in pieces(text, knobs):
            self.content(f"{kind}.delta", place, piece)
        self.plain(f"{kind}.done", at | {name: text} | ({} if refused else {"logprobs": []}))
        self.plain("response.content_part.done", at | {"part": part})

    def _arguments(self, at: Json, arguments: str, knobs: Knobs) -> None:
        for piece in pieces(arguments, knobs):
            self.content("response.function_call_arguments.delta", _place(at), piece)
        self.plain("response.function_call_arguments.done", at | {"arguments": arguments})

    def _summary(self, at: Json, summary: list[Json], knobs: Knobs) -> None:
        for index, part in enumerate(summary):
            here = at | {"summary_index": index}
            kind = "response.reasoning_summary"
            self.plain(f"{kind}_part.added", here | {"part": part | {"text": ""}})
            for piece in pieces(part["text"], knobs):
                self.content(f"{kind}_text.delta", _place(here), piece)
            self.plain(f"{kind}_text.done", here | {"text": part["text"]})
            self.plain(f"{kind}_part.done", here | {"part": part})


def _place(at: Json) -> str:
    return ",".join(f'"{name}":{quote(value) if isinstance(value, str) else value}' for name, value in at.items())


def _envelope(message: Composed, request: Json, created: int) -> Json:
    echoed = {name: request[name] if request.get(name) is not None else value for name, value in _ECHOED.items()}
    return {
        "id": f"resp_{message.suffix}",
        "object": "response",
        "created_at": created,
        "model": message.model,
        "error": None,
        "incomplete_details": None,
        "background": False,
        "previous_response_id": None,
        "service_tier": "default",
        **echoed,
    }


def _items(message: Composed, request: Json, signer: Signer) -> list[Json]:
    items: list[Json] = []
    reasoning_id = None
    thinking = message.thinking if message.thinking is not None else message.redacted
    if thinking is not None:
        reasoning_id = f"rs_{message.suffix}"
        items.append(_reasoning(reasoning_id, thinking, message, request, signer))
    if message.text or not message.calls:
        items.append(_message_item(message, reasoning_id))
    items.extend(_call_item(call, reasoning_id) for call in message.calls)
    return items


def _reasoning(own_id: str, thinking: str, message: Composed, request: Json, signer: Signer) -> Json:
    shown = message.thinking is not None and not message.omit_thinking
    item: Json = {"id": own_id, "type": "reasoning", "summary": []}
    if shown:
        item["summary"] = [{"type": "summary_text", "text": thinking}]
    if "reasoning.encrypted_content" in (request.get("include") or ()):
        item["encrypted_content"] = signer.reasoning(own_id, thinking)
    return item


def _message_item(message: Composed, reasoning_id: str | None) -> Json:
    part: Json = {"type": "output_text", "text": message.text, "annotations": [], "logprobs": []}
    if message.stop_reason == "refusal":
        part = {"type": "refusal", "refusal": message.text}
    status = "incomplete" if message.stop_reason in _INCOMPLETE else "completed"
    own_id = item_id("msg", reasoning_id, message.suffix)
    return {"id": own_id, "type": "message", "role": "assistant", "status": status, "content": [part]}


def _call_item(call: ComposedCall, reasoning_id: str | None) -> dict[str, Any]:
    return {
        "id": item_id("fc", reasoning_id, call.suffix),
        "type": "function_call",
        "status": "completed",
        "call_id": call.given_id or f"call_{call.suffix}",
        "name": call.name,
        "arguments": call.arguments,
    }


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def failure_event(message: Composed, request: Json, created: int, number: int, knobs: Knobs) -> str:
    """An error in the middle of a stream, in the form that the knobs name; `number` is the event's sequence number."""
    code, text = knobs.stream_error_code, knobs.stream_error_message
    match knobs.stream_error_form:
        case "event":
            flat = {"type": "error", "code": code, "message": text, "param": None, "sequence_number": number}
            return event("error", flat)
        case "nested":
            error = {"type": "server_error", "code": code, "message": text, "param": None}
            return event("error", {"type": "error", "error": error, "sequence_number": number})
        case "failed":
            failed = _envelope(message, request, created)
            failed |= {"status": "failed", "error": {"code": code, "message": text}, "output": [], "usage": None}
            kind = "response.failed"
            return event(kind, {"type": kind, "response": failed, "sequence_number": number})
