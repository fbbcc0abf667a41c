"""What session actors have measured can be had without Prometheus, actor by actor."""

import pytest

from actors import Runtime
from actors.metrics import measured, role_of
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import add, config


@pytest.mark.asyncio(loop_scope="module")
async def test_every_session_actor_tells_its_turns_tokens_and_tools(runtime: Runtime, server: ScriptedServer) -> None:
    before = (await measured(runtime.namespace)).get("sessions/0", {})
    session = await runtime.session("measured", tools=[add], **config(server))
    await session.ask('call add {"a": 1, "b": 2}')
    numbers = (await measured(runtime.namespace))["sessions/0"]
    model = "provider=anthropic,model=claude-test"
    turns = f"rayconteur_turns{{{model},outcome=completed}}"
    assert numbers[turns] - before.get(turns, 0) == 1
    assert numbers["rayconteur_tool_calls{tool=add,outcome=ok}"] == 1
    assert numbers[f"rayconteur_tokens{{{model},direction=output,purpose=turn}}"] > 0
    assert numbers["rayconteur_journal_seconds_count{at=sessions}"] > 0


def test_actors_are_counted_by_their_role_and_not_by_their_name() -> None:
    names = ["sessions/3", "session/12", "journal", "router/0", "tools/gpu/1", "compactor/2", "local-model", ""]
    roles = ["session", "session", "journal", "router", "tools", "compactor", "local-model", "other"]
    assert [role_of(name) for name in names] == roles
