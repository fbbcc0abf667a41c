"""The compactor actor: makes summaries away from the processes of sessions.

The rule here: it keeps nothing that matters. A job comes whole and goes as a patch; one that is lost with this process
is done by another. How many jobs it has at once is the router's to say.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence

import ray
from ray.exceptions import RayError

from actors.local_model import LocalModelHandle
from actors.logs import log_lines
from actors.metrics import export
from actors.settings import LOCAL_MODEL_NAME, RuntimeSettings
from actors.tethers import hold_on, hold_on_again
from actors.tracing import traced_summaries
from agent_core.clock import SystemClock
from agent_core.compaction.local import within
from agent_core.compaction.summarising import Summariser
from agent_core.errors import ErrorInfo
from agent_core.metering.ledger import Ledger
from agent_core.metering.summaries import MeteredModel
from agent_core.models import context_limit
from agent_core.ports import CompactionFailure, CompactionJob, Patch
from agent_core.providers.addressed import AddressedModel
from agent_core.providers.dispatch import build_model

_KEPT = 64


class CompactorActor:
    """Summarises for every session of a runtime. `name` is its Ray name."""

    def __init__(self, name: str, settings: RuntimeSettings) -> None:
        self._name, self._settings = name, settings
        self._summariser: Summariser | None = None
        self._jobs: dict[str, asyncio.Task[Patch | CompactionFailure]] = {}
        self._finished: deque[str] = deque()
        self._ledger = Ledger()
        self._tasks: list[asyncio.Task[None]] = []
        log_lines(settings)
        hold_on_again(settings, "start")

    def __repr__(self) -> str:
        return f"Compactor[{self._name}]"

    @ray.method(enable_task_events=False)
    async def start(self) -> list[str]:
        """Make everything ready and return the keys of the jobs that are under way or were done here lately."""
        self._ensure()
        return list(self._jobs)

    async def summarise(
        self, key: str, job: "Sequence[ray.ObjectRef[CompactionJob]]", seconds: float
    ) -> Patch | CompactionFailure:
        """Summarise the one job within so many seconds. Asked again, it is not done anew."""
        task = self._jobs.get(key)
        if task is None:
            task = self._jobs[key] = asyncio.get_running_loop().create_task(self._summarise(key, job[0], seconds))
            task.add_done_callback(lambda _: self._finish(key))
        await asyncio.wait([task])
        if task.cancelled():
            return CompactionFailure(key, ErrorInfo(boundary="session", kind="cancelled", message="It was cancelled."))
        return task.result()

    @ray.method(enable_task_events=False)
    async def cancel(self, key: str) -> None:
        """Stop the job, with the request that it waits for."""
        task = self._jobs.get(key)
        if task is not None:
            task.cancel()

    def _finish(self, key: str) -> None:
        """Keep what came of the last few: the router that asked may have died before it heard."""
        self._finished.append(key)
        while len(self._finished) > _KEPT:
            del self._jobs[self._finished.popleft()]

    async def _summarise(
        self, key: str, reference: "ray.ObjectRef[CompactionJob]", seconds: float
    ) -> Patch | CompactionFailure:
        try:
            job = await reference
        except RayError as error:
            # It is kept by the process of its session: that one is dead.
            text = f"The session's process ended before its compaction was done ({type(error).__name__})."
            return CompactionFailure(key, ErrorInfo(boundary="session", kind="moot", message=text))
        return await self._ensure().summarise(within(job, seconds))

    def _ensure(self) -> Summariser:
        """The summariser, made on first use: an actor's constructor runs before its loop does."""
        if self._summariser is None:
            settings, clock = self._settings, SystemClock()
            model = build_model(settings.max_concurrent_requests, clock, random.Random())
            local = LocalModelHandle(LOCAL_MODEL_NAME, settings.namespace, tethered=settings.tethered)
            metered = MeteredModel(AddressedModel(model, local.base_url), self._ledger, time.monotonic)
            self._summariser = Summariser(traced_summaries(metered, clock, settings, self._name), clock, context_limit)
            loop = asyncio.get_running_loop()
            self._tasks.append(loop.create_task(export(self._ledger)))
            if settings.tethered:
                self._tasks.append(loop.create_task(hold_on(settings)))
        return self._summariser


# A job that was lost is the router's affair: it sends it elsewhere.
COMPACTOR = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0)(CompactorActor)
