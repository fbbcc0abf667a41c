"""What every test run needs: no real key, no file in the user's home, the same examples again in CI."""

import asyncio
import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.postgres import PostgresCluster, running

PROVIDER_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY")
USER_DIRECTORIES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
# Example times on a shared machine say nothing about the code, so no example has a deadline.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)

user_home: tempfile.TemporaryDirectory[str] | None = None


def pytest_configure() -> None:
    """Take the user's keys and directories out of the environment, before any process inherits it."""
    # A runner that was started in the background may ignore them, and whoever it starts then does so too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    global user_home  # noqa: PLW0603 - lives exactly as long as the run
    settings.load_profile("ci" if os.environ.get("CI") else "default")
    for name in PROVIDER_KEYS:
        os.environ.pop(name, None)
    user_home = tempfile.TemporaryDirectory(prefix="rayconteur-tests-")
    for name in USER_DIRECTORIES:
        directory = Path(user_home.name, name.lower())
        directory.mkdir()
        os.environ[name] = str(directory)
    # Or else pytest-asyncio makes a loop to go back to, which the first `asyncio.run` of a test leaves unclosed.
    asyncio.set_event_loop(None)
    # Ray's own count of users asks the network.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


class ByFile(LoadScopeScheduling):
    """Keeps the tests of a file together where there are several workers, and those of the shared cluster in one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/actors" if file.startswith("tests/actors/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Which worker has which tests, whatever `--dist` says."""
    return ByFile(config, log)


def pytest_collection_finish() -> None:
    """Leave every test and what it imported out of what is looked through for garbage from here on."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Remove what the run kept in its own home."""
    if user_home is not None:
        user_home.cleanup()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout, which programs are run from."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """A PostgreSQL server for the run, started by the first test that wants one."""
    with running() as cluster:
        yield cluster


@pytest.fixture
def database(postgres: PostgresCluster) -> str:
    """The name of an empty database. It goes with the server."""
    return postgres.create_database()
