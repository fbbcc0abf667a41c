"""Running a job: the runtime, the signals, and the results as they come.

The rule here: the first Ctrl-C stops taking samples, ends those under way and keeps everything that was finished; the
second one leaves at once. Whatever ends the run, the summary counts every sample and says how to go on.
"""

import asyncio
import importlib
import math
import os
import signal
import sys
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console

from agent_core.clock import SystemClock
from agent_core.compaction.settings import LLMCompaction
from agent_core.errors import ConfigError
from agent_core.evaluation.result import Result, encode
from agent_core.evaluation.runner import Plan, Runner
from agent_core.garbage import settle_garbage
from agent_core.messages import SessionId, Usage
from agent_core.models import cost
from agent_core.session_protocol import Session
from drivers.chatting.quiet import Quiet
from drivers.errors import ending_signals
from drivers.evaluating.job import Job
from drivers.evaluating.options import SAMPLES_PER_ACTOR, RunOptions
from drivers.evaluating.progress import Meter, shown
from drivers.options import PlaceOptions

SHOW_CURSOR = "\x1b[?25h"


class Opening(Protocol):
    """What the run needs of a runtime: `actors.Runtime` on a cluster, `LocalRuntime` in this process."""

    def session(
        self,
        id: str | None = None,
        *,
        tools: Sequence[Any] = (),
        labels: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Awaitable[Session]: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `failure` is what made going on useless, `signal` the number of the one that stopped it."""

    failure: Exception | None = None
    signal: int | None = None


class Stopper:
    """What Ctrl-C and the other ending signals do. The first one stops the run (or its start), the next one leaves."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._task = asyncio.current_task()
        self.runner: Runner | None = None
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
        if self.runner is not None:
            note(self.console, "Stopping: what is under way is ended as cancelled. Ctrl-C again leaves at once.")
            self.runner.stop()
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
            async with await asyncio.to_thread(_runtime, place, options) as runtime:
                stopper.install()
                settle_garbage()
                note(console, f"Sessions: {runtime.description}")
                if hint := runtime.dashboard_hint or runtime.dashboard_url:
                    note(console, hint)
                note(console, f"Results: {job.places.results}")
                failure = await _run_on(runtime, job, options, stopper)
        except asyncio.CancelledError:
            if stopper.signal in (None, signal.SIGINT):
                raise
            sys.exit(128 + stopper.signal)
        finally:
            stopper.uninstall()
        return Ended(failure, stopper.signal)


async def _run_on(runtime: Opening, job: Job, options: RunOptions, stopper: Stopper) -> Exception | None:
    asking = job.asking

    async def opener(session_id: SessionId, labels: Mapping[str, str]) -> Session:
        return await runtime.session(session_id, tools=asking.tools, labels=labels, **asking.fields)

    def sink(result: Result) -> None:
        job.results.write(encode(result))
        job.tally.add(result)

    runner = stopper.runner = Runner(opener, sink, _plan(job, options), SystemClock())
    async with shown(Meter(job.tally, lambda: runner.open, time.monotonic), stopper.console):
        try:
            job.results.begin(job.record)
            await runner.run(job.assignments())
        except Exception as error:  # noqa: BLE001 - the summary comes first, then what went wrong
            return error
    return None


def note(console: Console, text: str) -> None:
    """Say something above the progress bar."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _plan(job: Job, options: RunOptions) -> Plan:
    config = job.asking.configuration.session
    compaction = config.compaction
    summarises = compaction.model if isinstance(compaction, LLMCompaction) else None

    def price(usage: Usage, summariser: Usage) -> float | None:
        # A summariser that was never asked may have a price that nobody knows.
        more = cost(summarises or config.model, summariser) if summariser != Usage() else 0.0
        answers = cost(config.model, usage)
        return None if answers is None or more is None else answers + more

    return Plan(
        run_id=job.record.run_id,
        configuration=job.record.digest,
        concurrency=min(options.concurrency, job.tally.planned),
        timeout=options.timeout,
        retries=options.retries,
        first_tokens=options.stream,
        price=price,
    )


def _runtime(place: PlaceOptions, options: RunOptions) -> Any:
    """The runtime, not yet entered; its import is slow, so this runs in a thread."""
    at_once = options.concurrency
    if place.in_process:
        local = importlib.import_module("agent_core.local_runtime").LocalRuntime
        return local(data_dir=place.data_dir, journal=place.journal, max_concurrent_requests=at_once)
    actors, each = packing(options)
    return importlib.import_module("actors").Runtime(
        place.address,
        name=place.name,
        data_dir=place.data_dir,
        journal=place.journal,
        sessions_per_actor=each,
        session_actors=actors,
        max_concurrent_requests=at_once,
    )


def packing(options: RunOptions) -> tuple[int, int]:
    """How many session actors there are, and the most sessions on each. Raises ConfigError if they are too few."""
    at_once = options.concurrency
    # Sessions are spread by hash, so one actor may get more than its share; a limit that is not asked for leaves room.
    each = options.sessions_per_actor or max(2, at_once)
    actors = options.actors or math.ceil(at_once / min(each, SAMPLES_PER_ACTOR))
    if actors * each < at_once:
        raise ConfigError(
            f"--actors {actors} with --sessions-per-actor {each} hold {actors * each} sessions, fewer than"
            f" --concurrency {at_once}. Raise one of them, or lower --concurrency."
        )
    return actors, each
