"""One local Ray cluster for all tests of the actors; a runtime and a model server for each module of them.

The rule here: a test leaves the runtime as it found it. What it kills starts again; what it opens has ids of its own.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import ray

from actors import Runtime
from actors.cluster import be_quiet
from agent_core.scripted import Knobs
from agent_core.scripted.server import ScriptedServer
from tests.actors.world import PLANTED, PLANTED_KEY


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A local cluster whose processes import from this checkout."""
    root = str(Path(__file__).resolve().parent.parent.parent)
    # Processes of the cluster inherit the environment of the one that starts it.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    os.environ[PLANTED] = PLANTED_KEY
    be_quiet()
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model_server() -> AsyncIterator[ScriptedServer]:
    """The module's model server."""
    async with ScriptedServer() as running:
        yield running


@pytest.fixture
def server(model_server: ScriptedServer) -> Iterator[ScriptedServer]:
    """The module's model server, with no knob turned."""
    model_server.knobs = Knobs()
    yield model_server
    model_server.knobs = Knobs()
    model_server.release()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """The module's runtime, whose sessions share one actor unless they say otherwise."""
    data = tmp_path_factory.mktemp("data")
    async with Runtime(data_dir=data, sessions_per_actor=1000, session_actors=1, max_actors=4) as running:
        yield running
