"""A session's events as lines, the way somebody reads who looks over its shoulder.

The rule here: a fact becomes lines once and for good; what is still being said is `live`, and is replaced by the fact.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from agent_core.content import TextBlock, ThinkingBlock, ToolUseBlock
from agent_core.entries import (
    Accepted,
    Compacted,
    CompactionFailed,
    Complete,
    Error,
    FromLLMPayload,
    ToolSettled,
    TurnEnded,
    TurnStarted,
)
from agent_core.payloads import (
    CompactionUpdate,
    Restarted,
    Retrying,
    StreamStart,
    TextChunk,
    ThinkingChunk,
    ToolInputDelta,
    UserInput,
)
from drivers.chatting.figures import count, duration
from drivers.watching.figures import harmless, on_one_line

MOST_LIVE = 4000
_LONGEST_TEXT = 20_000
_LONGEST_INPUT = 300


class Line(NamedTuple):
    """Text, perhaps of several lines, in a style of the terminal."""

    text: str
    style: str = ""


class Narration:
    """What is told of one session."""

    def __init__(self) -> None:
        self.live = ""
        """The end of what the model is saying."""
        self._tools: dict[str, str] = {}
        self._block = -1

    def tell(self, payload: FromLLMPayload) -> list[Line]:
        """The lines that this event adds."""
        match payload:
            case TextChunk() | ThinkingChunk() | ToolInputDelta():
                self._say(payload)
                return []
            case StreamStart() | Restarted():
                self._quiet()
                return []
            case Complete() | TurnEnded() | Error():
                self._quiet()
        return self._fact(payload)

    def _say(self, chunk: TextChunk | ThinkingChunk | ToolInputDelta) -> None:
        text = chunk.text
        if chunk.index != self._block:
            named = f"→ {chunk.name} " if isinstance(chunk, ToolInputDelta) and chunk.name else ""
            text = ("\n" if self.live else "") + named + text
            self._block = chunk.index
        self.live = (self.live + harmless(text))[-MOST_LIVE:]

    def _quiet(self) -> None:
        self.live, self._block = "", -1

    def _fact(self, payload: FromLLMPayload) -> list[Line]:
        match payload:
            case Accepted(payload=UserInput() as said):
                texts = [block.text if isinstance(block, TextBlock) else f"[{block.kind}]" for block in said.content]
                return [Line(f"› {_bounded(' '.join(texts))}", "bold cyan")]
            case Complete():
                return self._answer(payload)
            case ToolSettled():
                return [self._settled(payload)]
            case Error():
                return [Line(f"! {on_one_line(payload.error.message, 300)}", "red")]
            case Retrying():
                said = on_one_line(payload.error.message, 200)
                return [Line(f"! attempt {payload.attempt} in {duration(payload.delay)}: {said}", "yellow")]
            case TurnEnded():
                how = payload.outcome + (", discarded" if payload.discarded else "")
                return [Line(f"── {payload.turn_id} {how}", "red" if payload.outcome == "failed" else "dim")]
            case Compacted():
                sizes = f"{count(payload.tokens_before)} to {count(payload.tokens_after)} tokens"
                return [Line(f"◇ compacted ({payload.strategy}): {sizes}", "magenta")]
            case CompactionFailed():
                why = f": {on_one_line(payload.error.message, 200)}" if payload.error else ""
                return [Line(f"◇ compaction {payload.reason}{why}", "magenta")]
            case CompactionUpdate():
                why = f": {on_one_line(payload.reason, 200)}" if payload.reason else ""
                return [Line(f"◇ compaction {payload.state}{why}", "magenta")]
            case _ if payload.kind in _PASSED_OVER or isinstance(payload, TurnStarted):
                return []
        return [Line(f"· {payload.kind.replace('_', ' ')}", "dim")]

    def _answer(self, answer: Complete) -> list[Line]:
        lines: list[Line] = []
        for block in answer.message.content:
            match block:
                case TextBlock() if block.text.strip():
                    lines.append(Line(_bounded(block.text)))
                case ThinkingBlock() if block.thinking.strip():
                    lines.append(Line(_bounded(block.thinking), "dim italic"))
                case ToolUseBlock():
                    self._tools[block.id] = block.name
                    lines.append(Line(f"→ {harmless(block.name)} {_inputs(block.input)}", "yellow"))
        return lines

    def _settled(self, settled: ToolSettled) -> Line:
        name = harmless(self._tools.pop(settled.result.tool_use_id, "tool"))
        content = settled.result.content
        texts = [content] if isinstance(content, str) else [getattr(part, "text", f"[{part.kind}]") for part in content]
        well = settled.outcome in {"ok", "external"}
        how = f"{duration(settled.seconds)}" if well else f"{settled.outcome.replace('_', ' ')}"
        return Line(f"← {name} ({how}) {on_one_line(' '.join(texts), 300)}", "green" if well else "red")


_PASSED_OVER = {"tool_batch", "token_update", "status_changed", "steered", "accepted"}


def _bounded(text: str) -> str:
    shown = harmless(text[:_LONGEST_TEXT]).strip("\n")
    return shown if len(text) <= _LONGEST_TEXT else f"{shown} … ({len(text):,} characters in all)"


def _inputs(given: Mapping[str, object]) -> str:
    return on_one_line(json.dumps(given, ensure_ascii=False, default=str), _LONGEST_INPUT)
