"""The response cache: a request that was answered before is answered alike, and nobody pays for it again.

The rule here: it is off unless a session asks for it. Only whole answers are kept, each in a file of its own that is
there whole or not at all, so that any number of processes may share a directory. It holds answers but neither requests
nor keys, and what goes wrong with it is logged and costs a request.

    DIR/ab/cdef....json    named by the digest of all that makes the request, with the scope of the session's cache
"""

import asyncio
import hashlib
import json
import logging
import os
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agent_core.config import ResponseCache
from agent_core.messages import StopReason, Usage
from agent_core.ports import (
    Clock,
    Model,
    ModelEvent,
    ModelRequest,
    ResponseStarted,
    ResponseStopped,
    TextDelta,
    ThinkingDelta,
    ToolUseDelta,
    UsageUpdate,
)

log = logging.getLogger("rayconteur.cache")

Kept = ResponseStarted | TextDelta | ThinkingDelta | ToolUseDelta | UsageUpdate | ResponseStopped
_EVENTS: TypeAdapter[list[Kept]] = TypeAdapter(list[Kept])
_WHOLE: frozenset[StopReason] = frozenset({"end_turn", "tool_use", "stop_sequence", "max_tokens"})
_OF_MESSAGES = {"kind", "content"}
# How a request is paid for, delivered and recovered, and what is kept of its answer: none of it changes the answer.
_IMMATERIAL = {"api_key", "cache", "compaction", "context_limit", "max_steps", "on_recovery"} | {
    "request_class",
    "streaming",
    "system_prompt",
    "timeout",
}


class CachingModel:
    """Implements `Model` over another one, for the sessions whose configuration has a `cache`."""

    def __init__(self, model: Model, clock: Clock) -> None:
        self._model, self._clock = model, clock

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if request.config.cache is None:
            return self._model.stream(request)
        return self._cached(request, request.config.cache)

    async def _cached(self, request: ModelRequest, cache: ResponseCache) -> AsyncGenerator[ModelEvent, None]:
        place = _place(Path(cache.directory), digest_of(request, cache.scope))
        if (known := await asyncio.to_thread(self._read, place, cache)) is not None:
            for event in known:
                yield event
            return
        said: list[Kept] = []
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                if isinstance(event, Kept):
                    said.append(event)
                if isinstance(event, ResponseStopped) and event.stop_reason in _WHOLE:
                    await asyncio.to_thread(_write, place, merged(said))
                yield event

    def _read(self, place: Path, cache: ResponseCache) -> list[Kept] | None:
        """The answer that is kept there, as one that costs nothing; None if there is none that may be used."""
        try:
            if cache.max_age is not None and self._clock.now() - place.stat().st_mtime > cache.max_age:
                return None
            events = _EVENTS.validate_json(place.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("the answer kept in %s cannot be read (%s): the model is asked", place, type(error).__name__)
            return None
        return [UsageUpdate(_saved(event.usage)) if isinstance(event, UsageUpdate) else event for event in events]


def digest_of(request: ModelRequest, scope: str) -> str:
    """The digest of all that makes the answer: whoever asks the same in the same scope is answered alike."""
    asked: dict[str, Any] = {
        "scope": scope,
        "config": request.config.model_dump(mode="json", exclude=_IMMATERIAL),
        "max_tokens": request.max_tokens,
        "system": request.system,
        "tools": [[tool.name, tool.description, tool.input_schema] for tool in request.tools],
        "messages": [message.model_dump(mode="json", include=_OF_MESSAGES) for message in request.messages],
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def merged(events: Sequence[Kept]) -> list[Kept]:
    """The same answer in few events: what follows in a block is put together, and only the last usage stays."""
    short: list[Kept] = []
    usage: UsageUpdate | None = None
    for event in events:
        last = short[-1] if short else None
        match event:
            case UsageUpdate():
                usage = event
            case TextDelta() if isinstance(last, TextDelta) and last.index == event.index:
                short[-1] = TextDelta(event.index, last.text + event.text)
            case ToolUseDelta() if isinstance(last, ToolUseDelta) and last.index == event.index:
                short[-1] = ToolUseDelta(event.index, last.text + event.text, last.id, last.name)
            case ResponseStopped():
                short += [event] if usage is None else [usage, event]
            case _:
                short.append(event)
    return short


def _saved(usage: Usage) -> Usage:
    return Usage(saved_tokens=usage.context_tokens)


def _place(directory: Path, digest: str) -> Path:
    return directory / digest[:2] / f"{digest[2:]}.json"


def _write(place: Path, events: list[Kept]) -> None:
    """Keep an answer. The file comes to be whole or not at all."""
    beginning = place.with_name(f".{place.stem}.{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beginning.write_bytes(_EVENTS.dump_json(events))
        os.replace(beginning, place)  # noqa: PTH105 - in a thread; Path.replace is the same
    except (OSError, ValueError) as error:
        log.warning("an answer could not be kept in %s (%s)", place.parent.parent, type(error).__name__)
        with suppress(OSError):
            beginning.unlink(missing_ok=True)
