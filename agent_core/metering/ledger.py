"""The ledger: measurements of one process, added up until somebody fetches them.

The rule here: measuring is an addition to a dictionary. What costs more is done by whoever drains the ledger, once in
a while for everything that was added meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent_core.metering.instruments import Instrument

OTHER = "other"
Series = tuple[Instrument, tuple[str, ...]]


class Meter(Protocol):
    """Takes measurements. `tags` are values of the instrument's tags, in their order."""

    def begin(self, instrument: Instrument, *tags: str) -> None:
        """There will be such a counter: it starts at zero, so that its first increase can be seen."""
        ...

    def add(self, instrument: Instrument, amount: float, *tags: str) -> None:
        """Count more."""
        ...

    def observe(self, instrument: Instrument, value: float, *tags: str) -> None:
        """Put a value into a histogram."""
        ...

    def set(self, instrument: Instrument, value: float, *tags: str) -> None:
        """Set a gauge."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured since the last time: increases of a counter, values of a histogram, or a gauge's last value."""

    instrument: Instrument
    tags: tuple[str, ...]
    values: Sequence[float]

    @property
    def labels(self) -> dict[str, str]:
        """The tags by their names."""
        return dict(zip(self.instrument.tags, self.tags, strict=True))


@dataclass(slots=True)
class Ledger:
    """Implements `Meter`. Used from one event loop, except for `totals`."""

    _totals: dict[Series, float] = field(default_factory=dict[Series, float])
    _counts: dict[Series, int] = field(default_factory=dict[Series, int])
    _added: dict[Series, float] = field(default_factory=dict[Series, float])
    _observed: dict[Series, list[float]] = field(default_factory=dict[Series, list[float]])

    def begin(self, instrument: Instrument, *tags: str) -> None:
        series = (instrument, tags)
        if series not in self._totals:
            self._totals[series] = self._added[series] = 0.0

    def add(self, instrument: Instrument, amount: float, *tags: str) -> None:
        series = (instrument, tags)
        self._totals[series] = self._totals.get(series, 0.0) + amount
        self._added[series] = self._added.get(series, 0.0) + amount

    def observe(self, instrument: Instrument, value: float, *tags: str) -> None:
        series = (instrument, tags)
        self._totals[series] = self._totals.get(series, 0.0) + value
        self._counts[series] = self._counts.get(series, 0) + 1
        self._observed.setdefault(series, []).append(value)

    def set(self, instrument: Instrument, value: float, *tags: str) -> None:
        self._totals[instrument, tags] = self._added[instrument, tags] = value

    def drain(self) -> list[Measured]:
        """What was measured since the last time."""
        added, self._added = self._added, {}
        observed, self._observed = self._observed, {}
        return [
            *(Measured(instrument, tags, (amount,)) for (instrument, tags), amount in added.items()),
            *(Measured(instrument, tags, values) for (instrument, tags), values in observed.items()),
        ]

    def totals(self) -> dict[str, float]:
        """Everything that this process has measured, as `name{tag=value,...}`; any thread may ask.

        A counter's total, a gauge's value; of a histogram, the sum as `name_sum` and how many as `name_count`.
        """
        found: dict[str, float] = {}
        counts = self._counts.copy()
        for (instrument, tags), total in self._totals.copy().items():
            told = ",".join(f"{key}={value}" for key, value in zip(instrument.tags, tags, strict=True))
            labels = f"{{{told}}}" if told else ""
            if instrument.kind == "histogram":
                found[f"{instrument.name}_sum{labels}"] = total
                found[f"{instrument.name}_count{labels}"] = counts.get((instrument, tags), 0)
            else:
                found[f"{instrument.name}{labels}"] = total
        return found


class Names:
    """Distinct values of a tag, as many as `most`: what comes later is `other`."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        """The name as a tag."""
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name
