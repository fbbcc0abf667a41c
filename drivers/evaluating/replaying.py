"""`evaluate replay`: runs again what a run asked, with something changed, and compares the two sample by sample.

The rule here: the samples are the same, so that every difference is one of what was changed.
"""

import os
import shlex
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path

from agent_core.errors import ConfigError
from agent_core.evaluation.results_file import Places
from drivers.evaluating.command_line import OUT, Options
from drivers.evaluating.resuming import ABOUT_EARLIER, Again, command_of, whole


async def replay(base: str, more: Sequence[str], options: Options, again: Again) -> int:
    """Run it again, then print the comparison. Raises ConfigError for what is no run that was recorded."""
    places = Places.of(base)
    if not places.results.exists():
        raise ConfigError(
            f"{base}: there is no run there. Replay what --out of a run named; recorded sessions become one with"
            " `sessions export --as-dataset` and `evaluate run`."
        )
    given = options.given(more)
    if not given.keys() - {OUT}:
        raise ConfigError("Say what is to be different: --model, --system, --compaction or any other option of `run`.")
    if "--detach" in given:
        raise ConfigError(
            "--detach: a replay compares the two runs when its own is over. Leave it out, or replay it by hand:"
            " `evaluate run --detach`, then `evaluate compare`."
        )
    old = whole(base)
    new = whole(given.get(OUT) or f"{base.rstrip(os.sep)}-replay-{time.strftime('%Y%m%d-%H%M%S')}{os.sep}")
    more = options.anchored(more, Path.cwd())
    # How that run came by its results says nothing of this one.
    command = options.without(command_of(places, base), {*given, *ABOUT_EARLIER, OUT})
    command += [*options.without(more, {OUT}), OUT, new]
    ended = again(command)
    code = await ended if isinstance(ended, Coroutine) else int(ended or 0)
    if code <= 1:
        _compare(old, new, as_json="--json" in options.given(command))
    return code


def _compare(old: str, new: str, *, as_json: bool) -> None:
    """Print how the new run compares with the old one, if the two can be compared."""
    by_hand = shlex.join(["python", "-m", "drivers.evaluate", "compare", old, new])
    if as_json:
        # Standard output holds one JSON object, which is that of the run.
        print(f"To compare the two: {by_hand} --json", file=sys.stderr)
        return
    from agent_core.evaluation.statistics.comparing import compare
    from drivers.evaluating.comparison_text import show
    from drivers.evaluating.results_reading import collect

    try:
        runs = collect(old), collect(new)
        if not (runs[0].scorers and runs[1].scorers):
            print("Neither is compared: there are no scores. Name what judges the answers: --scorer.", file=sys.stderr)
            return
        comparison = compare(*runs)
    except ConfigError as error:
        print(f"Not compared: {error} Then: {by_hand}", file=sys.stderr)
        return
    show(comparison, runs, flips=10, by="")
