"""What is measured of one model call: its attempts, the first that it says, its tokens and what they cost.

The rule here: each attempt is counted once, when it is over, and what an answer took is counted however it ended.
"""

from collections.abc import Callable

from agent_core.errors import TRANSIENT, ProviderError, RayconteurError
from agent_core.messages import Usage
from agent_core.metering import instruments as what
from agent_core.metering.ledger import Meter, Names
from agent_core.models import cost
from agent_core.ports import (
    ModelEvent,
    PermitWait,
    ResponseStopped,
    RetryScheduled,
    TextDelta,
    ThinkingDelta,
    ToolUseDelta,
    UsageUpdate,
)

_MODELS = 50
_SAID = frozenset({TextDelta, ThinkingDelta, ToolUseDelta})
_NOTHING = Usage()
_TOO_MANY = 429


class Models:
    """The models of a process as tags: `provider` and `model`, with a bound on how many there are."""

    def __init__(self, begin: Callable[[tuple[str, str]], None]) -> None:
        self._begin = begin
        self._names = Names(_MODELS)
        self._known: dict[str, tuple[str, str]] = {}

    def of(self, model: str) -> tuple[str, str]:
        """The tags of `provider/name`. The first time, its counters begin."""
        tags = self._known.get(model)
        if tags is None:
            provider, _, name = model.partition("/")
            tags = (provider, self._names.of(name))
            if tags[1] == name:
                self._known[model] = tags
                self._begin(tags)
        return tags


def begin_calls(meter: Meter, tags: tuple[str, str]) -> None:
    """Begin the counters of a model's calls that alerts look at."""
    meter.begin(what.REQUESTS, *tags, "2xx", "ok")
    meter.begin(what.REQUESTS, *tags, "429", "rate_limit")
    for kind in sorted(TRANSIENT):
        meter.begin(what.RETRIES, *tags, kind)


def bill(meter: Meter, model: str, tags: tuple[str, str], usage: Usage, purpose: str) -> None:
    """Count the tokens of a request and what they cost."""
    if usage == _NOTHING:
        return
    for direction, tokens in (
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cache_read", usage.cache_read_tokens),
        ("cache_write", usage.cache_write_tokens),
        ("saved", usage.saved_tokens),
    ):
        if tokens:
            meter.add(what.TOKENS, tokens, *tags, direction, purpose)
    if usage.saved_tokens:
        return
    dollars = cost(model, usage)
    if dollars is None:
        meter.add(what.UNPRICED, 1, *tags)
    elif dollars:
        meter.add(what.COST, dollars, *tags, purpose)


class CallMeter:
    """Implements `CallObserver` for one call of `model`, which has these tags."""

    __slots__ = ("_begun", "_held", "_meter", "_model", "_now", "_spoke", "_tags", "_usage")

    def __init__(self, meter: Meter, now: Callable[[], float], model: str, tags: tuple[str, str]) -> None:
        self._meter, self._now, self._model, self._tags = meter, now, model, tags
        self._begun = self._held = now()
        self._spoke = False
        self._usage = _NOTHING

    def heard(self, event: ModelEvent) -> None:
        if type(event) in _SAID:
            if not self._spoke:
                self._spoke = True
                self._meter.observe(what.FIRST_TOKEN, self._now() - self._begun, *self._tags)
            return
        match event:
            case UsageUpdate():
                self._usage = event.usage
            case PermitWait(waiting=True):
                self._held = self._now()
            case PermitWait():
                self._meter.observe(what.QUEUE_SECONDS, self._now() - self._held, "permit")
            case RetryScheduled():
                self._over(*_status(event.error))
                self._meter.add(what.RETRIES, 1, *self._tags, event.error.kind)
            case ResponseStopped():
                # An answer out of the response cache was no request.
                if not self._usage.saved_tokens:
                    self._over("2xx", "ok")
                self._bill()
            case _:
                pass

    def failed(self, failure: ProviderError) -> None:
        self._over(*_status(failure))
        self._bill()

    def cancelled(self) -> None:
        self._over("none", "cancelled")
        self._bill()

    def _over(self, status: str, kind: str) -> None:
        self._meter.add(what.REQUESTS, 1, *self._tags, status, kind)

    def _bill(self) -> None:
        bill(self._meter, self._model, self._tags, self._usage, "turn")


def _status(error: RayconteurError) -> tuple[str, str]:
    """The class of the status, 429 by itself, and the kind of the error."""
    status = error.status if isinstance(error, ProviderError) else None
    told = "none" if status is None else "429" if status == _TOO_MANY else f"{status // 100}xx"
    return told, error.kind
