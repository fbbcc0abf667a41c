"""A message on the Chat Completions wire, as one body or as a stream of chunks.

The rule here: bodies and chunks are those of `openai.types.chat.ChatCompletion` and `ChatCompletionChunk` (openai
3.54): the role comes first, tool calls by index with id and name first, then the finish reason, then a usage chunk
only when `stream_options.include_usage` asks for it, then `[DONE]`.
"""

from typing import Any

from agent_core.scripted.compose import Composed, ComposedCall
from agent_core.scripted.frames import Frames, Usage, compact, pieces, quote
from agent_core.scripted.knobs import Knobs
from agent_core.scripted.script import StopReason
from agent_core.scripted.wire import Json

DONE = "data: [DONE]\n\n"
KEEP_ALIVE = ": keep-alive\n\n"
_FINISH: dict[StopReason, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "refusal": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter",
}


def chat_body(message: Composed, usage: Usage, created: int, reasoning_field: str | None) -> Json:
    """The body of a non-streaming answer."""
    refused = message.stop_reason == "refusal"
    answer: Json = {
        "role": "assistant",
        "content": None if refused or (message.calls and not message.text) else message.text,
        "refusal": message.text if refused else None,
        "annotations": [],
    }
    if message.calls:
        answer["tool_calls"] = [_call(call) for call in message.calls]
    if reasoning_field is not None and message.thinking is not None:
        answer[reasoning_field] = message.thinking
    choice = {"index": 0, "message": answer, "logprobs": None, "finish_reason": _FINISH[message.stop_reason]}
    return _envelope(message, "chat.completion", created) | {"choices": [choice], "usage": _usage(usage)}


def chat_frames(
    message: Composed, usage: Usage | None, created: int, knobs: Knobs, *, reasoning_field: str | None = None
) -> Frames:
    """The chunks of a streaming answer; `usage` is None unless the request asks for it."""
    frames = Frames()
    envelope = compact(_envelope(message, "chat.completion.chunk", created))[:-1]
    # With usage asked for, every chunk but the last has it as null.
    tail = ',"usage":null}\n\n' if usage is not None else "}\n\n"

    def chunk(delta: str, finish: str = "null") -> str:
        choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
        return f'data: {envelope},"choices":[{choice}]{tail}'

    refused = message.stop_reason == "refusal"
    opening = "null" if message.calls and not message.text else '""'
    frames.add(chunk(f'{{"role":"assistant","content":{opening},"refusal":null}}'))
    if reasoning_field is not None and message.thinking is not None:
        for text in pieces(message.thinking, knobs):
            frames.delta(chunk(f"{{{quote(reasoning_field)}:{quote(text)}}}"))
    name = "refusal" if refused else "content"
    for text in pieces(message.text, knobs):
        frames.delta(chunk(f'{{"{name}":{quote(text)}}}'))
    for index, call in enumerate(message.calls):
        frames.add(chunk(compact({"tool_calls": [{"index": index} | _call(call, arguments="")]})))
        for text in pieces(call.arguments, knobs):
            part = f'{{"index":{index},"function":{{"arguments":{quote(text)}}}}}'
            frames.delta(chunk(f'{{"tool_calls":[{part}]}}'))
    frames.add(chunk("{}", quote(_FINISH[message.stop_reason])))
    if usage is not None:
        frames.add(f'data: {envelope},"choices":[],"usage":{compact(_usage(usage))}}}\n\n')
    frames.add(DONE)
    return frames


def error_chunk(body: Json) -> str:
    """An error in the middle of a stream."""
    return f"data: {compact(body)}\n\n"


def _envelope(message: Composed, kind: str, created: int) -> Json:
    return {
        "id": f"chatcmpl-{message.suffix}",
        "object": kind,
        "created": created,
        "model": message.model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def _call(call: ComposedCall, arguments: str | None = None) -> dict[str, Any]:
    text = call.arguments if arguments is None else arguments
    call_id = call.given_id or f"call_{call.suffix}"
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": text}}


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
