"""Running a job: the runtime, the signals, and what is shown meanwhile.

The rule here: the first Ctrl-C stops taking samples, ends those under way and keeps everything that was finished; the
second one leaves at once. Whatever ends the run, the summary counts every sample and says how to go on.
"""

import asyncio
import importlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from agent_core.entries import Opened
from agent_core.errors import ConfigError
from agent_core.evaluation.coordinator import CoordinatorPlan
from agent_core.evaluation.live import Live
from agent_core.evaluation.logs.sample import Asked
from agent_core.evaluation.mirror import TAKEN, kept_up
from agent_core.evaluation.results_file import Places
from agent_core.evaluation.run import Running, RunOrder
from agent_core.evaluation.runner import Plan
from agent_core.evaluation.summary import Summary
from agent_core.evaluation.worker import WorkOrder
from agent_core.garbage import settle_garbage
from drivers.chatting.quiet import Quiet
from drivers.errors import ending_signals
from drivers.evaluating.exporting import spec_of
from drivers.evaluating.job import Job
from drivers.evaluating.options import RunOptions
from drivers.evaluating.progress import REFRESH_SECONDS, Meter, follow, shown
from drivers.evaluating.pumping import pumped
from drivers.options import PlaceOptions

SHOW_CURSOR = "\x1b[?25h"
# In Ray 2.60: <session>/runtime_resources/working_dir_files/<package>.
JOB_DIRECTORIES = "working_dir_files"


class Evaluating(Protocol):
    """What a run needs of a runtime: `actors.Runtime` on a cluster, `LocalRuntime` in this process."""

    @property
    def homes(self) -> int: ...

    @property
    def address(self) -> str | None: ...

    @property
    def namespace(self) -> str: ...

    async def opening(self, tools: Sequence[Any] = (), **fields: Any) -> Opened: ...

    async def evaluate(self, order: RunOrder, *, last: bool = False) -> Running: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `failure` is what made going on useless, `signal` the number of the one that stopped it.

    `summary` is None if it never began. With `reason` a limit of the run ended it; `detached`, it goes on elsewhere.
    """

    failure: Exception | None = None
    signal: int | None = None
    summary: Summary | None = None
    reason: str = ""
    detached: bool = False


class Stopper:
    """What Ctrl-C and the other ending signals do. The first one stops the run (or its start), the next one leaves."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._task = asyncio.current_task()
        self.running: Running | None = None
        self.stopping: asyncio.Task[Any] | None = None
        self.signal: int | None = None

    def install(self) -> None:
        """Take the signals over, also from who has taken them over since."""
        for number in (signal.SIGINT, *ending_signals()):
            asyncio.get_running_loop().add_signal_handler(number, self._received, number)

    def uninstall(self) -> None:
        """Leave the signals to whoever has the program next."""
        for number in (signal.SIGINT, *ending_signals()):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _received(self, number: int) -> None:
        if self.signal is not None:
            if self.console.is_terminal:
                self.console.file.write(SHOW_CURSOR)
            self.console.print("Left at once. Every result that was written is kept.", highlight=False)
            os._exit(128 + number)
        self.signal = number
        if self.running is not None:
            note(self.console, "Stopping: what is under way is ended as cancelled. Ctrl-C again leaves at once.")
            self.stopping = asyncio.get_running_loop().create_task(self.running.command("stop"))
        elif self._task is not None:
            note(self.console, "Stopping: nothing has begun yet. Ctrl-C again leaves at once.")
            self._task.cancel()


async def run_job(job: Job, place: PlaceOptions, options: RunOptions) -> Ended:
    """Run what is missing of the job.

    Raises RayconteurError if there is no runtime to be had; then nothing has changed.
    """
    consoles: list[Console] = []
    with Quiet(lambda line: note(consoles[0], line) if consoles else None, everything=place.debug) as quiet:
        console = Console(file=quiet.stderr)
        consoles.append(console)
        stopper = Stopper(console)
        stopper.install()
        try:
            async with await asyncio.to_thread(_runtime, place, options, job.record.run_id) as runtime:
                stopper.install()
                settle_garbage()
                note(console, f"Sessions: {runtime.description}")
                if hint := runtime.dashboard_hint or runtime.dashboard_url:
                    note(console, hint)
                note(console, f"Results: {job.places.shown()}")
                if goes_with_its_job(job.places):
                    note(console, "They lie in this job's own directory, which goes when the job is over. Name a path")
                    note(console, "that outlives it, or an address: --out /shared/NAME/ or --out s3://BUCKET/NAME")
                return await _run_on(runtime, job, options, stopper)
        except asyncio.CancelledError:
            if stopper.signal in (None, signal.SIGINT):
                raise
            sys.exit(128 + stopper.signal)
        finally:
            stopper.uninstall()


async def _run_on(runtime: Evaluating, job: Job, options: RunOptions, stopper: Stopper) -> Ended:
    asking = job.asking
    try:
        opened = await runtime.opening(asking.tools, **asking.fields)
        order = _order(job, options, opened, homes=runtime.homes)
        if job.results.regular:
            Live.here(job.record.run_id, runtime.address, runtime.namespace).write(job.places.live)
        running = stopper.running = await runtime.evaluate(order, last=options.detach)
        if options.detach:
            if job.mirror is not None:
                await _sends(running)
                job.mirror.handed_over = True
            return Ended(detached=True)
    except Exception as error:  # noqa: BLE001 - the summary comes first, then what went wrong
        return Ended(error, stopper.signal)
    meter = Meter(time.monotonic)
    looking = asyncio.create_task(follow(running, meter))
    sending = _Sending(stopper.console, running)
    try:
        async with (
            shown(meter, stopper.console),
            pumped(order.results, job.results),
            kept_up(job.mirror, sending.troubled),
        ):
            ended = await running.ended()
    except Exception as error:  # noqa: BLE001 - as above
        return Ended(error, stopper.signal, meter.summary)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    return Ended(ended.failure, stopper.signal, ended.status.summary, ended.status.reason)


async def _sends(running: Running) -> None:
    """Wait until the run is known to send its results. Raises ConfigError if it cannot, and so has ended."""
    while True:
        if (status := await running.status()) is not None:
            break
        await asyncio.sleep(REFRESH_SECONDS)
    if status.failure is not None:
        raise ConfigError(f"On the cluster: {status.failure.message} Or leave --detach out: then this program sends.")


class _Sending:
    """Says what keeps results from their address. A run whose address another has taken over is stopped."""

    def __init__(self, console: Console, running: Running) -> None:
        self._console, self._running = console, running
        self._stopping: asyncio.Task[Any] | None = None

    def troubled(self, trouble: ConfigError | OSError | None) -> None:
        """See `kept_up`."""
        if trouble is None:
            note(self._console, "The results are sent again.")
            return
        taken = isinstance(trouble, ConfigError) and trouble.kind == TAKEN
        note(self._console, f"{trouble} " + ("The run is stopped." if taken else "The run goes on, and tries again."))
        if taken:
            self._stopping = asyncio.get_running_loop().create_task(self._running.command("stop"))


def goes_with_its_job(places: Places) -> bool:
    """Whether the results are in the copy of the working directory that Ray makes for a job, and throws away."""
    here = Path.cwd()
    return JOB_DIRECTORIES in here.parts and not places.url and places.results.resolve().is_relative_to(here.resolve())


def note(console: Console, text: str) -> None:
    """Say something above the progress bar."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _order(job: Job, options: RunOptions, opened: Opened, *, homes: int) -> RunOrder:
    index, places = job.begin()
    record = job.record
    plan = Plan(
        run_id=record.run_id,
        configuration=record.digest,
        limits=job.task.limits,
        retries=options.retries,
        first_tokens=options.stream,
        primes=record.epochs > 1,
    )
    return RunOrder(
        index=index.absolute(),
        results=places.results.absolute(),
        record=places.record.absolute(),
        planned=record.planned,
        concurrency=min(options.concurrency, record.planned),
        plan=CoordinatorPlan(record.run_id, record.epochs, prime=record.epochs > 1, limits=job.run_limits, homes=homes),
        work=WorkOrder(plan, job.task.program, opened, asked=_asked(job) if job.log else None),
        log=job.log.absolute() if job.log else None,
        log_start=_log_start(job) if job.log else {},
        mirror=job.mirror if options.detach else None,
    )


def _asked(job: Job) -> Asked:
    return Asked.of(job.record.configuration, job.task.limits)


def _log_start(job: Job) -> Mapping[str, Any]:
    task = job.task
    return replace(spec_of(job.record, job.places), task=task.name, scorers=task.scorers, limits=task.limits).start()


def _runtime(place: PlaceOptions, options: RunOptions, run_id: str) -> Any:
    """The runtime, not yet entered; its import is slow, so this runs in a thread."""
    at_once = options.concurrency
    if options.detach and (place.in_process or place.address == "local"):
        raise ConfigError(
            "--detach: a run that outlives this program needs a cluster that does. Start one: ray start --head"
        )
    if place.in_process:
        local = importlib.import_module("agent_core.local_runtime").LocalRuntime
        return local(data_dir=place.data_dir, journal=place.journal, max_concurrent_requests=at_once)
    return importlib.import_module("actors").Runtime(
        place.address or ("auto" if options.detach else None),
        name=place.name or (f"evaluation-{run_id}" if options.detach else None),
        detached=options.detach,
        data_dir=place.data_dir,
        journal=place.journal,
        sessions_per_actor=packing(options),
        session_actors=options.actors,
        sessions_at_once=at_once,
        max_concurrent_requests=at_once,
    )


def packing(options: RunOptions) -> int:
    """The most sessions on one actor. Raises ConfigError if all the actors that may be are too few."""
    at_once, actors = options.concurrency, options.actors
    # A sample that ends and the one that takes its place are both there for a moment.
    each = options.sessions_per_actor or max(2, at_once)
    if actors is not None and actors * each < at_once:
        raise ConfigError(
            f"--actors {actors} with --sessions-per-actor {each} hold {actors * each} sessions, fewer than"
            f" --concurrency {at_once}. Raise one of them, or lower --concurrency."
        )
    return each
