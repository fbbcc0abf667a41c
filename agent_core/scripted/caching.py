"""Prompt caching as the providers do it: a prefix that was seen before is read, a marked one that was not is written.

The rule here: a prefix counts only from the model's minimum on, is matched byte by byte, and is forgotten five
minutes after its last use. Anthropic keeps what `cache_control` marks and looks back at most 20 blocks from a mark
(its prompt caching guide); OpenAI keeps every prefix on its own and reports reads in steps of 128 tokens (its prompt
caching guide).
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from agent_core.scripted.tokens import CHARACTERS_PER_TOKEN, characters
from agent_core.scripted.wire import Json, Wire, as_array

_LIFETIME_S = 300.0
_LOOKBACK = 20
_STEP = 128
_MAXIMUM_ENTRIES = 100_000


class CacheUse(NamedTuple):
    """Tokens that were read from the cache and tokens that were written to it."""

    read: int = 0
    write: int = 0


class _Segment(NamedTuple):
    """One block of the prompt: what identifies it, its characters, and whether a prefix may end behind it."""

    content: object
    label: str
    marked: bool


class PromptCache:
    """The prefixes that one server has seen. `clock` gives seconds, on any base."""

    def __init__(self, minimum: int, clock: Callable[[], float]) -> None:
        self._minimum = minimum
        self._clock = clock
        self._expiry: OrderedDict[bytes, float] = OrderedDict()

    def use(self, wire: Wire, body: Json, total: int) -> CacheUse:
        """Looks the prompt of `body` up, remembers it, and tells what was read and written of its `total` tokens."""
        if total < self._minimum:
            return CacheUse()
        segments = list(_anthropic_segments(body) if wire is Wire.ANTHROPIC else _openai_segments(body))
        marks = [index for index, segment in enumerate(segments) if segment.marked]
        if not marks:
            return CacheUse()
        digests, tokens = _prefixes(str(body["model"]), segments, total)
        found = self._longest(digests, tokens, marks, wire)
        read = tokens[found] if found >= 0 else 0
        written = max((tokens[mark] for mark in marks if tokens[mark] >= self._minimum), default=0)
        for mark in marks:
            if tokens[mark] >= self._minimum:
                self._keep(digests[mark])
        if wire is not Wire.ANTHROPIC:
            return CacheUse(read=read - read % _STEP)
        return CacheUse(read=read, write=max(0, written - read))

    def _longest(self, digests: list[bytes], tokens: list[int], marks: list[int], wire: Wire) -> int:
        reach = _LOOKBACK if wire is Wire.ANTHROPIC else 0
        for mark in reversed(marks):
            for index in range(mark, max(-1, mark - reach - 1), -1):
                if tokens[index] >= self._minimum and self._alive(digests[index]):
                    self._keep(digests[index])
                    return index
        return -1

    def _alive(self, digest: bytes) -> bool:
        return self._expiry.get(digest, float("-inf")) >= self._clock()

    def _keep(self, digest: bytes) -> None:
        self._expiry[digest] = self._clock() + _LIFETIME_S
        self._expiry.move_to_end(digest)
        if len(self._expiry) > _MAXIMUM_ENTRIES:
            self._expiry.popitem(last=False)


def _prefixes(model: str, segments: list[_Segment], total: int) -> tuple[list[bytes], list[int]]:
    """The digest and the tokens of the prefix behind each segment."""
    chain = hashlib.blake2b(model.encode(), digest_size=16)
    digests: list[bytes] = []
    tokens: list[int] = []
    read = 0
    for segment in segments:
        text = json.dumps(segment.content, sort_keys=True) if not isinstance(segment.content, str) else segment.content
        chain.update(f"\0{segment.label}\0{text}".encode("utf-8", "surrogatepass"))
        read += characters(segment.content)
        digests.append(chain.digest())
        tokens.append(min(total, read // CHARACTERS_PER_TOKEN))
    return digests, tokens


def _anthropic_segments(body: Json) -> Iterator[_Segment]:
    groups: list[tuple[str, object]] = [("tools", body.get("tools") or []), ("system", body.get("system") or [])]
    groups.extend((message["role"], message["content"]) for message in body["messages"])
    last = len(groups) - 1
    automatic = bool(body.get("cache_control"))
    for index, (label, content) in enumerate(groups):
        blocks = as_array(content)
        if blocks is None:
            blocks = [{"type": "text", "text": content}]
        for place, block in enumerate(blocks):
            bare = {name: value for name, value in block.items() if name != "cache_control"}
            ends = automatic and index == last and place == len(blocks) - 1
            yield _Segment(bare, label, bool(block.get("cache_control")) or ends)


def _openai_segments(body: Json) -> Iterator[_Segment]:
    yield _Segment(body.get("tools") or [], "tools", marked=False)
    yield _Segment(body.get("instructions") or "", "instructions", marked=True)
    messages = body.get("messages", body.get("input"))
    for message in as_array(messages) or [messages]:
        yield _Segment(message, "message", marked=True)
