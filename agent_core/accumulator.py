"""Gathers a model's deltas into content blocks, for every wire and for streaming and whole answers alike.

The rule here: blocks keep the provider's own order, thinking keeps its signature, and a tool input that is not a JSON
object, or could not be read back from a journal, is kept as it came and marked, never replaced in silence.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic_core import from_json

from agent_core.content import AssistantBlock, TextBlock, ThinkingBlock, ToolUseBlock
from agent_core.messages import Usage
from agent_core.ports import TextDelta, ThinkingDelta, ToolUseDelta

# pydantic reads back at most 200 levels, of which the entry around an input takes a few.
_DEPTH_LIMIT = 100


@dataclass(slots=True)
class _Text:
    parts: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Thinking:
    parts: list[str] = field(default_factory=list[str])
    signature: str | None = None
    redacted: bool = False
    item_id: str | None = None


@dataclass(slots=True)
class _ToolUse:
    id: str = ""
    name: str = ""
    parts: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Accumulator:
    """One answer in the making."""

    provider: str
    provider_message_id: str | None = None
    model: str = ""
    usage: Usage = Usage()
    _blocks: dict[int, _Text | _Thinking | _ToolUse] = field(default_factory=dict[int, _Text | _Thinking | _ToolUse])

    def add(self, delta: TextDelta | ThinkingDelta | ToolUseDelta) -> None:
        """Take in one delta."""
        if isinstance(delta, TextDelta):
            block = self._blocks.get(delta.index)
            if block is None:
                block = self._blocks[delta.index] = _Text()
            block.parts.append(delta.text)
        elif isinstance(delta, ToolUseDelta):
            self._add_tool_use(delta)
        else:
            self._add_thinking(delta)

    def _add_tool_use(self, delta: ToolUseDelta) -> None:
        block = self._blocks.setdefault(delta.index, _ToolUse())
        block.parts.append(delta.text)
        if isinstance(block, _ToolUse):
            block.id, block.name = delta.id or block.id, delta.name or block.name

    def _add_thinking(self, delta: ThinkingDelta) -> None:
        block = self._blocks.setdefault(delta.index, _Thinking())
        block.parts.append(delta.text)
        if isinstance(block, _Thinking):
            if delta.signature is not None:
                block.signature = (block.signature or "") + delta.signature
            block.redacted = block.redacted or delta.redacted
            block.item_id = delta.item_id or block.item_id

    def text(self) -> str:
        """The text received so far."""
        return "".join("".join(block.parts) for block in self._in_order() if isinstance(block, _Text))

    def partial(self) -> tuple[AssistantBlock, ...]:
        """What of an unfinished answer may stay in a conversation: its text, no calls and no unsigned thinking."""
        kept = [
            self._finish(block, ())
            for block in self._in_order()
            if (isinstance(block, _Text) and "".join(block.parts).strip())
            or (isinstance(block, _Thinking) and block.signature)
        ]
        return tuple(kept) if any(isinstance(block, TextBlock) for block in kept) else ()

    def blocks(self, taken: Collection[str]) -> tuple[AssistantBlock, ...]:
        """The whole answer. A tool use id among `taken`, or used twice, or missing, is made unique."""
        finished: list[AssistantBlock] = []
        seen = set(taken)
        for block in self._in_order():
            if isinstance(block, _Text) and not "".join(block.parts):
                continue
            done = self._finish(block, seen)
            if isinstance(done, ToolUseBlock):
                seen.add(done.id)
            finished.append(done)
        return tuple(finished)

    def _in_order(self) -> list[_Text | _Thinking | _ToolUse]:
        return [self._blocks[index] for index in sorted(self._blocks)]

    def _finish(self, block: "_Text | _Thinking | _ToolUse", taken: Collection[str]) -> AssistantBlock:
        text = "".join(block.parts)
        if isinstance(block, _Text):
            return TextBlock(text=text)
        if isinstance(block, _Thinking):
            return ThinkingBlock(
                thinking=text,
                signature=block.signature,
                redacted=block.redacted,
                item_id=block.item_id,
                provider=self.provider,
            )
        return _tool_use(_unique(block.id or "call", taken), block.name, text)


def _unique(wanted: str, taken: Collection[str]) -> str:
    if wanted not in taken:
        return wanted
    number = 2
    while f"{wanted}_{number}" in taken:
        number += 1
    return f"{wanted}_{number}"


def _tool_use(id: str, name: str, text: str) -> ToolUseBlock:
    if not text.strip():
        return ToolUseBlock(id=id, name=name)
    flaw = None
    value: object = None
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        flaw = f"The input is not valid JSON: {error}"
    else:
        if not isinstance(value, dict):
            flaw = f"The input must be a JSON object, not a {type(value).__name__}"
        elif not _can_be_kept(cast("object", value), _DEPTH_LIMIT):
            flaw = f"The input is nested deeper than {_DEPTH_LIMIT} levels or holds a number that is too large"
    if flaw is not None:
        return ToolUseBlock(id=id, name=name, input_error=flaw, raw_input=text)
    return ToolUseBlock(id=id, name=name, input=cast("dict[str, Any]", value))


def _can_be_kept(value: object, levels: int) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, dict | list):
        return True
    inside = cast("dict[str, object] | list[object]", value)
    items = inside.values() if isinstance(inside, dict) else inside
    return levels > 0 and all(_can_be_kept(item, levels - 1) for item in items)
