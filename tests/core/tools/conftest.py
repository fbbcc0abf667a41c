"""One executor with few processes, closed when its test is over."""

from collections.abc import AsyncIterator

import pytest

from agent_core.tools import ExecutorOptions, LocalToolExecutor

SMALL = ExecutorOptions(slots=8, children=1, max_children=2, grace=0.05)


@pytest.fixture
async def executor() -> AsyncIterator[LocalToolExecutor]:
    """An executor for one test; no process starts before a synchronous tool is called."""
    made = LocalToolExecutor(SMALL)
    yield made
    await made.aclose()
