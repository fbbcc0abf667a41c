"""The same task file gives the same scores, metrics and requests here as it does in Inspect."""

from pathlib import Path

import pytest

from drivers.inspecting.source import Route
from tests.drivers.inspecting.world import answering, asked, here, metrics_of, scores_of, there, values_of

TASKS = [
    "capitals.py@capitals",
    "capitals.py@thinking_capitals",
    "planets.py@planets",
    "ledger.py@ledger",
    "ledger.py@ledger_react",
    "ledger.py@ledger_basic",
    "essays.py@graded",
    "essays.py@criticised",
    "essays.py@conversation",
    "essays.py@cut_short",
]


@pytest.mark.parametrize("task", TASKS)
async def test_a_task_written_for_inspect_scores_the_same_here(task: str, tmp_path: Path) -> None:
    async with answering() as theirs:
        log = await there(theirs, task, tmp_path)
    assert log.status == "success", log.error
    routes: tuple[Route, ...] = ("direct", "slices")
    for route in routes:
        async with answering() as server, here(server) as runner:
            made, results = await runner.run(task, route)
            assert values_of(results) == scores_of(log), route
            assert [tuple(metric) for metric in made.metrics(results)] == metrics_of(log), route
            assert asked(server) == asked(theirs), route


async def test_arguments_reach_the_task(tmp_path: Path) -> None:
    async with answering() as theirs, answering() as server, here(server) as runner:
        log = await there(theirs, "capitals.py@capitals", tmp_path, epochs=1, hint=" Please.")
        made, results = await runner.run("capitals.py@capitals", epochs=1, hint=" Please.")
        assert values_of(results) == scores_of(log)
        assert len(results) == made.count == 4
        assert asked(server) == asked(theirs)
        assert "Please." in next(iter(asked(server)))
