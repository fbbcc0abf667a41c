"""The example programs, run as the README says."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from agent_core.errors import ConfigError
from agent_core.local_model.installed import check_installed
from agent_core.scripted import Knobs, Match, Reply, Rule, Script, ToolCall
from agent_core.scripted.server import ScriptedServer


def is_installed() -> bool:
    """Whether the model can be served here."""
    try:
        check_installed()
    except ConfigError:
        return False
    return True


pytestmark = pytest.mark.timeout(240)
needs_local_model = pytest.mark.skipif(not is_installed(), reason="local/smollm2 is not installed: run make setup")

# What a small model says, and whether it calls a tool, is no promise of the examples.
ASKED_FOR_WEATHER = Script(
    rules=(
        Rule(match=Match(rounds=0), replies=(Reply(tool_calls=(ToolCall(name="weather", input={"city": "Paris"}),)),)),
        Rule(replies=(Reply(text="It is {{results}}."),)),
    )
)
STEERED_AND_INTERRUPTED = Script(
    rules=(
        Rule(
            match=Match(text="population of Vienna", rounds=0),
            replies=(Reply(tool_calls=(ToolCall(name="population", input={"city": "Vienna"}),)),),
        ),
        # What came between the model's two calls has to be in the second one.
        Rule(match=Match(text="Say hello"), replies=(Reply(text="Hello! It is 2,800,006."),)),
        Rule(
            match=Match(text="dragon"),
            replies=(Reply(text="Once upon a time " * 200, knobs=Knobs(tokens_per_second=20)),),
        ),
    )
)


async def shown_by(repository: Path, *program: str, **environment: str) -> str:
    """What an example prints, which ends well and has no complaint."""
    name, *arguments = program
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"examples.{name}", *arguments),
        cwd=repository,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    return out.decode()


@needs_local_model
async def test_the_example_of_many_sessions_has_them_all_answered_by_the_local_model(repository: Path) -> None:
    out = await shown_by(repository, "many_sessions", "local/smollm2", "8")
    assert "{'answered': 8}" in out
    assert "'sessions/0'" in out


@pytest.mark.parametrize(
    ("name", "script", "shown"),
    [
        (
            "streaming_tool",
            ASKED_FOR_WEATHER,
            ("[weather {'city': 'Paris'}]", "[ok: sunny and 21 degrees in Paris]", "It is sunny", "[completed]"),
        ),
        (
            "steer_and_interrupt",
            STEERED_AND_INTERRUPTED,
            ("Hello! It is 2,800,006.", "[u1 completed;", "Once upon a", "[u2 interrupted;", "idle, "),
        ),
    ],
    ids=["streaming_tool", "steer_and_interrupt"],
)
async def test_an_example_shows_what_it_promises(
    name: str, script: Script, shown: tuple[str, ...], repository: Path
) -> None:
    async with ScriptedServer(script) as server:
        key = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "key-of-a-test"}
        out = await shown_by(repository, name, "anthropic/claude-sonnet-4-5", **key)
    for words in shown:
        assert words in out
