"""Messages, requests and servers for the tests of the providers."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from aiohttp import web

from agent_core.accumulator import Accumulator
from agent_core.clock import SystemClock
from agent_core.config import SessionConfig
from agent_core.content import AssistantBlock, TextBlock, ToolResultBlock, ToolUseBlock, UserBlock
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, Usage, UserMessage
from agent_core.ports import (
    Model,
    ModelEvent,
    ModelRequest,
    ResponseStopped,
    TextDelta,
    ThinkingDelta,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.providers.dispatch import build_model
from agent_core.providers.retry import RetryingModel
from agent_core.tools.definition import ToolDefinition

SESSION = SessionId("session")
TURN = TurnId("turn")
# Put together at run time, for the source of the tests travels to clusters too.
KEY = "-".join(("sk", "planted", "0123456789abcdef"))  # noqa: FLY002 - as said
ADD = ToolDefinition(
    name="add", description="Adds.", input_schema={"type": "object", "properties": {"a": {"type": "integer"}}}
)
# A model of each wire, by the name of the wire.
MODELS = {"messages": "anthropic/claude-opus-4-6", "responses": "openai/gpt-5", "chat": "openai/gpt-4o"}

_count = iter(range(1, 1_000_000))


def user(*blocks: UserBlock | str) -> UserMessage:
    content = tuple(TextBlock(text=block) if isinstance(block, str) else block for block in blocks)
    return UserMessage(id=f"m{next(_count)}", session_id=SESSION, turn_id=TURN, content=content)


def assistant(*blocks: AssistantBlock | str, provider: str = "anthropic") -> AssistantMessage:
    content = tuple(TextBlock(text=block) if isinstance(block, str) else block for block in blocks)
    return AssistantMessage(
        id=f"m{next(_count)}", session_id=SESSION, turn_id=TURN, provider=provider, model="a-model", content=content
    )


def call(id: str, **given: Any) -> ToolUseBlock:
    return ToolUseBlock(id=id, name="add", input=given)


def result(id: str, content: str = "3", *, is_error: bool = False) -> ToolResultBlock:
    return ToolResultBlock(tool_use_id=id, content=content, is_error=is_error)


def config(model: str = "anthropic/claude-opus-4-6", **fields: Any) -> SessionConfig:
    return SessionConfig.of(model=model, **fields)


def request(settings: SessionConfig, *messages: Message, **fields: Any) -> ModelRequest:
    return ModelRequest(config=settings, messages=messages or (user("hi"),), session_id=SESSION, turn_id=TURN, **fields)


def wire_config(wire: str, url: str, **fields: Any) -> SessionConfig:
    """A configuration that speaks this wire to the server at `url`."""
    base = url if wire == "messages" else f"{url}/v1"
    chosen: dict[str, Any] = {"wire": wire} if wire == "chat" else {}
    return config(MODELS[wire], base_url=base, **(chosen | fields))


@asynccontextmanager
async def provider_model(max_concurrent_requests: int = 8) -> AsyncIterator[RetryingModel]:
    """The whole stack on the system's clock."""
    model = build_model(max_concurrent_requests, SystemClock(), random.Random(1))
    try:
        yield model
    finally:
        await model.aclose()


class Answer:
    """An answer that was read to its end."""

    def __init__(self, events: Sequence[ModelEvent], provider: str) -> None:
        self.events = list(events)
        gathered = Accumulator(provider)
        for event in events:
            if isinstance(event, (TextDelta, ThinkingDelta, ToolUseDelta)):
                gathered.add(event)
        self.blocks = gathered.blocks(())
        self.kinds = [type(event).__name__ for event in events]

    @property
    def text(self) -> str:
        return "".join(block.text for block in self.blocks if isinstance(block, TextBlock))

    @property
    def calls(self) -> list[ToolUseBlock]:
        return [block for block in self.blocks if isinstance(block, ToolUseBlock)]

    @property
    def usage(self) -> Usage:
        return next(event.usage for event in reversed(self.events) if isinstance(event, UsageUpdate))

    @property
    def stop(self) -> str:
        last = self.events[-1]
        assert isinstance(last, ResponseStopped)
        return last.stop_reason


async def ask(model: Model, asked: ModelRequest) -> Answer:
    """Read an answer to its end."""
    async with aclosing(model.stream(asked)) as events:
        return Answer([event async for event in events], asked.config.provider)


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def odd_server(handler: Handler) -> AsyncIterator[str]:
    """A server that answers every request with `handler`; its address."""
    runner = web.ServerRunner(web.Server(handler, handler_cancellation=True, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def events_of(*lines: str | bytes, content_type: str = "text/event-stream") -> Handler:
    """A handler that sends these lines as one stream, byte for byte, and ends it."""

    async def handle(asked: web.BaseRequest) -> web.StreamResponse:
        await asked.read()
        response = web.StreamResponse(headers={"content-type": content_type})
        await response.prepare(asked)
        for line in lines:
            await response.write(line.encode() if isinstance(line, str) else line)
        await response.write_eof()
        return response

    return handle


def data(**fields: Any) -> str:
    """One event of a stream."""
    return f"data: {json.dumps(fields)}\n\n"


def chunk(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> str:
    """One chunk of a Chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data(id="chatcmpl-1", model="m", choices=[choice], **fields)


DONE = "data: [DONE]\n\n"


def short_answer(wire: str) -> list[str]:
    """The stream of an answer that says Hello."""
    if wire == "messages":
        return [
            data(type="message_start", message={"id": "msg_1", "model": "m", "usage": {"input_tokens": 3}}),
            data(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
            data(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"}),
            data(type="content_block_stop", index=0),
            data(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
            data(type="message_stop"),
        ]
    if wire == "responses":
        place = {"output_index": 0, "content_index": 0}
        return [
            data(type="response.created", response={"id": "resp_1", "model": "m"}),
            data(type="response.output_text.delta", delta="Hello", **place),
            data(type="response.completed", response={"id": "resp_1", "status": "completed", "usage": None}),
        ]
    return [chunk({"content": "Hello"}), chunk({}, "stop"), DONE]


async def settle() -> None:
    """Let everything run that can run without time going on."""
    for _ in range(20):
        await asyncio.sleep(0)
