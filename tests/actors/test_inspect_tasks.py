"""Tasks that were written for Inspect, run unmodified by `evaluate run` on a cluster: both ways that samples go."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_core.scripted import ParsedRequest, Reply, ToolCall
from agent_core.scripted.server import ScriptedServer
from drivers import errors
from drivers.evaluate import PROGRAM, app
from tests.actors.world import PLANTED

pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: pip install -e '.[inspect]'")
pytestmark = pytest.mark.timeout(120)
TASKS = Path(__file__).parent.parent / "drivers" / "inspecting" / "tasks"


def brain(request: ParsedRequest) -> Reply:
    from tests.drivers.inspecting.world import knows

    if "read" not in request.tools:
        return knows(request)
    if not request.results:
        return Reply(tool_calls=(ToolCall(name="read", input={"file": "note.txt"}),))
    return Reply(text=f"It says: {request.results[-1].text}")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A model that knows what the tasks ask, served beside the program."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ScriptedServer(brain=brain)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(30)
    yield f"{server.url}/v1"
    asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


@pytest.mark.parametrize(
    ("task", "scores"),
    [
        ("capitals.py@capitals", {"includes": 0.75, "f1": 0.75}),
        ("ledger.py@ledger_react", {"includes": 1.0, "looked_up": 4 / 3}),
        # It has a sandbox, so Inspect's own runner takes each sample.
        ("desk.py", {"includes": 0.5, "was_seen": 1.0}),
    ],
)
def test_a_task_of_inspect_runs_on_a_cluster_as_it_is(
    cluster: None, url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], task: str, scores: dict[str, float]
) -> None:
    model = ["-m", "openai/scripted", "--wire", "chat", "--base-url", url, "--api-key", f"env:{PLANTED}"]
    where = ["--context-limit", "100000", "--data-dir", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    code = errors.run(app, program=PROGRAM, arguments=["run", str(TASKS / task), *model, *where, "--no-report"])
    assert code == 0, capfd.readouterr().err
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    results: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert {result["outcome"] for result in results} == {"scored"}
    means = {name: sum(result["scores"][name]["value"] for result in results) / len(results) for name in scores}
    assert means == pytest.approx(scores)
    assert all("@" in result["session_id"] for result in results), "each is held by a session of an actor"
