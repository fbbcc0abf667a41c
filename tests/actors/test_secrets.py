"""A key stays where it was planted: what a provider says of it is scrubbed before it is kept, shown or logged."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import Runtime
from agent_core.cursor import Cursor
from agent_core.entries import TurnEnded
from agent_core.errors import ProviderError
from agent_core.scripted import Fault, HttpError, Knobs, Match, Reply, Rule, Script
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import PLANTED_KEY, add, config

pytestmark = pytest.mark.asyncio(loop_scope="module")

ECHO = f"Incorrect API key provided: {PLANTED_KEY}. It is no use."
SCRUBBED = "Incorrect API key provided: [redacted]. It is no use."


def refusing() -> Script:
    """A script whose server tells the key that it got: in the body of an error, or in the answer."""
    body = {"type": "error", "error": {"type": "authentication_error", "message": ECHO}}
    error = HttpError(status=401, body=body, headers={"x-key": PLANTED_KEY})
    return Script(rules=(Rule(match=Match(text="refuse me"), replies=(Reply(error=error),)),))


def files_of_ray() -> Iterator[tuple[Path, bytes]]:
    """Every file that the cluster keeps: logs above all."""
    worker: Any = importlib.import_module("ray._private.worker")
    directory = Path(worker._global_node.get_session_dir_path())
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


async def test_a_key_that_a_server_echoes_is_in_no_file_and_no_word(cluster: None, tmp_path: Path) -> None:
    said: list[Any] = []
    async with (
        ScriptedServer(refusing()) as server,
        Runtime(data_dir=tmp_path, sessions_per_actor=10, session_actors=1) as runtime,
    ):
        session = await runtime.session("echoed", tools=[add], **config(server))
        said.append(await session.ask('call add {"a": 1, "b": 2}'))
        with pytest.raises(ProviderError) as refused:
            await session.ask("refuse me")
        said += [refused.value, *vars(refused.value).items()]
        server.knobs = Knobs(
            stream_error_type="api_error", stream_error_message=ECHO, faults={"stream_error": Fault(every=1)}
        )
        ended = [event async for event in session.send("break off")][-1]
        assert isinstance(ended, TurnEnded)
        assert ended.error is not None
        assert SCRUBBED in ended.error.message
        server.knobs = Knobs()
        said += [await session.status(), await session.history(full=True), session, runtime.settings, runtime]
        said += [await session._settings(), runtime.description, runtime.dashboard_hint]
        async for event in session.events(after=Cursor()):
            said.append(event)
            if event.payload == ended:
                break
        assert [word for word in said if PLANTED_KEY in f"{word}{word!r}"] == []
        assert any("[redacted]" in str(word) for word in said)
        kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    kept |= {path: path.read_bytes() for path in tmp_path.iterdir()} | dict(files_of_ray())
    assert any(SCRUBBED.encode() in data for data in kept.values())
    assert any("worker" in path.name for path in kept)
    assert [path for path, data in kept.items() if PLANTED_KEY.encode() in data] == []
