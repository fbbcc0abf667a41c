"""What is measured of a journal's writes.

The rule here: a refusal of an old owner's write is counted as one, and is no failure of the journal.
"""

from collections.abc import Sequence

from agent_core.errors import RayconteurError
from agent_core.metering import instruments as what
from agent_core.metering.ledger import Meter, Names

_KINDS = 20


class JournalMeter:
    """Is told of each batch of writes; see `Batcher.watch`. `at` says on which side of the journal's actor it is."""

    def __init__(self, meter: Meter, at: str) -> None:
        self._meter, self._at = meter, at
        self._kinds = Names(_KINDS)
        for kind in ("Fenced", "unreachable", "io"):
            meter.begin(what.JOURNAL_REFUSALS, at, self._kinds.of(kind))

    def __call__(self, answers: Sequence[object], seconds: float) -> None:
        self._meter.observe(what.JOURNAL_SECONDS, seconds, self._at)
        self._meter.observe(what.JOURNAL_BATCH, len(answers), self._at)
        for answer in answers:
            if isinstance(answer, RayconteurError):
                self._meter.add(what.JOURNAL_REFUSALS, 1, self._at, self._kinds.of(answer.kind))
