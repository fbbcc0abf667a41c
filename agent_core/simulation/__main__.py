"""`python -m agent_core.simulation --seed N --schedules M`: play schedules; a failure names its seed.

The rule here: the seed of the first schedule is all that is needed to see the same again.
"""

import argparse
import logging
import sys
import time
import traceback

from agent_core.simulation.loop import Deadlock
from agent_core.simulation.rules import RuleBroken
from agent_core.simulation.schedule import play


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of schedules: give 1 or more")
    return int(text)


def main() -> int:
    """Play schedules one after the other. Returns the exit code: 1 if a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m agent_core.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first schedule (default 1)")
    parser.add_argument("--schedules", type=_count, default=200, help="how many, with consecutive seeds (default 200)")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    start, entries, requests, runs = time.perf_counter(), 0, 0, 0
    for seed in range(options.seed, options.seed + options.schedules):
        try:
            outcome = play(seed)
        except KeyboardInterrupt:
            sys.stderr.write(f"interrupted at seed {seed}\n")
            return 130
        except (RuleBroken, Deadlock) as error:
            traceback.print_exc()
            _say(f"seed {seed}: {error}\nSee it again: make simulate SEED={seed} ARGS='--schedules 1'")
            return 1
        entries, requests, runs = entries + outcome.entries, requests + outcome.requests, runs + outcome.tool_runs
    seconds = time.perf_counter() - start
    _say(
        f"{options.schedules} schedules from seed {options.seed} held every rule: {entries} entries, {requests} model"
        f" requests, {runs} tool runs in {seconds:.1f} s ({60 * options.schedules / seconds:.0f} schedules a minute)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
