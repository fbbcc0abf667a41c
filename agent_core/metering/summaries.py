"""The requests of summarisers, measured where they are made: apart from any session, often in another process.

The rule here: attempts alone. What a summary took and cost is a fact of its session, and counted there.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from agent_core.errors import ProviderError
from agent_core.metering.calls import CallMeter, Models, begin_calls
from agent_core.metering.ledger import Meter
from agent_core.ports import Model, ModelEvent, ModelRequest, PermitWait, ResponseStopped, RetryScheduled


class _Attempts(CallMeter):
    """Counts attempts and nothing else."""

    __slots__ = ()

    def heard(self, event: ModelEvent) -> None:
        if isinstance(event, RetryScheduled | ResponseStopped | PermitWait):
            super().heard(event)

    def _bill(self) -> None:
        """The session does."""


class MeteredModel:
    """A model whose attempts are counted. `now` gives seconds that only grow."""

    def __init__(self, model: Model, meter: Meter, now: Callable[[], float]) -> None:
        self._model, self._meter, self._now = model, meter, now
        self._models = Models(lambda tags: begin_calls(meter, tags))

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See `Model.stream`."""
        model = request.config.model
        watch = _Attempts(self._meter, self._now, model, self._models.of(model))
        over = False
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    watch.heard(event)
                    over = over or isinstance(event, ResponseStopped)
                    yield event
        except ProviderError as error:
            over = True
            watch.failed(error)
            raise
        finally:
            if not over:
                watch.cancelled()
