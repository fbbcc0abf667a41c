"""The door to all providers: one `Model` that speaks each session's wire.

The rule here: a process has one of these, and with it one client for each provider, key and URL and one limit on
requests.
"""

from collections.abc import AsyncGenerator
from random import Random

from agent_core.config import SessionConfig
from agent_core.config import Wire as WireName
from agent_core.ports import Clock, ModelEvent, ModelRequest
from agent_core.providers.anthropic_messages import AnthropicMessages
from agent_core.providers.clients import Clients
from agent_core.providers.exchange import Exchanges
from agent_core.providers.openai_chat import OpenAIChat
from agent_core.providers.openai_responses import OpenAIResponses
from agent_core.providers.permit import LocalPermit
from agent_core.providers.retry import RetryingModel
from agent_core.providers.wire import Wire

_USUAL: dict[str, WireName] = {"anthropic": "messages", "openai": "responses", "local": "chat"}


class ProviderModel:
    """A `Model` that makes each request once, on the wire of its configuration."""

    def __init__(self, clock: Clock) -> None:
        self._exchanges = Exchanges(Clients(), clock)
        self._wires: dict[WireName, Wire] = {
            "messages": AnthropicMessages(),
            "responses": OpenAIResponses(),
            "chat": OpenAIChat(),
        }

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See `Model.stream`. Raises ConfigError too: for a missing key, or a setting that the model cannot have."""
        return self._exchanges.perform(self._wires[wire_name(request.config)], request)

    async def aclose(self) -> None:
        """Close the connections that were opened on this event loop."""
        await self._exchanges.clients.aclose_all()


def wire_name(config: SessionConfig) -> WireName:
    """The wire of a session: its own choice, else the provider's usual one."""
    return config.wire or _USUAL[config.provider]


def build_model(max_concurrent_requests: int, clock: Clock, random: Random) -> RetryingModel:
    """The whole stack: permit, retries, wires, clients. `aclose` it on the event loop that used it."""
    return RetryingModel(ProviderModel(clock), LocalPermit(max_concurrent_requests), clock, random)
