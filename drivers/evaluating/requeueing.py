"""Taking results out of a run that is not under way, so that their samples are run when it is resumed.

The rule here: every other line stays as it is, and what cannot be done leaves the file untouched. A log beside the
results says what they say.
"""

from agent_core.errors import ConfigError
from agent_core.evaluation.result import ResultHead, decode_head
from agent_core.evaluation.results_file import Places, ResultsFile
from agent_core.evaluation.resume import heads
from agent_core.evaluation.run import Requeue


def requeue(places: Places, chosen: Requeue) -> int:
    """Take the chosen results out: how many. Raises ConfigError if there are none to take from, OSError."""
    if not places.kept:
        raise ConfigError(f"{places.shown()}: there are no results. Name what --out named.")
    record = places.read_record()

    def has(head: ResultHead) -> bool:
        return chosen.has(head) and (record is None or record.counts(head.id, head.epoch))

    with ResultsFile(places, "append") as results:
        # A file of another kind has to be seen before its last line is taken for a torn one.
        found = {(head.id, head.epoch) for head in heads(results.lines(), name=str(places.results)) if has(head)}
        if chosen.ids is not None and (strange := chosen.ids - {sample_id for sample_id, _ in found}):
            raise ConfigError(_not_there(places, chosen, min(strange)))
        if not found:
            return 0
        results.cut_torn()
        dropped = results.without(lambda line: has(decode_head(line)))
        if places.log.is_file():
            _take_out_of_log(places, found)
    return dropped


def _not_there(places: Places, chosen: Requeue, sample_id: str) -> str:
    ended = "" if chosen.outcomes is None else f" that ended as {' or '.join(sorted(chosen.outcomes))}"
    return f"--ids: {places.results} has no result of a sample '{sample_id[:80]}'{ended}. Mend it or leave it out."


def _take_out_of_log(places: Places, dropped: set[tuple[str, int]]) -> None:
    from agent_core.evaluation.logs.closing import Ending
    from agent_core.evaluation.logs.log import EvalLog
    from agent_core.evaluation.logs.log_file import LogFile

    with LogFile(places.log) as old:
        start = old.start
    with EvalLog(places.log, start) as log:
        for sample_id, epoch in sorted(dropped):
            log.discard(sample_id, epoch)
        log.finish(Ending(status="cancelled"))
