"""The messages of a log as those of a session.

The rule here: what was said comes back word for word, images and long texts from where they are kept once. Of what only
a journal knows (turns, parents, the moment of each message) there is what the events tell.
Source: `_chat_message.py` and `_util/content.py` of inspect_ai 0.3.285.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.evaluation.logs.messages import MARKER, RAW_INPUT, REFERENCE, STOP_REASONS, Json
from agent_core.messages import AssistantMessage, Message, SessionId, StopReason, TurnId, Usage, UserMessage

_REASONS: dict[str, StopReason] = {told: reason for reason, told in STOP_REASONS.items() if reason != "stop_sequence"}


class Retold:
    """Makes messages of those of a log, with what the events say of each."""

    def __init__(self, sample: Mapping[str, Any], session_id: str) -> None:
        self._session, self._uuid = SessionId(session_id), sample.get("uuid")
        self._kept: Mapping[str, str] = sample.get("attachments") or {}
        self._events: dict[str, Mapping[str, Any]] = {}
        self._results: dict[str, float] = {}
        for event in sample.get("events") or ():
            if event.get("event") == "model" and (choices := event.get("output", {}).get("choices")):
                self._events.setdefault(str(choices[0]["message"].get("id")), event)
            elif event.get("event") == "tool" and event.get("completed"):
                self._results[str(event["id"])] = moment_of(event["completed"]) or 0.0
        self._turn = 0

    def messages(self, told: Sequence[Json]) -> Iterator[Message]:
        """The messages, results that belong to one answer in one of them, the system prompt left out."""
        results: list[Json] = []
        for number, message in enumerate(told):
            if message["role"] == "tool":
                results.append(message)
                continue
            if results:
                yield self._user(results, number)
                results = []
            if message["role"] == "assistant":
                yield self._assistant(message, number)
            elif message["role"] == "user":
                self._turn += 1
                yield self._user([message], number)
        if results:
            yield self._user(results, len(told))

    def _user(self, told: Sequence[Json], number: int) -> UserMessage:
        blocks: list[TextBlock | ImageBlock | ToolResultBlock] = []
        for message in told:
            if message["role"] == "tool":
                blocks.append(self._tool_result(message))
            else:
                blocks += [block for block in self._content(message["content"]) if not isinstance(block, ThinkingBlock)]
        metadata: Json = told[0].get("metadata") or {}
        moments = [self._results.get(str(message.get("tool_call_id")), 0.0) for message in told]
        return UserMessage(
            id=self._id(told[0], f"u{number}"),
            session_id=self._session,
            turn_id=TurnId(str(self._turn)),
            created_at=max(moments),
            marker="summary" if metadata.get(MARKER) == "summary" else None,
            content=tuple(blocks),
        )

    def _id(self, message: Json, otherwise: str) -> str:
        """The message's id within its session."""
        return str(message.get("id") or otherwise).removeprefix(f"{self._uuid}.")

    def _tool_result(self, message: Json) -> ToolResultBlock:
        content: str | tuple[TextBlock | ImageBlock, ...]
        if isinstance(message["content"], str):
            content = message["content"]
        else:
            inner = self._content(message["content"])
            content = tuple(block for block in inner if not isinstance(block, ThinkingBlock))
        failed = message.get("error") is not None
        if failed and not content:
            content = str(message["error"].get("message", ""))
        return ToolResultBlock(tool_use_id=str(message.get("tool_call_id")), content=content, is_error=failed)

    def _assistant(self, message: Json, number: int) -> AssistantMessage:
        event = self._events.get(str(message.get("id")), {})
        output: Mapping[str, Any] = event.get("output") or {}
        choices: list[Json] = output.get("choices") or [{}]
        provider, _, _ = str(event.get("model") or "").rpartition("/")
        blocks = self._content(message["content"], provider)
        calls = tuple(_call(call) for call in message.get("tool_calls") or ())
        return AssistantMessage(
            id=self._id(message, f"a{number}"),
            session_id=self._session,
            turn_id=TurnId(str(self._turn)),
            created_at=moment_of(event.get("timestamp")) or 0.0,
            completed_at=moment_of(event.get("completed")),
            provider=provider,
            model=str(message.get("model") or output.get("model") or ""),
            provider_message_id=output.get("response_id"),
            usage=usage_of_log({"": output.get("usage") or {}}) or Usage(),
            finish_reason=_REASONS.get(str(choices[0].get("stop_reason"))),
            content=(*(block for block in blocks if not isinstance(block, ImageBlock)), *calls),
        )

    def _content(self, content: str | list[Json], provider: str = "") -> list[TextBlock | ImageBlock | ThinkingBlock]:
        if isinstance(content, str):
            return [TextBlock(text=self._whole(content))] if content else []
        blocks: list[TextBlock | ImageBlock | ThinkingBlock] = []
        for part in content:
            match part.get("type"):
                case "text":
                    blocks.append(TextBlock(text=self._whole(part["text"])))
                case "reasoning":
                    blocks.append(_thinking(part, provider))
                case "image":
                    blocks.append(_image(self._whole(part["image"])))
                case kind:
                    blocks.append(TextBlock(text=f"({kind})"))
        return blocks

    def _whole(self, text: str) -> str:
        return self._kept.get(text.removeprefix(REFERENCE), text) if text.startswith(REFERENCE) else text


def usage_of_log(usages: Mapping[str, Mapping[str, Any]]) -> Usage | None:
    """The tokens of all models together; None if there are none."""
    told = [usage for usage in usages.values() if usage]
    return sum((_usage(usage) for usage in told), Usage()) if told else None


def moment_of(told: str | None) -> float | None:
    """A date and time in seconds since the epoch."""
    return None if not told else datetime.fromisoformat(told).timestamp()


def _usage(usage: Mapping[str, Any]) -> Usage:
    return Usage(
        input_tokens=usage.get("input_tokens") or 0,
        output_tokens=usage.get("output_tokens") or 0,
        cache_read_tokens=usage.get("input_tokens_cache_read") or 0,
        cache_write_tokens=usage.get("input_tokens_cache_write") or 0,
    )


def _call(call: Json) -> ToolUseBlock:
    arguments: Json = call.get("arguments") or {}
    wrong = call.get("parse_error")
    raw = arguments.get(RAW_INPUT) if wrong is not None and len(arguments) == 1 else None
    return ToolUseBlock(
        id=str(call["id"]),
        name=str(call["function"]),
        input={} if raw is not None else arguments,
        input_error=wrong,
        raw_input=raw,
    )


def _thinking(part: Json, provider: str) -> ThinkingBlock:
    own = part.get("internal")
    internal = cast("Json", own) if isinstance(own, dict) else {}
    redacted = bool(part.get("redacted"))
    return ThinkingBlock(
        thinking="" if redacted else part["reasoning"],
        signature=part["reasoning"] if redacted else part.get("signature"),
        redacted=redacted,
        item_id=internal.get("item_id"),
        provider=str(internal.get("provider", provider)),
    )


def _image(place: str) -> ImageBlock:
    head, _, data = place.partition(";base64,")
    if head.startswith("data:") and data:
        return ImageBlock(media_type=head.removeprefix("data:"), data=data)
    return ImageBlock(url=place)
