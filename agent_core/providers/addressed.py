"""Requests to `local/...` models are given the address at which the model is served now.

The rule here: the address is looked up for each request and never written into a session, since a server that is
started again has another.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from agent_core.ports import Model, ModelEvent, ModelRequest


class AddressedModel:
    """Implements `Model` over another one."""

    def __init__(self, model: Model, local_url: Callable[[], Awaitable[str]]) -> None:
        self._model, self._local_url = model, local_url

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if request.config.provider != "local" or request.config.base_url is not None:
            return self._model.stream(request)
        return self._addressed(request)

    async def _addressed(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        config = request.config.model_copy(update={"base_url": await self._local_url()})
        async with aclosing(self._model.stream(replace(request, config=config))) as events:
            async for event in events:
                yield event
