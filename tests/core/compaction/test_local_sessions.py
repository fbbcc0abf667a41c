"""Sessions of a local runtime, with the real provider stack: they are compacted beside their turns."""

import pytest

from agent_core.content import text_of
from agent_core.local_runtime import LocalRuntime
from agent_core.scripted.server import ScriptedServer

MARKS = {"soft": 0.3, "trigger": 0.4, "mechanical": None, "keep_recent_turns": 1, "keep_tokens": 0}


async def test_a_conversation_in_a_local_runtime_is_compacted_and_stays_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCRIPTED_KEY", "sk-test-0123456789")
    async with ScriptedServer() as server, LocalRuntime() as runtime:
        session = await runtime.session(
            model="anthropic/claude-test",
            base_url=server.url,
            api_key="env:SCRIPTED_KEY",
            context_limit=3_000,
            max_tokens=200,
            compaction=MARKS,
        )
        tales: list[str] = []
        while not (await session.status()).compactions:
            assert len(tales) < 40
            tales.append(f"Tale {len(tales)}: " + "and then they went on " * 20)
            await session.ask(tales[-1])
        shown, full = await session.history(), await session.history(full=True)
    assert [text_of(message.content) for message in full[::2]] == tales
    assert text_of(shown[0].content).startswith("[Previous conversation summary]")
    assert len(shown) < len(full)
    assert not server.stats.invalid
