"""A conversation as a summariser reads it: who said what, what was called and what came back, as tagged text.

The rule here: nothing that a user, a tool or a model wrote can open or close a tag of ours, no message is lost between
two chunks, and whatever is left out of a message is said to be, with how much it was.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from agent_core.compaction.tags import element
from agent_core.content import ImageBlock, TextBlock, ToolResultBlock, ToolUseBlock
from agent_core.messages import AssistantMessage, Message, UserMessage

LEAST_ROOM = 1_000
"""Characters that a chunk can always be made to fit in."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The messages from some place up to `end` (excluded) as text."""

    text: str
    end: int


@dataclass(frozen=True, slots=True)
class _Part:
    """One element. `limited` ones, what tools were given and gave back, are cut to the size that is asked for."""

    name: str
    text: str
    attributes: dict[str, str | None]
    limited: bool = False

    def within(self, characters: int) -> str:
        return element(self.name, clip(self.text, characters), **self.attributes)


class Transcript:
    """The transcript of some messages, as a whole or chunk by chunk."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._calls: dict[str, tuple[str, str]] = {}
        for block in (block for message in messages for block in message.content):
            if isinstance(block, ToolUseBlock):
                self._calls.setdefault(block.id, (str(len(self._calls) + 1), block.name))

    def whole(self, limit: int) -> str:
        """All of it. What tools were given and gave back has at most `limit` characters each."""
        return _joined([self._text(message, limit) for message in self._messages])

    def chunk(self, start: int, room: int, limit: int) -> Chunk:
        """As many messages from `start` on as fit in `room` characters (at least LEAST_ROOM), at least one.

        Calls and their results stay together where both fit. A message that is longer than a chunk is cut.
        """
        texts: list[str] = []
        left, at = room, start
        while at < len(self._messages):
            end = self._group(at)
            text = _joined([self._text(message, limit) for message in self._messages[at:end]])
            if len(text) > left:
                break
            texts.append(text)
            left, at = left - len(text) - 1, end
        if at > start:
            return Chunk(_joined(texts), at)
        return self._part_of_group(start, room, limit)

    def _part_of_group(self, start: int, room: int, limit: int) -> Chunk:
        texts: list[str] = []
        left, at, end = room, start, self._group(start)
        while at < end and len(text := self._text(self._messages[at], limit)) <= left:
            texts.append(text)
            left, at = left - len(text) - 1, at + 1
        if at > start:
            return Chunk(_joined(texts), at)
        return Chunk(_squeezed(self._parts(self._messages[start]), room, limit), start + 1)

    def _group(self, at: int) -> int:
        """Where the message at `at` ends together with what answers its calls."""
        message, end = self._messages[at], at + 1
        if isinstance(message, AssistantMessage) and any(isinstance(block, ToolUseBlock) for block in message.content):
            while end < len(self._messages) and _has_results(self._messages[end]):
                end += 1
        return end

    def _text(self, message: Message, limit: int) -> str:
        return _joined([_shown(part, limit) for part in self._parts(message)])

    def _parts(self, message: Message) -> list[_Part]:
        if isinstance(message, UserMessage):
            return self._of_user(message)
        error = message.error.kind if message.error else None
        interrupted = "true" if message.finish_reason == "interrupted" else None
        attributes = {"error": error, "interrupted": interrupted}
        words = "\n".join(block.text for block in message.content if isinstance(block, TextBlock))
        parts = [_Part("assistant", words, attributes)] if words or error or interrupted else []
        return parts + [self._call(block) for block in message.content if isinstance(block, ToolUseBlock)]

    def _of_user(self, message: UserMessage) -> list[_Part]:
        results = [self._result(block) for block in message.content if isinstance(block, ToolResultBlock)]
        words = "\n".join(_plain(block) for block in message.content if not isinstance(block, ToolResultBlock))
        return [*results, _Part("user", words, {})] if words else results

    def _call(self, block: ToolUseBlock) -> _Part:
        number, name = self._calls[block.id]
        given = block.raw_input if block.input_error is not None else None
        text = json.dumps(block.input, ensure_ascii=False) if given is None else given
        invalid = "true" if block.input_error is not None else None
        return _Part("tool_call", text, {"call": number, "name": name, "invalid": invalid}, limited=True)

    def _result(self, block: ToolResultBlock) -> _Part:
        number, name = self._calls.get(block.tool_use_id, (None, None))
        if block.compact_summary is not None:
            text = block.compact_summary
        elif isinstance(block.content, str):
            text = block.content
        else:
            text = "\n".join(_plain(part) for part in block.content)
        error = "true" if block.is_error else None
        return _Part("tool_result", text, {"call": number, "name": name, "error": error}, limited=True)


def clip(text: str, limit: int) -> str:
    """The head and the tail of a text that is longer than `limit` characters, with a note of what is left out."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - len(_note(len(text))))
    head = kept - kept // 2
    note = _note(len(text) - kept)
    return f"{text[:head]}{note}{text[len(text) - kept // 2 :]}" if kept + len(note) < len(text) else text


def _note(characters: int) -> str:
    return f"\n[... {characters} characters left out ...]\n"


def _plain(block: TextBlock | ImageBlock) -> str:
    if isinstance(block, TextBlock):
        return block.text
    return f"[image: {block.media_type}]" if block.media_type else "[image]"


def _has_results(message: Message) -> bool:
    return any(isinstance(block, ToolResultBlock) for block in message.content)


def _shown(part: _Part, limit: int) -> str:
    return part.within(limit if part.limited else len(part.text))


def _joined(texts: Sequence[str]) -> str:
    return "\n".join(text for text in texts if text)


def _squeezed(parts: Sequence[_Part], room: int, limit: int) -> str:
    """One message in `room` characters: its longest parts are cut, and if that is not enough the middle ones go."""
    limits = [min(limit, len(part.text)) if part.limited else len(part.text) for part in parts]
    share = max(limits, default=0)
    while share:
        text = _joined([part.within(min(share, own)) for part, own in zip(parts, limits, strict=True)])
        if len(text) <= room:
            return text
        share = share * 3 // 4
    shown = [part.within(0) for part in parts]
    text = ""
    for kept in range(len(shown), 0, -1):
        text = _ends(shown, kept)
        if len(text) <= room:
            break
    return text


def _ends(shown: Sequence[str], kept: int) -> str:
    if kept >= len(shown):
        return _joined(shown)
    tail = kept // 2
    note = f"[... {len(shown) - kept} parts left out ...]"
    return _joined([*shown[: kept - tail], note, *shown[len(shown) - tail :]])
