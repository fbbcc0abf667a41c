"""Taking results out of a run that is not under way, so that their samples are run when it is resumed.

The rule here: every other line stays as it is, and what cannot be done leaves the file untouched.
"""

from agent_core.errors import ConfigError
from agent_core.evaluation.result import decode_head
from agent_core.evaluation.results_file import Places, ResultsFile
from agent_core.evaluation.run import Requeue


def requeue(places: Places, chosen: Requeue) -> int:
    """Take the chosen results out: how many. Raises ConfigError if there are none to take from, OSError."""
    if not places.kept:
        raise ConfigError(f"{places.results}: there are no results. Name what --out named.")
    with ResultsFile(places, "append") as results:
        results.cut_torn()
        return results.without(lambda line: chosen.has(decode_head(line)))
