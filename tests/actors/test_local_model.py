"""The local model's actor: one for everybody, reached over the node's address, back after whatever dies."""

import asyncio
import contextlib
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import psutil
import pytest
from openai import AsyncOpenAI
from ray.util import get_node_ip_address

from actors.local_model import LocalModelHandle
from agent_core.errors import ConfigError, PlacementError
from agent_core.local_model import MODEL_NAME, LocalModelOptions
from agent_core.local_model.installed import check_installed

NAMESPACE = "test-local-model"


def is_installed() -> bool:
    """Whether the model can be served here."""
    try:
        check_installed()
    except ConfigError:
        return False
    return True


pytestmark = pytest.mark.skipif(not is_installed(), reason="local/smollm2 is not installed: run make setup")


@pytest.fixture
async def model(cluster: None) -> AsyncIterator[LocalModelHandle]:
    """A local model of this test's own, with small windows."""
    options = LocalModelOptions(host=get_node_ip_address(), slots=1, context=256)
    handle = LocalModelHandle(f"local-model-{uuid.uuid4().hex}", NAMESPACE, options, tethered=False)
    yield handle
    await handle.close()


async def gone(pid: int | None) -> None:
    """Wait until a process that is no child of this one has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(psutil.Process(pid).wait, 30)


async def test_the_local_model_answers_at_its_nodes_address(model: LocalModelHandle) -> None:
    url = await model.base_url()
    assert urlsplit(url).hostname == get_node_ip_address()
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        answer = await client.chat.completions.create(
            model=MODEL_NAME,
            max_tokens=16,
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            temperature=0,
        )
    assert "Paris" in (answer.choices[0].message.content or "")


async def test_there_is_one_server_however_many_ask_at_once(model: LocalModelHandle) -> None:
    others = [LocalModelHandle(model.name, NAMESPACE, tethered=False) for _ in range(3)]
    places = await asyncio.gather(*(handle.place() for handle in (model, *others)))
    assert len(set(places)) == 1


async def test_the_local_model_is_back_after_its_server_and_its_actor_were_killed(model: LocalModelHandle) -> None:
    first = await model.place()
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    await gone(first.pid)
    second = await model.place()
    assert (second.url, second.actor_pid) == (first.url, first.actor_pid)
    assert second.pid not in (None, first.pid)
    os.kill(second.actor_pid, signal.SIGKILL)
    await gone(second.actor_pid)
    await gone(second.pid)
    third = await model.place()
    assert third.actor_pid != second.actor_pid
    assert third.pid not in (None, second.pid)


async def test_what_keeps_the_server_from_starting_reaches_the_one_who_asks(cluster: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        handle = LocalModelHandle(
            f"local-model-{uuid.uuid4().hex}", NAMESPACE, LocalModelOptions(port=port), tethered=False
        )
        with pytest.raises(PlacementError, match=f"port: {port} is in use"):
            await handle.base_url()
        await handle.close()
