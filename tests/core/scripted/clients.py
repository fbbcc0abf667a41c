"""A running server with both real SDKs beside it, their own retries off."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from agent_core.scripted import Brain, Script
from agent_core.scripted.server import ScriptedServer


@dataclass
class Bench:
    """The server and who talks to it."""

    server: ScriptedServer
    anthropic: AsyncAnthropic
    openai: AsyncOpenAI
    http: aiohttp.ClientSession


@asynccontextmanager
async def bench(
    script: Script | None = None, *, brain: Brain | None = None, key: str = "sk-test-0123456789"
) -> AsyncIterator[Bench]:
    """Starts a server and makes the clients; closes them all."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServer(script, brain=brain))
        anthropic = await stack.enter_async_context(AsyncAnthropic(api_key=key, base_url=server.url, max_retries=0))
        openai = await stack.enter_async_context(AsyncOpenAI(api_key=key, base_url=f"{server.url}/v1", max_retries=0))
        http = await stack.enter_async_context(aiohttp.ClientSession(server.url))
        yield Bench(server, anthropic, openai, http)
