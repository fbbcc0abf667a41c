"""The example programs, run as the README says, with the model that needs no key."""

import asyncio
import sys
from pathlib import Path

import pytest

from agent_core.errors import ConfigError
from agent_core.local_model.installed import check_installed


def is_installed() -> bool:
    """Whether the model can be served here."""
    try:
        check_installed()
    except ConfigError:
        return False
    return True


pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="local/smollm2 is not installed: run make setup"),
    pytest.mark.timeout(240),
]


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        (["streaming_tool"], ["[weather {'city': 'Paris'}]", "[ok: sunny and 21 degrees in Paris]", "[completed]"]),
        (["steer_and_interrupt"], ["[u1 completed;", "[u2 interrupted;", "idle, "]),
        (["many_sessions", "local/smollm2", "8"], ["{'answered': 8}", "'sessions/0'"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
async def test_an_example_shows_what_it_promises(program: list[str], shown: list[str], repository: Path) -> None:
    name, *arguments = program
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"examples.{name}", *arguments),
        cwd=repository,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    for words in shown:
        assert words in out.decode()
