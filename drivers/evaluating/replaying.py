"""`evaluate replay`: runs again what a run asked, with something changed, and compares the two sample by sample.

The rule here: the samples are the same, so that every difference is one of what was changed.
"""

import os
import sys
import time
from collections.abc import Coroutine, Sequence

from agent_core.errors import ConfigError
from agent_core.evaluation.results_file import Places
from drivers.evaluating.resuming import Again, command_of, whole


async def replay(base: str, out: str | None, more: Sequence[str], again: Again) -> int:
    """Run it again into `out`, then print the comparison. Raises ConfigError for what is no run that was recorded."""
    places = Places.of(base)
    if not places.results.exists():
        raise ConfigError(
            f"{base}: there is no run there. Replay what --out of a run named; recorded sessions become one with"
            " `sessions export --as-dataset` and `evaluate run`."
        )
    if not more:
        raise ConfigError("Say what is to be different: --model, --system, --compaction or any other option of `run`.")
    old = whole(base)
    new = whole(out or f"{base.rstrip(os.sep)}-replay-{time.strftime('%Y%m%d-%H%M%S')}{os.sep}")
    command = command_of(places, base)
    ended = again([*_without(command, more), *more, "--out", new])
    code = await ended if isinstance(ended, Coroutine) else int(ended or 0)
    if code > 1:
        return code
    from agent_core.evaluation.statistics.comparing import compare
    from drivers.evaluating.comparison_text import show
    from drivers.evaluating.results_reading import collect

    runs = collect(old), collect(new)
    if not (runs[0].scorers and runs[1].scorers):
        print("Neither is compared: there are no scores. Name what judges the answers: --scorer.", file=sys.stderr)
        return code
    show(compare(*runs), runs, flips=10, by="")
    return code


def _without(command: Sequence[str], more: Sequence[str]) -> list[str]:
    """The command without the options that are given anew."""
    given = {argument.split("=")[0] for argument in more if argument.startswith("-")}
    same: list[set[str]] = [{"-m", "--model"}, {"-s", "--system"}, {"-c", "--concurrency"}, {"-n", "--limit"}]
    for names in same:
        if given & names:
            given |= names
    kept: list[str] = []
    skip = False
    for argument in command:
        if skip and not argument.startswith("--"):
            skip = False
            continue
        skip = False
        if argument.startswith("-") and argument.split("=")[0] in given:
            skip = "=" not in argument
            continue
        kept.append(argument)
    return kept
