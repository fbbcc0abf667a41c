"""One request for a summary: asked, asked again after a transient error, and looked at before anyone takes it.

The rule here: what is no summary never leaves as one, and what was spent on it is counted all the same.
"""

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from random import Random

from agent_core.errors import ErrorInfo, ProviderError
from agent_core.messages import StopReason, Usage
from agent_core.ports import (
    Clock,
    Model,
    ModelRequest,
    ResponseStopped,
    RetryScheduled,
    TextDelta,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.providers.deadline import Deadline
from agent_core.providers.retry import RetryPolicy

_ANOTHER = "Name another model for it with compaction.model."


class Unusable(Exception):
    """An answer that is no summary, or a job that none can be made of."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.info = ErrorInfo(boundary="provider", kind=kind, message=message)


class TooLong(Exception):
    """The request did not fit in the window. `window` is what the provider says of it, in tokens."""

    def __init__(self, window: int | None = None) -> None:
        super().__init__(window)
        self.window = window


class CutOff(Exception):
    """The summary was longer than it may be."""


@dataclass(slots=True)
class Asking:
    """The requests of one job, with what they cost so far and the last error that was tried again."""

    model: Model
    clock: Clock
    policy: RetryPolicy
    random: Random
    deadline: Deadline
    usage: Usage = Usage()
    last_error: str = ""

    async def summary(self, request: ModelRequest) -> str:
        """What the model wrote. Raises TooLong, CutOff, Unusable, and RayconteurError when it cannot be had."""
        answer = await self._answer(request)
        if answer.stop == "refusal":
            raise Unusable("refused", f"The summariser's model refused to write the summary. {_ANOTHER}")
        if answer.called or answer.stop == "tool_use":
            raise Unusable("tool_call", f"The summariser's model called a tool in place of a summary. {_ANOTHER}")
        if answer.stop == "context_exceeded":
            raise TooLong
        if answer.stop == "max_tokens":
            raise CutOff
        if answer.stop not in ("end_turn", "stop_sequence"):
            raise Unusable("unfinished", f"The summary ended before it was whole ({answer.stop}). {_ANOTHER}")
        if not (text := answer.text):
            raise Unusable("empty", f"The summariser's model gave an empty summary. {_ANOTHER}")
        return text

    async def _answer(self, request: ModelRequest) -> "_Answer":
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._ask(request)
            except ProviderError as error:
                if error.kind == "context_too_long":
                    raise TooLong(error.context_limit) from None
                self.last_error = error.message
                delay = self.policy.delay(attempt, error.retry_after, self.random)
                if not error.retryable or attempt >= self.policy.max_attempts or delay >= self.deadline.left:
                    raise
            await self.clock.sleep(delay)

    async def _ask(self, request: ModelRequest) -> "_Answer":
        answer, spent = _Answer(), Usage()
        try:
            async with aclosing(self.model.stream(self._timed(request))) as events:
                async for event in events:
                    match event:
                        case TextDelta():
                            answer.blocks.setdefault(event.index, []).append(event.text)
                        case ToolUseDelta():
                            answer.called = True
                        case UsageUpdate():
                            spent = event.usage
                        case ResponseStopped():
                            answer.stop = event.stop_reason
                        case RetryScheduled():
                            self.last_error = event.error.message
                        case _:
                            pass
        finally:
            self.usage += spent
        return answer

    def _timed(self, request: ModelRequest) -> ModelRequest:
        # A configuration's timeout is above 0; that the time is over is the deadline's to say.
        left = max(self.deadline.left, 0.001)
        return replace(request, config=request.config.model_copy(update={"timeout": left}))


@dataclass(slots=True)
class _Answer:
    """What the model said."""

    blocks: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    called: bool = False
    stop: StopReason | None = None

    @property
    def text(self) -> str:
        return "\n".join("".join(deltas) for deltas in self.blocks.values()).strip()
