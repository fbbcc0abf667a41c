"""Importing an SDK before the first request needs it.

The rule here: nothing waits for it but the first request.
"""

from agent_core.config import SessionConfig
from agent_core.providers.clients import prepare
from agent_core.providers.dispatch import wire_name


async def preload(config: SessionConfig) -> None:
    """Import the SDK that a session with this configuration will speak through."""
    await prepare("anthropic" if wire_name(config) == "messages" else "openai")
