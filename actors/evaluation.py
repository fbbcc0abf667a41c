"""The evaluation actor: coordinates one run, on the node of the program that started it, where its files are.

The rule here: it is a shell around `Run`. Whatever it hears was decided in `agent_core`; this file starts a worker in
each session actor, and starts it again on what has taken the place of one that was lost.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.calls import Gone, ask
from actors.finding import end_actor, find_actor
from actors.head import Head
from actors.logs import log_lines
from actors.router_handle import RouterHandle
from actors.settings import RuntimeSettings, evaluation_name, router_name, shared_name
from actors.spawning import options, started
from actors.supervising import supervise
from actors.tethers import hold_on, hold_on_again, was_restarted
from actors.threads import in_thread
from agent_core.clock import SystemClock
from agent_core.errors import ConfigError, PlacementError
from agent_core.evaluation.coordinator import Coordinator, Envelope, Reply
from agent_core.evaluation.mirror import TAKEN, Mirror, kept_up
from agent_core.evaluation.remote import UNREACHABLE
from agent_core.evaluation.run import Requeue, Run, RunEnded, RunOrder
from agent_core.evaluation.standing import RunStatus

log = logging.getLogger("rayconteur.actor")
_PAUSE = 0.1
_LAST_PUSH_SECONDS = 3600.0


class EvaluationActor:
    """Coordinates one run. With `last` the whole runtime ends with the run."""

    def __init__(self, settings: RuntimeSettings, order: RunOrder, *, last: bool = False) -> None:
        self._settings, self._order, self._last = settings, order, last
        self._name = evaluation_name(order.plan.run_id)
        self._router = RouterHandle(settings)
        self._coordinator: Coordinator | None = None
        self._open: Run | None = None
        self._running: asyncio.Task[RunEnded] | None = None
        self._held: asyncio.Task[None] | None = None
        self._over: RunEnded | None = None
        log_lines(settings)
        hold_on_again(settings, "start")
        if not settings.tethered and was_restarted():
            ray.get_runtime_context().current_actor.start.options(max_task_retries=-1).remote()

    def __repr__(self) -> str:
        return f"Evaluation[{self._order.plan.run_id}]"

    async def start(self) -> None:
        """Begin, or go on after this actor was lost."""
        loop = asyncio.get_running_loop()
        if self._running is None:
            self._running = loop.create_task(self._run())
        if self._settings.tethered and self._held is None:
            self._held = loop.create_task(hold_on(self._settings))

    async def ended(self) -> RunEnded:
        """Wait for the end of the run. Raises ConfigError if its files cannot be had."""
        await self.start()
        assert self._running is not None
        return await asyncio.shield(self._running)

    async def _run(self) -> RunEnded:
        mirror = self._order.mirror
        with Run(self._order, SystemClock()) as run:
            coordinator = run.coordinator
            try:
                await self._first_push(mirror)
            except (ConfigError, OSError) as error:
                coordinator.fail(error)
            self._open, self._coordinator = run, coordinator
            async with kept_up(mirror, self._troubled), asyncio.TaskGroup() as workers:
                for home in range(self._settings.session_actors):
                    if self._order.share(home, self._settings.session_actors):
                        workers.create_task(self._supervise(coordinator, home))
            try:
                run.finish()
            except OSError as error:
                coordinator.fail(error)
            self._over = RunEnded(coordinator.status(), coordinator.failure)
        if mirror is not None and mirror.claimed:
            await self._last_push(mirror)
        if self._last:
            await self._end_runtime()
        return self._over

    # --- results at an address --------------------------------------------------------------------------------------

    async def _first_push(self, mirror: Mirror | None) -> None:
        """Before anything is paid for it is known that this process can send what comes of it."""
        if mirror is not None:
            await asyncio.to_thread(mirror.push)
            mirror.claimed = True

    def _troubled(self, trouble: ConfigError | OSError | None) -> None:
        if trouble is None:
            log.warning("the results are sent again")
            return
        log.warning("the results of %s are not sent: %s", self._order.plan.run_id, trouble)
        if isinstance(trouble, ConfigError) and trouble.kind == TAKEN and self._coordinator is not None:
            self._coordinator.fail(trouble)

    async def _last_push(self, mirror: Mirror) -> None:
        """Nobody else is left to do it, so it is tried for a while."""
        until = asyncio.get_running_loop().time() + _LAST_PUSH_SECONDS
        while asyncio.get_running_loop().time() < until:
            try:
                return await asyncio.to_thread(mirror.push, last=True)
            except (ConfigError, OSError) as error:
                self._troubled(error)
                if isinstance(error, ConfigError) and error.kind != UNREACHABLE:
                    return None
            await asyncio.sleep(mirror.period)

    async def _end_runtime(self) -> None:
        with suppress(Gone, PlacementError):
            await self._router.stop()
        await end_actor(router_name(0), self._settings.namespace)

    # --- workers ----------------------------------------------------------------------------------------------------

    async def _supervise(self, coordinator: Coordinator, home: int) -> None:
        """Have a worker in shared actor `home` for as long as there is anything to do for it."""
        share = self._order.share(home, self._settings.session_actors)
        order = self._order.work.on(home, share)

        async def work(worker: str, begins: Callable[[], None]) -> None:
            actor = await find_actor(await self._router.share_numbered(home), self._settings.namespace)
            begins()
            await ask(actor, "evaluate", order, self._name, worker)

        await supervise(coordinator, shared_name(home), work, SystemClock())

    @ray.method(enable_task_events=False)
    async def exchange(self, worker: str, home: int, envelope: Envelope) -> Reply:
        """Take a worker's envelope. One that came from before this actor was lost is told to leave."""
        if self._coordinator is None:
            return Reply(unknown=True)
        return self._coordinator.exchange(worker, home, envelope)

    # --- control ----------------------------------------------------------------------------------------------------

    async def status(self) -> RunStatus | None:
        """Where the run stands; None while its files are being opened."""
        return self._coordinator.status() if self._coordinator else None

    async def command(self, word: str) -> RunStatus | None:
        """See `Coordinator.command`."""
        if self._coordinator is not None:
            self._coordinator.command(word)
        return await self.status()

    async def requeue(self, chosen: Requeue) -> int:
        """See `Run.requeue`."""
        return self._open.requeue(chosen) if self._open and self._over is None else 0

    async def places(self) -> tuple[str, str]:
        """The paths of the results and the record, on this actor's node."""
        return str(self._order.results), str(self._order.record)


EVALUATION = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0)(EvaluationActor)


class EvaluationHandle:
    """The coordinator of a run, as programs see it. It may be started again at any moment; calls are repeated then."""

    def __init__(self, run_id: str, namespace: str, head: Head) -> None:
        self._name, self._namespace, self._head = evaluation_name(run_id), namespace, head

    async def ended(self) -> RunEnded:
        """Wait for the end. Raises PlacementError if the run is not there any more, ConfigError as `Run` does."""
        return await self._ask("ended")

    async def status(self) -> RunStatus | None:
        """Where it stands. Raises PlacementError if it is not there."""
        return await self._ask("status")

    async def command(self, word: str) -> RunStatus | None:
        """See `EvaluationActor.command`."""
        return await self._ask("command", word)

    async def requeue(self, chosen: Requeue) -> int:
        """See `Run.requeue`."""
        return await self._ask("requeue", chosen)

    async def places(self) -> tuple[str, str]:
        """See `EvaluationActor.places`."""
        return await self._ask("places")

    async def _ask(self, method: str, *arguments: Any) -> Any:
        while True:
            async with self._head.awaited():
                try:
                    return await ask(await find_actor(self._name, self._namespace), method, *arguments)
                except Gone:
                    await asyncio.sleep(_PAUSE)


async def spawn_evaluation(settings: RuntimeSettings, order: RunOrder, head: Head, *, last: bool) -> EvaluationHandle:
    """Have the run coordinated on the node of this program. Raises PlacementError if the actor does not start."""
    name = evaluation_name(order.plan.run_id)
    # One that has ended stays to be asked about it, until the run is gone on with.
    await end_actor(name, settings.namespace)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    chosen = options(name, settings, max_concurrency=10_000, scheduling_strategy=here)
    actor = await in_thread(EVALUATION.options(**chosen).remote, settings, order, last=last)
    await started(name, actor, "start")
    return EvaluationHandle(order.plan.run_id, settings.namespace, head)
