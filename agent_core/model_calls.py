"""The model call of a session that is under way: made, listened to, and cancelled.

The rule here: every call ends in the machine's ears, by its last event or by a failure, whatever the model does.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from agent_core import inputs
from agent_core.errors import ProviderError, RayconteurError
from agent_core.ports import Model, ModelRequest
from agent_core.session_log import SessionLog


class ModelCalls:
    """Makes the calls of one session and hands what comes of them to `feed`."""

    __slots__ = ("_feed", "_model", "_task")

    def __init__(self, model: Model, feed: Callable[[inputs.FromModel | inputs.ModelFailed], object]) -> None:
        self._model, self._feed = model, feed
        self._task: asyncio.Task[None] | None = None

    def start(self, call: int, request: ModelRequest) -> None:
        """Make the call."""
        log = SessionLog(request.session_id)
        log.asked(request)
        self._task = asyncio.get_running_loop().create_task(self._run(call, request, log))
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

    async def _run(self, call: int, request: ModelRequest, log: SessionLog) -> None:
        failure = ProviderError("The answer ended before it was whole. Try again.", "cut_short")
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    self._feed(inputs.FromModel(call, event))
        except ProviderError as error:
            failure = error
        except RayconteurError as error:
            failure = ProviderError(error.message, "bad_request")
        except Exception as error:  # noqa: BLE001 - the boundary to whatever model it was given
            # A model that breaks its contract must not leave the turn open for ever.
            log.broken("model", error, request.turn_id)
            failure = ProviderError(f"The model failed ({type(error).__name__}). See the log, then retry.", "server")
        self._feed(inputs.ModelFailed(call, failure))
