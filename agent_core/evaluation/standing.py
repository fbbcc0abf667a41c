"""Where a run stands, as its coordinator tells whoever asks.

The rule here: it takes the same room however large the run is.
"""

from typing import Literal

from agent_core.errors import ErrorInfo
from agent_core.evaluation.summary import Summary
from agent_core.frozen import Frozen

RunState = Literal["running", "paused", "stopping"]


class OpenSample(Frozen):
    """A sample that is under way. `seconds` is since it was handed out."""

    id: str
    epoch: int
    seconds: float
    worker: str


class RunStatus(Frozen):
    """One moment of a run. `seconds` is since its coordinator began; requests that were made again are `retried`.

    `rate_limited` of them met status 429. `slowest` are the samples that have been under way the longest. `waits_for`
    is what keeps workers from beginning, if anything does.
    """

    run_id: str
    state: RunState
    reason: str = ""
    summary: Summary
    open: int = 0
    workers: int = 0
    seconds: float = 0.0
    retried: int = 0
    rate_limited: int = 0
    slowest: tuple[OpenSample, ...] = ()
    waits_for: str = ""
    failure: ErrorInfo | None = None
