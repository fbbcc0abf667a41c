"""The model call of a session that is under way: made, listened to, and cancelled.

The rule here: every call ends in the machine's ears, by its last event or by a failure, whatever the model does.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from agent_core import inputs
from agent_core.errors import ProviderError, RayconteurError
from agent_core.observing import CallObserver, Observer
from agent_core.ports import Model, ModelRequest
from agent_core.session_log import SessionLog


class ModelCalls:
    """Makes the calls of one session and hands what comes of them to `feed`."""

    __slots__ = ("_feed", "_model", "_observer", "_task")

    def __init__(
        self,
        model: Model,
        feed: Callable[[inputs.FromModel | inputs.ModelFailed], object],
        observer: Observer,
    ) -> None:
        self._model, self._feed, self._observer = model, feed, observer
        self._task: asyncio.Task[None] | None = None

    def start(self, call: int, request: ModelRequest) -> None:
        """Make the call."""
        log = SessionLog(request.session_id)
        log.asked(request)
        watch = self._observer.model_called(request)
        self._task = asyncio.get_running_loop().create_task(self._run(call, request, log, watch))
        # A task that is cancelled before it began has no code of its own to say so.
        self._task.add_done_callback(lambda ended: watch.cancelled() if ended.cancelled() else None)
        self._task.add_done_callback(self._forget)

    def cancel(self) -> None:
        """Stop the call under way."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _forget(self, ended: asyncio.Task[None]) -> None:
        # The next call may have begun in the ears of this one.
        if self._task is ended:
            self._task = None

    async def _run(self, call: int, request: ModelRequest, log: SessionLog, watch: CallObserver) -> None:
        failure = ProviderError("The answer ended before it was whole. Try again.", "cut_short")
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    watch.heard(event)
                    self._feed(inputs.FromModel(call, event))
        except ProviderError as error:
            failure = error
        except RayconteurError as error:
            failure = ProviderError(error.message, "bad_request")
        except Exception as error:  # noqa: BLE001 - the boundary to whatever model it was given
            # A model that breaks its contract must not leave the turn open for ever.
            log.broken("model", error, request.turn_id)
            failure = ProviderError(f"The model failed ({type(error).__name__}). See the log, then retry.", "server")
        watch.failed(failure)
        self._feed(inputs.ModelFailed(call, failure))
