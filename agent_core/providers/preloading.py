"""Importing an SDK before the first request needs it.

The rule here: an import of a second holds up an event loop, so it runs in a thread and once a process.
"""

import asyncio
import sys
from importlib import import_module

from agent_core.config import SessionConfig
from agent_core.providers.dispatch import wire_name


async def preload(config: SessionConfig) -> None:
    """Import the SDK that a session with this configuration will speak through."""
    sdk = "anthropic" if wire_name(config) == "messages" else "openai"
    module = f"agent_core.providers.{sdk}_sdk"
    if module not in sys.modules:
        await asyncio.to_thread(import_module, module)
