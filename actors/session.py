"""The session actor: hosts one session or thousands, and speaks with client processes and tool executors in envelopes.

The rule here: it is a shell. What a session does is decided and performed in `agent_core`; this file moves envelopes
and keeps interrupt and status answering, in a thread of their own, whatever the main loop is doing.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import ray

from actors.channel import Channel
from actors.compaction_dispatch import CompactionDispatcher
from actors.envelopes import Frame, Request, SessionMoved, answer_frame, refusal_frame
from actors.finding import dead_jobs
from actors.journals import journal_of
from actors.logs import log_lines
from actors.metrics import export
from actors.operations import OPERATIONS, RECALL, Context
from actors.resting import put_idle_away
from actors.settings import LAST_WORDS, LOCAL_MODEL_NAME, RuntimeSettings
from actors.tethers import hold_on, hold_on_again, was_restarted
from actors.tool_dispatch import ToolDispatcher
from actors.tracing import traced
from actors.turn_tasks import OWN_RATE, SHARED_RATE, TurnTasks
from actors.whereabouts import Whereabouts
from agent_core import inputs
from agent_core.clock import SystemClock
from agent_core.errors import RayconteurError, SessionError
from agent_core.garbage import settle_garbage
from agent_core.glance import GlanceRequest, HostGlance, glance
from agent_core.hosting import SessionHost
from agent_core.messages import SessionId
from agent_core.metering.journal import JournalMeter
from agent_core.metering.ledger import Ledger
from agent_core.metering.observer import Metering
from agent_core.metering.sampling import sample
from agent_core.models import context_limit
from agent_core.observing import Observers
from agent_core.payloads import InterruptMode
from agent_core.ports import ToolReport
from agent_core.providers.addressed import AddressedModel
from agent_core.providers.dispatch import build_model
from agent_core.response_cache import CachingModel
from agent_core.session_ports import Ports
from agent_core.status import SessionStatus
from agent_core.tally import Tally

if TYPE_CHECKING:
    from actors.evaluating import EvaluationWorkers
    from actors.local_model import LocalModelHandle
    from agent_core.evaluation.worker import WorkOrder

log = logging.getLogger("rayconteur.actor")


class SessionActor:
    """Hosts sessions. `name` is its Ray name; `capacity` the sessions that it takes.

    With room for one it is dedicated: to the session that the router assigns, or else to the first that is asked for.
    `again` says that it takes the place of one that was ended.
    """

    def __init__(self, name: str, settings: RuntimeSettings, capacity: int, *, again: bool = False) -> None:
        self._again = again or was_restarted()
        self._name, self._settings, self._capacity = name, settings, capacity
        self._tenant: str | None = None
        self._channels: dict[str, Channel] = {}
        self._silent: dict[str, Channel] = {}
        self._host: SessionHost | None = None
        self._whereabouts: Whereabouts | None = None
        self._tools: ToolDispatcher | None = None
        self._compactions: CompactionDispatcher | None = None
        self._local_model: LocalModelHandle | None = None
        self._workers: EvaluationWorkers | None = None
        self._tally = Tally(SystemClock().now())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._myself: Any = None
        self._ledger = Ledger()
        self._turns = TurnTasks(self._begin_turn, time.monotonic, OWN_RATE if capacity == 1 else SHARED_RATE)
        self._tasks: set[asyncio.Task[Any]] = set()
        log_lines(settings, busy=capacity > 1)
        hold_on_again(settings, "start")

    def __repr__(self) -> str:
        return f"Session[{self._name}]" if self._capacity == 1 else f"Sessions[{self._name}, up to {self._capacity:,}]"

    # --- the main loop ----------------------------------------------------------------------------------------------

    async def start(self) -> str:
        """Make everything ready and return the id of the node that this actor is on."""
        self._ensure()
        return ray.get_runtime_context().get_node_id()

    def _ensure(self) -> SessionHost:
        """The host, made on first use: an actor's constructor runs before its loop does."""
        if self._host is None:
            self._loop = asyncio.get_running_loop()
            settle_garbage()
            clock = SystemClock()
            journal = journal_of(self._settings)
            model = build_model(self._settings.max_concurrent_requests, clock, random.Random())
            self._tools = ToolDispatcher(self._settings, self._name, clock)
            node = ray.get_runtime_context().get_node_id()
            asked = CachingModel(AddressedModel(model, self._local_url), clock)
            self._compactions = CompactionDispatcher(self._settings, clock)
            journal.watched_by(JournalMeter(self._ledger, "sessions"))
            ports = Ports(
                asked,
                self._tools,
                journal,
                clock,
                self._compactions,
                context_limit,
                owner=self._name,
                node=node,
                observer=Observers(self._tally, Metering(self._ledger, time.monotonic), self._turns),
            )
            host = self._host = SessionHost(traced(ports, self._settings), self._capacity)
            self._whereabouts = Whereabouts(self._name, self._settings, host, journal, again=self._again)
            self._keep(export(self._ledger, lambda: sample(host, self._ledger)))
            self._keep(self._sweep())
            self._keep(put_idle_away(self._host, self._settings))
            if self._settings.tethered:
                self._keep(hold_on(self._settings))
        return self._host

    async def _local_url(self) -> str:
        from actors.local_model import LocalModelHandle

        if self._local_model is None:
            settings = self._settings
            self._local_model = LocalModelHandle(LOCAL_MODEL_NAME, settings.namespace, tethered=settings.tethered)
        return await self._local_model.base_url()

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def assign(self, session_id: str) -> str:
        """Belong to this session from now on, unless it is another's already. Returns whose this actor is."""
        self._tenant = self._tenant or session_id
        return self._tenant

    async def frames(self, client: str, job: str) -> AsyncIterator[list[Frame]]:
        """The stream of one client, a process of that job: answers and events, in envelopes."""
        self._ensure()
        channel = self._channels[client] = Channel(job, self._settings.lease)
        try:
            # The first envelope tells the client that requests sent from now on are answered here.
            yield []
            async for envelope in channel.stream():
                yield envelope
        finally:
            self._let_go(client)

    async def evaluate(self, order: "WorkOrder", coordinator: str, worker: str) -> None:
        """Run samples of an evaluation on sessions of this actor, until there are no more."""
        from actors.evaluating import EvaluationWorkers

        host = self._ensure()
        if self._workers is None:
            self._workers = EvaluationWorkers(self._settings)
        staying = self._placed().staying
        if staying.is_set():
            await self._workers.work(host, order, coordinator, worker)
        # The next worker begins in the actor that comes after this one: until then this one does not return.
        await staying.wait()

    async def deliver(self, client: str, requests: Sequence[tuple[Any, ...]]) -> None:
        """Take an envelope of requests. Answers go out by the client's stream; without one it hears of that itself."""
        host, channel = self._ensure(), self._channels.get(client)
        if channel is None:
            return
        channel.received += 1
        channel.renew()
        for item in requests:
            request = Request(*item)
            context = Context(host, channel, request.number, self._placed().recall, self._keep)
            self._keep(self._answer(context, request))

    async def _answer(self, context: Context, request: Request) -> None:
        try:
            if request.operation != "watch":
                # Who only looks makes an actor nobody's, and finds nobody.
                self._check_tenant(request.session_id)
                if request.operation != RECALL:
                    await self._placed().check(SessionId(request.session_id))
            value = await OPERATIONS[request.operation](context, SessionId(request.session_id), *request.arguments)
        except RayconteurError as error:
            frame = refusal_frame(request.number, error)
        except Exception as error:
            # Whoever waits for the answer must not wait for ever.
            log.exception("session %s: '%s' failed unexpectedly", request.session_id, request.operation)
            text = f"'{request.operation}' failed ({type(error).__name__}). The log of actor '{self._name}' says more."
            frame = refusal_frame(request.number, SessionError(text, "unexpected"))
        else:
            frame = answer_frame(request.number, value)
        context.channel.put(frame, urgent=True)

    async def turn(self, number: int) -> None:
        """Last as long as a turn: this is how Ray's dashboard gets to know of it. See `TurnTasks`."""
        await self._turns.lasts(number)

    def _begin_turn(self, name: str, number: int) -> Any:
        self._myself = self._myself or ray.get_runtime_context().current_actor
        return self._myself.turn.options(name=name).remote(number)

    def _check_tenant(self, session_id: str) -> None:
        if self._capacity == 1:
            self._tenant = self._tenant or session_id
            if self._tenant != session_id:
                raise SessionMoved(f"Actor '{self._name}' belongs to another session. Open the session anew.")

    def _placed(self) -> Whereabouts:
        self._ensure()
        assert self._whereabouts is not None
        return self._whereabouts

    @ray.method(enable_task_events=False)
    async def working(self) -> int:
        """How many sessions have a turn open here."""
        return self._host.working if self._host else 0

    # --- sessions that come and go ----------------------------------------------------------------------------------

    async def whereabouts(self, session_id: str, asker: str) -> str:
        """See `Whereabouts.tell`."""
        return self._placed().tell(SessionId(session_id), asker)

    async def expect(self, session_ids: Sequence[str]) -> None:
        """See `Whereabouts.expect`."""
        self._placed().expect(session_ids)

    async def adopt(self, session_id: str, work: bool) -> None:  # noqa: FBT001 - from the wire
        """See `Whereabouts.adopt`."""
        await self._placed().adopt(SessionId(session_id), work=work)

    async def hand_over(self, session_id: str, to: str, patience: float) -> None:
        """See `Whereabouts.hand_over`."""
        await self._placed().hand_over(SessionId(session_id), to, patience)

    async def empty(self, shelters: list[str], patience: float) -> None:
        """See `Whereabouts.empty`. Samples that are under way here go out again to the next actor of this name."""
        placed = self._placed()
        placed.leave_for(shelters, patience)
        if self._workers is not None:
            await self._workers.stop()
        await placed.empty(patience)
        # What was said last has to reach those who read it.
        await asyncio.sleep(LAST_WORDS)

    @ray.method(enable_task_events=False)
    async def settle(self, reports: Sequence[ToolReport]) -> None:
        """Take an envelope of reports from a tool executor."""
        self._ensure()
        if self._tools is not None:
            self._tools.settle(reports)

    @ray.method(enable_task_events=False)
    async def compaction_started(self, key: str) -> None:
        """The router says that a compaction has left its queue."""
        if self._compactions is not None:
            self._compactions.started(key)

    @ray.method(enable_task_events=False)
    async def renew(self, client: str, envelopes: int) -> bool:
        """Keep a client's readers for another lease. False if they are gone, or fewer envelopes than so many came."""
        channel = self._channels.get(client)
        if channel is None:
            return False
        channel.renew()
        return channel.received >= envelopes

    @ray.method(enable_task_events=False)
    async def let_go(self, client: str) -> None:
        """The client has left, or makes another link: end its readers and its stream."""
        self._let_go(client)

    def _let_go(self, client: str) -> None:
        channel = self._channels.pop(client, None) or self._silent.pop(client, None)
        if channel is not None:
            channel.end()

    async def _sweep(self) -> None:
        """Drop the readers of clients that are not heard of any more, and end the streams of those that are dead."""
        while True:
            await asyncio.sleep(self._settings.lease / 3)
            for client in [client for client, channel in self._channels.items() if channel.expired]:
                channel = self._silent[client] = self._channels.pop(client)
                channel.close()
            dead = await asyncio.to_thread(dead_jobs) if self._silent else ()
            for client in [client for client, channel in self._silent.items() if channel.job in dead]:
                self._let_go(client)

    # --- the control thread: may run while the main loop is stuck, and touches nothing of it ------------------------

    @ray.method(concurrency_group="control", enable_task_events=False)
    async def status(self, session_id: str) -> SessionStatus | None:
        """The session's status, None if it is not active here."""
        shell = self._host.find(SessionId(session_id)) if self._host else None
        return shell.status() if shell else None

    @ray.method(concurrency_group="control", enable_task_events=False)
    async def glance(self, asked: GlanceRequest) -> HostGlance:
        """What there is to see of this actor, and of the sessions that are asked for."""
        return glance(self._host.shells if self._host else (), asked, self._tally.totals())

    @ray.method(concurrency_group="control")
    async def interrupt(self, session_id: str, mode: InterruptMode, key: str) -> bool | None:
        """Interrupt the session's open turn: whether there was one; None if the session is not active here."""
        host, loop = self._host, self._loop
        shell = host.find(SessionId(session_id)) if host else None
        if shell is None or loop is None:
            return None
        done = asyncio.run_coroutine_threadsafe(shell.perform(inputs.Interrupt(mode, key)), loop)
        return (await asyncio.wrap_future(done)).turn_id is not None

    @ray.method(concurrency_group="control", enable_task_events=False)
    async def measured(self) -> dict[str, float]:
        """What this process has measured since it started, see `Ledger.totals`."""
        return self._ledger.totals()

    @ray.method(concurrency_group="control")
    async def tenant(self) -> str | None:
        """The session that this dedicated actor belongs to."""
        return self._tenant


# The types of `ray.remote` leave concurrency groups out.
_remote: Any = ray.remote
SESSION = _remote(num_cpus=0, max_restarts=-1, max_task_retries=0, concurrency_groups={"control": 64})(SessionActor)
