"""A message on the Anthropic wire, as one body or as a stream of events.

The rule here: bodies and events are those of `anthropic.types.Message` and `RawMessageStreamEvent` (anthropic 2.12),
in the order of the published streaming guide: message_start, per block start, deltas and stop (with one ping behind
the first start, and the signature as the last delta of a thinking block), message_delta with the usage, message_stop.
"""

from agent_core.scripted.compose import Composed, input_object
from agent_core.scripted.frames import Frames, Usage, compact, event, pieces, quote
from agent_core.scripted.knobs import Knobs
from agent_core.scripted.signing import Signer, tool_use_id
from agent_core.scripted.wire import Json

PING = 'event: ping\ndata: {"type":"ping"}\n\n'


def message_body(message: Composed, usage: Usage, signer: Signer) -> Json:
    """The body of a non-streaming answer."""
    return _envelope(message, _blocks(message, signer), usage) | _stop(message)


def message_frames(message: Composed, usage: Usage, signer: Signer, knobs: Knobs) -> Frames:
    """The events of a streaming answer."""
    frames = Frames()
    start = _envelope(message, [], usage)
    start["usage"]["output_tokens"] = 1
    frames.add(event("message_start", {"type": "message_start", "message": start}))
    blocks = _blocks(message, signer)
    first_call = len(blocks) - len(message.calls)
    for index, block in enumerate(blocks):
        kind = block["type"]
        _start_block(frames, index, block)
        if kind == "text":
            _deltas(frames, index, '"text_delta","text"', pieces(block["text"], knobs))
        elif kind == "thinking":
            _deltas(frames, index, '"thinking_delta","thinking"', pieces(block["thinking"], knobs))
            signature = {"type": "signature_delta", "signature": block["signature"]}
            frames.add(
                event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": signature})
            )
        elif kind == "tool_use":
            texts = ["", *pieces(message.calls[index - first_call].arguments, knobs)]
            _deltas(frames, index, '"input_json_delta","partial_json"', texts)
        frames.add(f'event: content_block_stop\ndata: {{"type":"content_block_stop","index":{index}}}\n\n')
    stop = {"type": "message_delta", "delta": _stop(message), "usage": _delta_usage(usage)}
    frames.add(event("message_delta", stop))
    frames.add('event: message_stop\ndata: {"type":"message_stop"}\n\n')
    return frames


def error_event(body: Json) -> str:
    """An error in the middle of a stream."""
    return event("error", body)


def _start_block(frames: Frames, index: int, block: Json) -> None:
    empty: dict[str, Json] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    opened = block | empty.get(block["type"], {})
    frames.add(
        f'event: content_block_start\ndata: {{"type":"content_block_start","index":{index},'
        f'"content_block":{compact(opened)}}}\n\n'
    )
    if index == 0:
        frames.add(PING)


def _deltas(frames: Frames, index: int, kind: str, texts: list[str]) -> None:
    head = f'event: content_block_delta\ndata: {{"type":"content_block_delta","index":{index},"delta":{{"type":{kind}:'
    for text in texts:
        frames.delta(f"{head}{quote(text)}}}}}\n\n")


def _blocks(message: Composed, signer: Signer) -> list[Json]:
    blocks: list[Json] = []
    thinks = message.thinking is not None or message.redacted is not None
    if message.thinking is not None:
        # An omitted thinking is sent as an empty text with a signature, which then is the signature of the empty text.
        shown = "" if message.omit_thinking else message.thinking
        blocks.append({"type": "thinking", "thinking": shown, "signature": signer.thinking(shown)})
    if message.redacted is not None:
        blocks.append({"type": "redacted_thinking", "data": signer.redacted(message.redacted)})
    if message.text:
        blocks.append({"type": "text", "text": message.text})
    for call in message.calls:
        call_id = call.given_id or tool_use_id(call.suffix, after_thinking=thinks)
        value = input_object(call, message.stop_reason)
        blocks.append({"type": "tool_use", "id": call_id, "name": call.name, "input": value})
    return blocks


def _envelope(message: Composed, blocks: list[Json], usage: Usage) -> Json:
    return {
        "id": f"msg_01{message.suffix}",
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": blocks,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(usage),
    }


def _stop(message: Composed) -> Json:
    reason = "refusal" if message.stop_reason == "content_filter" else message.stop_reason
    stop: Json = {"stop_reason": reason, "stop_sequence": message.stop_sequence}
    if reason == "refusal":
        stop["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return stop


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    }


def _delta_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
