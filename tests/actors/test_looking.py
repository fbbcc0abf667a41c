"""A cluster seen from outside: what a busy runtime shows is right, and looking at it changes nothing."""

import asyncio
import json
import os
import sys
from contextlib import aclosing
from pathlib import Path

import pytest
import ray

from actors import Runtime
from actors.looking import ClusterView, looking_at
from agent_core.cluster_snapshot import ClusterSnapshot
from agent_core.errors import PlacementError
from agent_core.glance import GlanceRequest, SessionLine
from agent_core.scripted import Fault, Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.test_control import is_in
from tests.actors.world import add, config, inside, kill

pytestmark = pytest.mark.asyncio(loop_scope="module")

STALLED = Knobs(faults={"stall": Fault(every=1)})


def name_of(runtime: Runtime) -> str:
    return runtime.namespace.removeprefix("rayconteur/")


async def shown(view: ClusterView, runtime: Runtime, **asked: object) -> ClusterSnapshot:
    """What there is to see of a runtime."""
    return await view.snapshot(GlanceRequest.model_validate(asked), name_of(runtime))


def the(snapshot: ClusterSnapshot, session_id: str) -> SessionLine:
    (line,) = (line for line in snapshot.sessions if line.session_id == session_id)
    return line


async def test_a_busy_runtime_is_shown_as_it_is_here_and_to_a_script(
    runtime: Runtime, server: ScriptedServer, repository: Path
) -> None:
    done = await runtime.session("look-done", tools=[add], labels={"team": "looked-at"}, **config(server))
    await done.ask('call add {"a": 1, "b": 2}')
    busy = await runtime.session("look-busy", **config(server))
    server.knobs = STALLED
    await busy.submit("take your time")
    await is_in(busy, "running")
    async with looking_at(None) as view:
        snapshot = await shown(view, runtime)
        assert name_of(runtime) in snapshot.runtimes
        assert the(snapshot, "look-done").model_dump(include={"state", "turns", "labels", "actor", "model"}) == {
            "state": "idle",
            "turns": 1,
            "labels": {"team": "looked-at"},
            "actor": "sessions/0",
            "model": "anthropic/claude-test",
        }
        assert the(snapshot, "look-busy").state == "running"
        assert (snapshot.states["running"], snapshot.totals.turns, snapshot.totals.tool_calls) == (1, 1, 1)
        assert snapshot.totals.requests >= 3
        kinds = {actor.name: (actor.kind, actor.sessions, actor.answering) for actor in snapshot.actors}
        assert kinds["sessions/0"] == ("sessions", len(snapshot.sessions), True)
        assert kinds["router/0"] == ("router", None, True)
        assert kinds["journal"] == ("journal", None, True)
        pids = {actor.name: actor.process.pid for actor in snapshot.actors}
        assert pids["sessions/0"] == await runtime.process_of("sessions/0")
        assert len(set(pids.values())) == len(pids)
        assert all(actor.process.memory > 1e6 for actor in snapshot.actors)
        assert [line.session_id for line in (await shown(view, runtime, search="looked")).sessions] == ["look-done"]
    await program_says_the_same(repository, runtime)
    assert await busy.interrupt()


async def program_says_the_same(repository: Path, runtime: Runtime) -> None:
    """`--once --json`, by a program of its own."""
    address = ray.get_runtime_context().gcs_address
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "drivers.top", "--once", "--json", "--address", address),
        *("--name", name_of(runtime), "--state", "running"),
        cwd=repository,
        env={**os.environ, "RAY_AUTH_MODE": "token"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    told = json.loads(out)
    assert [line["session_id"] for line in told["sessions"]] == ["look-busy"]
    assert (told["states"]["running"], told["totals"]["turns"], told["address"]) == (1, 1, address)
    assert {actor["name"] for actor in told["actors"]} >= {"router/0", "journal", "sessions/0"}


async def test_an_actor_answers_while_its_loop_is_stuck(runtime: Runtime, server: ScriptedServer) -> None:
    session = await runtime.session("look-stuck", **config(server))

    def hold_up(actor: object) -> None:
        import time

        actor._loop.call_soon_threadsafe(time.sleep, 1.5)  # type: ignore[attr-defined]

    await inside(runtime, "sessions/0", hold_up)
    history = asyncio.create_task(session.history())
    async with looking_at(None) as view:
        assert the(await shown(view, runtime, search="look-stuck"), "look-stuck").state == "idle"
        assert not history.done()
    await history


async def test_a_session_is_watched_interrupted_and_compacted_and_at_rest_it_stays_so(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session = await runtime.session("look-watched", **config(server))
    await session.ask("first")
    server.knobs = STALLED
    await session.submit("take your time")
    await is_in(session, "running")
    where = (name_of(runtime), "sessions/0", "look-watched")
    async with looking_at(None) as view:
        async with aclosing(view.watch(*where)) as events:  # type: ignore[type-var]
            kinds: list[str] = []
            async for event in events:
                kinds.append(event.payload.kind)
                if kinds.count("turn_started") == 2 and "interrupted" not in kinds:
                    assert await view.interrupt(*where, "keep")
                    kinds.append("interrupted")
                if kinds.count("turn_ended") == 2:
                    break
        assert kinds[:2] == ["opened", "accepted"]
        assert not await view.interrupt(*where, "keep")
        server.knobs = Knobs()
        assert not (await view.compact(*where)).error
        assert await inside(runtime, "sessions/0", _resting) >= 1
        assert [event async for event in view.watch(*where)] == []
        assert "look-watched" not in {line.session_id for line in (await shown(view, runtime)).sessions}
        with pytest.raises(PlacementError):
            await view.interrupt(where[0], "session/77", "look-watched", "keep")


def _resting(actor: object) -> int:
    """Has an actor put away what is idle."""
    host, loop = actor._host, actor._loop  # type: ignore[attr-defined]
    return asyncio.run_coroutine_threadsafe(host.put_away(), loop).result(10)


async def test_an_actor_that_is_killed_is_shown_silent_or_back_and_all_others_as_before(
    runtime: Runtime, server: ScriptedServer
) -> None:
    session = await runtime.session("look-killed", **config(server))
    async with looking_at(None, patience=1.0) as view:
        await kill(runtime, "sessions/0")
        while True:
            snapshot = await shown(view, runtime)
            actors = {actor.name: actor for actor in snapshot.actors}
            assert actors["journal"].answering
            if actors["sessions/0"].restarts:
                break
        assert await session.ask("still there?") == "You said: still there?"
        snapshot = await shown(view, runtime, search="look-killed")
        assert (the(snapshot, "look-killed").turns, snapshot.totals.turns) == (1, 1)
