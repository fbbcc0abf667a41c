"""What Inspect would leave behind in the process and in the user's directories, put back or kept away."""

import asyncio
import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module", autouse=True)
def _inspect_leaves_no_loop() -> Iterator[None]:
    """Close the loops that Inspect made and forgot, or else whichever test comes next is blamed for them."""
    before = {id(loop) for loop in _loops()}
    yield
    for loop in _loops():
        if id(loop) not in before and not loop.is_running():
            loop.close()


def _loops() -> list[asyncio.AbstractEventLoop]:
    gc.collect()
    return [found for found in gc.get_objects() if isinstance(found, asyncio.BaseEventLoop) and not found.is_closed()]


@pytest.fixture(autouse=True)
def _inspect_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("SCRIPTED_KEY", "made-up")
    # It would let `asyncio.run` leave loops open from then on, and make every task in Python.
    monkeypatch.setattr("inspect_ai._util._async.nest_asyncio.apply", _refuse)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _refuse() -> None:
    raise AssertionError("a synchronous function of Inspect was called inside a loop: call its _async twin")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Inspect waits between retries with an argument that tenacity calls by another name now, and leaves streams open.

    Both are in Inspect's own code, and cannot be mended here.
    """
    here = Path(__file__).parent
    known = ("The 'initial' parameter is deprecated:DeprecationWarning", "Unclosed <MemoryObject:ResourceWarning")
    for item in items:
        if here in item.path.parents:
            for warning in known:
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{warning}"))
