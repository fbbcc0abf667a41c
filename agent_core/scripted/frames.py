"""A stream of server-sent events, ready to be written whole or paced frame by frame.

The rule here: text is escaped once, by hand-made templates around `json.encoder`, since this is the hot path of a
server that must never be the slowest part of a measurement.
"""

import json
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import Any

from agent_core.scripted.knobs import Knobs

quote = encode_basestring
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as a wire reports them: on Anthropic's `input_tokens` excludes what the cache read and wrote."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(slots=True)
class Frames:
    """The events of a stream in order; `deltas` are the places of those that carry new content."""

    data: list[str] = field(default_factory=list[str])
    deltas: list[int] = field(default_factory=list[int])

    def add(self, text: str) -> None:
        """Adds an event that is no content."""
        self.data.append(text)

    def delta(self, text: str) -> None:
        """Adds an event with new content."""
        self.deltas.append(len(self.data))
        self.data.append(text)

    def whole(self) -> bytes:
        """All events as one piece."""
        return encoded("".join(self.data))


def encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate, which a client may send and get back, becomes a question mark."""
    return text.encode("utf-8", "replace")


def compact(value: Any) -> str:
    """JSON without blanks."""
    return _compact(value)


def event(name: str, value: Any) -> str:
    """One event with a name."""
    return f"event: {name}\ndata: {_compact(value)}\n\n"


def pieces(text: str, knobs: Knobs) -> list[str]:
    """`text` cut into what one delta carries each; none for an empty text."""
    size = -(-len(text) // knobs.deltas) if knobs.deltas is not None and text else knobs.chunk_chars
    if len(text) <= size:
        return [text] if text else []
    return [text[start : start + size] for start in range(0, len(text), size)]
