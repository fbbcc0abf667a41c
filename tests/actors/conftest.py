"""One local Ray cluster for every test of the actors."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A local cluster whose processes import from this checkout."""
    root = str(Path(__file__).resolve().parent.parent.parent)
    # Processes of the cluster inherit the environment of the one that starts it.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
