"""Runs that are under way, asked and told from another terminal or another machine of the cluster.

The rule here: a run is named by where its results are, or by its id on a cluster. One that is not under way is told
apart from one that cannot be reached, and what to do is said in both cases.
"""

import os
import re
import socket
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from agent_core.errors import ConfigError, PlacementError
from agent_core.evaluation.live import Live
from agent_core.evaluation.result import OUTCOMES, SampleOutcome
from agent_core.evaluation.results_file import Places
from agent_core.evaluation.run import Requeue, Running
from agent_core.evaluation.standing import RunStatus
from drivers.evaluating.showing import duration, short
from drivers.evaluating.task_options import SampleOptions

OutArgument = Annotated[
    str, typer.Argument(metavar="OUT|RUN", help="What --out named, or the id of a run on the cluster.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="ADDRESS", help="The Ray cluster that the run is on, if OUT does not say.",
        show_default=False,
    ),
]  # fmt: skip
# What may be the id of a run, which is no place.
_ID = re.compile(r"[A-Za-z0-9_-]+")
# What another attempt may end better, by default.
AGAIN: tuple[SampleOutcome, ...] = ("infrastructure_failed", "cancelled")


def pause_command(out: OutArgument, address: AddressOption = None) -> Coroutine[Any, Any, int]:
    """Begin no more samples; those under way go on to their end. `resume` goes on."""
    return _tell(out, address, "pause", "paused: samples under way go on to their end")


def cancel_command(out: OutArgument, address: AddressOption = None) -> Coroutine[Any, Any, int]:
    """End a run: samples under way end as cancelled, and everything that is finished is kept."""
    return _tell(out, address, "stop", "stopping: samples under way are ended as cancelled")


def requeue_command(
    out: OutArgument,
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            "--outcome", metavar="OUTCOME", show_default=False,
            help="Samples that ended so; again for more (infrastructure_failed and cancelled without it).",
        ),
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option(
            "--ids", metavar="ID,...|@FILE", help="Only these samples; a file has one id a line.", show_default=False
        ),
    ] = None,
    address: AddressOption = None,
) -> Coroutine[Any, Any, int]:  # fmt: skip
    """Have samples run again, whatever came of them: at once if the run is under way, else when it is resumed."""
    wanted = outcome or list(AGAIN)
    for name in wanted:
        if name not in OUTCOMES or name == "missing":
            known = ", ".join(each for each in OUTCOMES if each != "missing")
            raise ConfigError(f"--outcome {name}: no sample ends so. They end as {known}.")
    named = SampleOptions(ids=ids).selection().ids
    # Whoever names samples means them, however they ended.
    outcomes = frozenset(cast("list[SampleOutcome]", wanted)) if outcome or named is None else None
    return _requeue(out, address, Requeue(outcomes=outcomes, ids=named))


async def _tell(out: str, address: str | None, word: str, said: str) -> int:
    async with reached(out, address) as running:
        if running is None:
            raise _not_under_way(out)
        status = await running.command(word)
    print(f"{status.run_id if status else out}: {said}")
    return 0


async def _requeue(out: str, address: str | None, chosen: Requeue) -> int:
    async with reached(out, address) as running:
        if running is not None:
            print(f"{await running.requeue(chosen):,} samples run again")
            return 0
    from drivers.evaluating.requeueing import requeue

    count = requeue(Places.of(out), chosen)
    if not count:
        ended = " or ".join(sorted(chosen.outcomes or ()))
        print(f"no sample ended as {ended or 'anything'}: nothing was taken out. For others: --outcome OUTCOME")
        return 0
    print(f"{count:,} results taken out; to run these samples: python -m drivers.evaluate resume {out}")
    return 0


@asynccontextmanager
async def reached(out: str, address: str | None = None, *, only_looks: bool = False) -> AsyncGenerator[Running | None]:
    """The run while it is under way, None if it is not, or cannot be spoken to by one who only looks.

    Raises ConfigError for one in a process that nobody can speak to, PlacementError if a cluster cannot be reached.
    """
    if address is None and is_over(out):
        yield None
        return
    live = Live.read(Places.of(out).live)
    if live is not None and live.address is None and address is None:
        if only_looks or _is_gone(live):
            yield None
            return
        raise ConfigError(
            f"The run {live.run_id} is inside process {live.pid} on {live.host}, which takes no orders. Stop it there"
            " with Ctrl-C; runs without --in-process can be paused and cancelled from anywhere."
        )
    from actors.evaluations import runs_on

    wanted = live.run_id if live is not None else out
    try:
        async with runs_on(address or (live.address if live else None)) as runs:
            yield next((run.handle for run in runs if run.run_id == wanted), None)
    except PlacementError:
        if address is not None:
            raise
        if live is None:
            raise ConfigError(
                f"{out}: there are no results of that name here, and no cluster is found that has a run of that id."
                " Name what --out named, or the cluster of the run: --address ADDRESS."
            ) from None
        # Its cluster is gone, and the run with it.
        yield None


def is_over(out: str) -> bool:
    """Whether `out` names results of a run that is not under way, as far as is known without asking a cluster."""
    places = Places.of(out)
    if Live.read(places.live) is not None:
        return False
    # Otherwise it is an id, of a run on a cluster that is found as the other programs find it.
    return places.stdout or places.results.exists() or Path(out).is_dir() or not _ID.fullmatch(out)


def _is_gone(live: Live) -> bool:
    if live.host != socket.gethostname():
        return False
    try:
        os.kill(live.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _not_under_way(out: str) -> ConfigError:
    return ConfigError(
        f"{out}: this run is not under way. See how it stands with: python -m drivers.evaluate status {out}"
    )


def standing_lines(status: RunStatus) -> list[str]:
    """What a status says beside the figures."""
    state = status.state + (f": {status.reason}" if status.reason else "")
    workers = f"{status.workers} {'workers' if status.workers != 1 else 'worker'}"
    lines = [f"{status.run_id} is {state}, for {duration(status.seconds)}: {status.open:,} samples with {workers}"]
    if status.waits_for:
        lines.append(f"waits: {status.waits_for}")
    if status.rate_limited or status.retried:
        lines.append(f"requests made again: {status.retried:,}, of them {status.rate_limited:,} for their rate (429)")
    lines += [
        f"slowest: {short(sample.id)} (epoch {sample.epoch}) for {duration(sample.seconds)}"
        for sample in status.slowest
    ]
    return lines
