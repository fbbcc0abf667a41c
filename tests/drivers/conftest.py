"""One process that all programs of a run are forked from."""

from collections.abc import Iterator

import pytest

from tests.drivers.forked import ForkServer, serving


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Starts programs quickly."""
    with serving() as server:
        yield server
