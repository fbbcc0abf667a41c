"""Sessions in Inspect's own evaluations: as a solver in place of the task's, and as the model that the task asks."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval_async
from inspect_ai._util.entrypoints import clear_entry_points_state
from inspect_ai.log import EvalLog
from inspect_ai.model import get_model
from inspect_ai.solver import SolverSpec

from agent_core.scripted.server import ScriptedServer
from drivers.inspecting import inside
from drivers.inspecting.hosting import HOSTS
from tests.drivers.inspecting.world import TASKS, answering, asked, metrics_of, scores_of, there, whole

FIELDS: dict[str, Any] = {"wire": "chat", "api_key": "env:SCRIPTED_KEY", "context_limit": 100_000}


@pytest.fixture
def installed(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project as it is once installed: with the entry points that it declares."""
    declared = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / "rayconteur-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rayconteur\nVersion: 0.1.0\n")
    points = [f"{name} = {place}" for name, place in declared["entry-points"]["inspect_ai"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[inspect_ai]", *points]) + "\n")
    monkeypatch.syspath_prepend(str(info.parent))
    clear_entry_points_state()


async def evaluated(server: ScriptedServer, task: str, logs: Path, **how: Any) -> EvalLog:
    inside.show_nothing()
    return await whole((await eval_async(str(TASKS / task), log_dir=str(logs), log_realtime=False, **how))[0])


async def test_sessions_are_a_solver_of_inspects_evaluations(installed: None, tmp_path: Path) -> None:
    async with answering() as server:
        url = server.url + "/v1"
        async with get_model("openai/scripted", base_url=url, api_key="made-up", memoize=False) as model:
            solver = SolverSpec("rayconteur/session", args_passed=FIELDS)
            log = await evaluated(server, "capitals.py@capitals", tmp_path, model=model, solver=solver)
        assert log.status == "success", log.error
        assert {one["includes"] for name, one in scores_of(log).items() if "Peru" not in name[0]} == {"C"}
        assert [step.solver for step in log.plan.steps] == ["rayconteur/session"]
        settings = {(request.body["temperature"], request.body["max_tokens"]) for request in server.requests}
        assert settings == {(0.5, 200)}
        assert not HOSTS.open


async def test_sessions_are_a_model_of_inspects_evaluations(tmp_path: Path) -> None:
    for task in ("ledger.py@ledger_react", "essays.py@criticised"):
        async with answering() as theirs:
            log = await there(theirs, task, tmp_path)
        async with answering() as server:
            model = get_model("rayconteur/openai/scripted", base_url=server.url + "/v1", memoize=False, **FIELDS)
            ours = await evaluated(server, task, tmp_path, model=model)
            assert ours.status == "success", ours.error
            assert scores_of(ours) == scores_of(log)
            assert metrics_of(ours) == metrics_of(log)
            assert asked(server) == asked(theirs)
            assert not HOSTS.open
