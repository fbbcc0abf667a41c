"""Projecting: what the page gets of one result.

The rule here: everything that a reader may want is in it, and nothing that only a provider needs, such as signatures. A
text beyond a bound is cut and says so.
"""

from typing import Any

from agent_core.content import ContentBlock, ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.evaluation.result import Result
from agent_core.evaluation.score import Score
from agent_core.messages import AssistantMessage, Message, Usage

LONGEST_TEXT = 200_000
# What a browser draws from data and never runs.
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


def record_of(result: Result) -> dict[str, Any]:
    """The whole result as the page's script reads it, empty fields left out."""
    timings = result.timings
    fields: dict[str, Any] = {
        "id": result.id,
        "epoch": result.epoch,
        "input": cut(result.input),
        "turns": [cut(turn) for turn in result.turns],
        "choices": list(result.choices),
        "target": result.target,
        "answer": None if result.answer is None else cut(result.answer),
        "metadata": result.metadata,
        "scores": {name: _score(score) for name, score in result.scores.items()},
        "error": None if result.error is None else result.error.model_dump(exclude_none=True),
        "limit": result.limit,
        "attempts": result.attempts,
        "session": result.session_id,
        "began": timings.started,
        "waited": max(0.0, timings.started - timings.queued),
        "first_token": None if timings.first_token is None else timings.first_token - timings.started,
        "seconds": timings.latency,
        "usage": _usage(result.usage),
        "summariser": _usage(result.summariser),
        "cost": result.cost,
        "transcript": None if result.transcript is None else [message_of(message) for message in result.transcript],
    }
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def message_of(message: Message) -> dict[str, Any]:
    """One message of the transcript."""
    fields: dict[str, Any] = {"role": message.kind, "at": message.created_at or None}
    if isinstance(message, AssistantMessage):
        fields |= {
            "until": message.completed_at,
            "model": message.model,
            "usage": _usage(message.usage),
            "finish": message.finish_reason,
            "error": None if message.error is None else message.error.message,
        }
    else:
        fields["marker"] = message.marker
    fields["blocks"] = [block_of(block) for block in message.content]
    return {name: value for name, value in fields.items() if value is not None}


def block_of(block: ContentBlock) -> dict[str, Any]:
    """One block of a message."""
    match block:
        case TextBlock():
            return {"kind": "text", "text": cut(block.text)}
        case ThinkingBlock():
            return {"kind": "thinking", "text": cut(block.thinking)} | ({"redacted": True} if block.redacted else {})
        case ToolUseBlock():
            call: dict[str, Any] = {"kind": "call", "id": block.id, "name": block.name, "input": block.input}
            return call | ({"raw": cut(block.raw_input or ""), "error": block.input_error} if block.input_error else {})
        case ToolResultBlock():
            content = block.content
            inner = [{"kind": "text", "text": cut(content)}] if isinstance(content, str) else map(block_of, content)
            return {"kind": "result", "id": block.tool_use_id, "failed": block.is_error, "blocks": list(inner)}
        case ImageBlock():
            if block.data and block.media_type in IMAGE_TYPES:
                return {"kind": "image", "type": block.media_type, "data": block.data}
            return {"kind": "image", "url": block.url or "", "type": block.media_type or ""}


def cut(text: str) -> str:
    """The text, or its beginning with a note of how much is left out."""
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}\n… {len(text) - LONGEST_TEXT:,} more characters are in the results file."


def _score(score: Score) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "value": score.value,
        "answer": score.answer,
        "explanation": None if score.explanation is None else cut(score.explanation),
        "metadata": score.metadata or None,
        "error": None if score.error is None else score.error.message,
        "usage": _usage(score.usage),
        "cost": score.cost,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _usage(usage: Usage | None) -> list[int] | None:
    """Tokens that went in, those of them that came from the provider's cache, and those that came out."""
    if usage is None or usage == Usage():
        return None
    return [usage.context_tokens - usage.output_tokens, usage.cache_read_tokens, usage.output_tokens]
