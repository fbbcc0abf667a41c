"""Compaction jobs on a real cluster: through the router unread, to a compactor, whatever is killed meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import ray

from actors import Runtime, SessionHandle
from actors.calls import Gone
from actors.compaction_dispatch import CompactionDispatcher
from actors.compactor_pool import QUEUED_PER_SLOT
from actors.journal import JournalHandle
from actors.settings import JOURNAL_NAME, RuntimeSettings
from agent_core.clock import SystemClock
from agent_core.config import SessionConfig
from agent_core.content import TextBlock, text_of
from agent_core.entries import Compacted
from agent_core.messages import SessionId, TurnId, UserMessage
from agent_core.ports import CompactionJob, CompactionPriority, Patch
from agent_core.scripted import Fault, Knobs
from agent_core.scripted.server import ScriptedServer
from agent_core.status import SessionStatus
from tests.actors.world import config, inside, kill
from tests.core.compaction.summaries import Reports

STALL = Knobs(faults={"stall": Fault(next=1)})

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Trapped:
    """Reads as a text, and notes in a ledger which actor it was read in."""

    def __init__(self, ledger: str) -> None:
        self.ledger = ledger

    def __reduce__(self) -> Any:
        return _spring, (self.ledger,)


def _spring(ledger: str) -> str:
    with Path(ledger).open("a") as lines:
        lines.write(f"{ray.get_runtime_context().get_actor_name()}\n")
    return "what was decided"


class SubmitterActor:
    """What a session actor is to compaction: it has the port, and hears what the router says."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._dispatcher: CompactionDispatcher | None = None
        self._reports = Reports()

    @property
    def dispatcher(self) -> CompactionDispatcher:
        self._dispatcher = self._dispatcher or CompactionDispatcher(self._settings, SystemClock())
        return self._dispatcher

    async def submit(
        self, key: str, session: str, fields: dict[str, Any], priority: CompactionPriority, ledger: str | None
    ) -> None:
        session_id = SessionId(session)
        said = UserMessage(id="m1", session_id=session_id, turn_id=TurnId("t1"), content=(TextBlock(text="hello"),))
        chosen = SessionConfig(**{"timeout": 40.0, "compaction": None, "request_class": "summary", **fields})
        focus: Any = Trapped(ledger) if ledger else ""
        job = CompactionJob(key, session_id, key, chosen, [said], f"digest of {key}", focus=focus)
        self.dispatcher.submit(job, priority, self._reports)

    async def compaction_started(self, key: str) -> None:
        self.dispatcher.started(key)

    async def cancel(self, key: str) -> None:
        self.dispatcher.cancel(key)

    async def promote(self, key: str, priority: CompactionPriority) -> None:
        self.dispatcher.promote(key, priority)

    async def started(self, key: str) -> None:
        await self._reports.reported(key, "started")

    async def ended(self, key: str) -> list[str]:
        await self._reports.ended(key)
        return self._reports.of(key)

    async def patch(self, key: str) -> Patch:
        (patch,) = [report for report in self._reports.all if isinstance(report, Patch) and report.key == key]
        return patch

    async def order(self) -> list[str]:
        """The keys of the jobs that were done, in the order in which their patches came."""
        return [report.key for report in self._reports.all if isinstance(report, Patch)]


class Submitter:
    """The submitter actor, and the model server that its jobs go to."""

    def __init__(self, runtime: Runtime, server: ScriptedServer) -> None:
        self.actor: Any = ray.remote(SubmitterActor).options(num_cpus=0).remote(runtime.settings)
        self._server = server

    async def submit(
        self, key: str, priority: CompactionPriority = "soft", session: str = "", ledger: Path | None = None
    ) -> None:
        fields = config(self._server)
        await self.actor.submit.remote(key, session or f"session of {key}", fields, priority, ledger and str(ledger))

    async def ended(self, key: str) -> list[str]:
        return await self.actor.ended.remote(key)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """A runtime whose one compactor takes one job at a time, so that the next one waits."""
    data = tmp_path_factory.mktemp("data")
    async with Runtime(data_dir=data, sessions_per_actor=1000, session_actors=1, compactor_slots=1) as running:
        yield running


@pytest.fixture
def submitter(runtime: Runtime, server: ScriptedServer) -> Any:
    made = Submitter(runtime, server)
    yield made
    ray.kill(made.actor)


def state_of(router: Any) -> tuple[list[str], list[str]]:
    """The keys of the jobs that are with a compactor, and of those that wait for one."""
    pool = router._compactors
    return [key for worker in pool._workers for key in worker.running], [
        ticket.key for ticket in pool._schedule.queue.waiting
    ]


async def has(runtime: Runtime, running: list[str], waiting: list[str]) -> None:
    """Return once the router has exactly these jobs. It may be starting again."""
    while True:
        with suppress(Gone):
            if await inside(runtime, "router/0", state_of) == (running, waiting):
                return
        await asyncio.sleep(0.02)


async def test_a_job_comes_back_as_a_patch_and_only_the_compactor_reads_it(
    runtime: Runtime, submitter: Submitter, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    await submitter.submit("read", ledger=ledger)
    assert await submitter.ended("read") == ["started", "patch"]
    patch = await submitter.actor.patch.remote("read")
    assert patch.digest == "digest of read"
    assert patch.summary
    assert patch.usage.output_tokens > 0
    assert ledger.read_text().split() == ["compactor/0"]


async def test_a_killed_compactors_job_is_done_once_by_its_successor(
    runtime: Runtime, server: ScriptedServer, submitter: Submitter
) -> None:
    server.knobs = STALL
    before = server.stats.requests
    await submitter.submit("killed")
    await server.stalled(server.stats.stalled + 1)
    await kill(runtime, "compactor/0")
    said = await submitter.ended("killed")
    assert [word for word in said if word != "started"] == ["patch"]
    assert server.stats.requests == before + 2


async def test_a_job_goes_on_when_the_router_that_sent_it_is_killed(
    runtime: Runtime, server: ScriptedServer, submitter: Submitter
) -> None:
    server.knobs = STALL
    before = server.stats.requests
    await submitter.submit("joined")
    await server.stalled(server.stats.stalled + 1)
    await kill(runtime, "router/0")
    await has(runtime, ["joined"], [])
    server.release()
    # Word of its start may be lost with the router.
    assert [word for word in await submitter.ended("joined") if word != "started"] == ["patch"]
    assert server.stats.requests == before + 1


async def test_a_job_that_waits_in_a_killed_router_is_done(
    runtime: Runtime, server: ScriptedServer, submitter: Submitter
) -> None:
    server.knobs = STALL
    await submitter.submit("first", "waiting")
    await server.stalled(server.stats.stalled + 1)
    await submitter.submit("queued", "waiting")
    await has(runtime, ["first"], ["queued"])
    await kill(runtime, "router/0")
    await submitter.actor.cancel.remote("first")
    server.release()
    # Word of its start may be lost with the router.
    assert [word for word in await submitter.ended("queued") if word != "started"] == ["patch"]


async def test_a_cancelled_job_closes_its_request_and_makes_room(
    runtime: Runtime, server: ScriptedServer, submitter: Submitter
) -> None:
    server.knobs = STALL
    await submitter.submit("cancelled")
    await server.stalled(server.stats.stalled + 1)
    await submitter.submit("next")
    await submitter.actor.cancel.remote("cancelled")
    assert await submitter.ended("next") == ["started", "patch"]
    # Nothing lets the stalled answer go on: it is over because its reader is gone.
    await server.idle()
    assert [record.outcome for record in server.requests[-2:]] == ["stalled", "answered"]


async def test_a_newer_job_of_a_session_stops_the_older(server: ScriptedServer, submitter: Submitter) -> None:
    server.knobs = STALL
    await submitter.submit("old", session="s")
    await server.stalled(server.stats.stalled + 1)
    await submitter.submit("new", session="s")
    assert await submitter.ended("old") == ["started", "failed: superseded"]
    assert await submitter.ended("new") == ["started", "patch"]
    await server.idle()


async def test_a_full_queue_sheds_soft_work_and_does_the_most_urgent_first(
    runtime: Runtime, server: ScriptedServer, submitter: Submitter
) -> None:
    server.knobs = STALL
    await submitter.submit("runs")
    await server.stalled(server.stats.stalled + 1)
    await asyncio.gather(*(submitter.submit(f"soft {number}") for number in range(QUEUED_PER_SLOT)))
    while len((await inside(runtime, "router/0", state_of))[1]) < QUEUED_PER_SLOT:
        await asyncio.sleep(0.02)
    await submitter.submit("late")
    assert await submitter.ended("late") == ["shed: shed"]
    _, waiting = await inside(runtime, "router/0", state_of)
    await submitter.submit("urgent", "trigger")
    assert await submitter.ended(waiting[-1]) == ["shed: shed"]
    await submitter.actor.promote.remote(waiting[-2], "waiting")
    await has(runtime, ["runs"], [waiting[-2], "urgent", *waiting[:-2]])
    for key in waiting[:-2]:
        await submitter.actor.cancel.remote(key)
    server.release()
    await submitter.ended("urgent")
    assert await submitter.actor.order.remote() == ["runs", waiting[-2], "urgent"]


async def test_a_session_whose_process_dies_leaves_no_job_that_blocks_others(
    runtime: Runtime, server: ScriptedServer, submitter: Submitter
) -> None:
    server.knobs = STALL
    lost = Submitter(runtime, server)
    await submitter.submit("busy")
    await server.stalled(server.stats.stalled + 1)
    await lost.submit("moot")
    await has(runtime, ["busy"], ["moot"])
    await submitter.submit("after")
    await has(runtime, ["busy"], ["moot", "after"])
    ray.kill(lost.actor)
    server.release()
    assert await submitter.ended("after") == ["started", "patch"]


async def test_every_router_has_compactors_of_its_own() -> None:
    few = RuntimeSettings("n", "p", routers=3, compactors=1)
    assert [few.compactors_of(shard) for shard in range(3)] == [["compactor/0"], ["compactor/1"], ["compactor/2"]]
    many = RuntimeSettings("n", "p", routers=2, compactors=3)
    assert [many.compactors_of(shard) for shard in range(2)] == [["compactor/0", "compactor/2"], ["compactor/1"]]


async def test_a_session_that_is_killed_while_it_is_compacted_goes_on_and_splices_one_summary_a_job(
    runtime: Runtime, server: ScriptedServer
) -> None:
    async with ScriptedServer() as summaries:
        summaries.knobs = STALL
        session = await runtime.session(
            **config(server, context_limit=2_000, max_tokens=200, compaction=own(summaries))
        )
        tales = await told_until(session, [], lambda _: bool(summaries.stats.stalled))
        await kill(runtime, "sessions/0")
        tales = await told_until(session, tales, lambda status: bool(status.compactions))
        tales.append(await tell(session, len(tales)))
        await summaries.idle()
    # The job of the owner that was killed made room for its successor's.
    assert summaries.requests[0].outcome == "stalled"
    full = [text_of(message.content) for message in await session.history(full=True)]
    shown = [text_of(message.content) for message in await session.history()]
    assert full == [text for tale in tales for text in (tale, f"You said: {tale}")]
    assert shown[0].startswith("[Previous conversation summary]")
    assert shown[-2:] == full[-2:]
    assert len(shown) < len(full)
    jobs = await jobs_of(runtime, session)
    assert len(jobs) == len(set(jobs)) == (await session.status()).compactions
    assert not server.stats.invalid


def own(summaries: ScriptedServer) -> dict[str, Any]:
    """Compaction with marks that a few turns reach and a summariser of its own, which no turn waits for."""
    summariser = {**config(summaries), "model": "anthropic/summaries"}
    return {"soft": 0.3, "trigger": 0.4, "mechanical": None, "keep_recent_turns": 1, "keep_tokens": 0, **summariser}


async def tell(session: SessionHandle, number: int) -> str:
    """A turn of some length; what was said in it."""
    tale = f"Tale {number}: " + "and then they went on " * 12
    assert await session.ask(tale) == f"You said: {tale}"
    return tale


async def told_until(
    session: SessionHandle, tales: list[str], enough: Callable[[SessionStatus], bool], most: int = 40
) -> list[str]:
    """What has been said once it is enough."""
    while not enough(await session.status()):
        assert len(tales) < most
        tales = [*tales, await tell(session, len(tales))]
    return tales


async def jobs_of(runtime: Runtime, session: SessionHandle) -> list[str | None]:
    """The jobs whose summaries were put in place, as the journal has them."""
    journal = JournalHandle(JOURNAL_NAME, runtime.settings.namespace)
    records = await journal.read(session.id)
    return [record.entry.job_id for record in records if isinstance(record.entry, Compacted)]
