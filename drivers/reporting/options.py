"""What a report is asked to hold.

The rule here: the defaults make a file that can be sent by mail and opened on a small machine.
"""

from dataclasses import dataclass

PASSING = 500
MEGABYTES = 48.0
LISTED = 50_000


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Bounds of a report.

    `passing` transcripts that nothing is wrong with are embedded at most, spread evenly over the run; `megabytes`
    bounds all transcripts together, as they lie in the file. `listed` results are listed at most. `group_by` names
    fields of the metadata to group by; empty means those of the run's record, or those that look like groups.
    """

    passing: int = PASSING
    megabytes: float = MEGABYTES
    listed: int = LISTED
    group_by: tuple[str, ...] = ()
