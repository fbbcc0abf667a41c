"""`evaluate run` on tasks that were written for Inspect, as a user runs them."""

from pathlib import Path

import pytest

from agent_core.scripted.script import Reply, Rule, Script
from drivers import errors
from drivers.evaluate import PROGRAM, app
from tests.drivers import evaluate_world
from tests.drivers.evaluate_world import MODEL, Done
from tests.drivers.forked import ForkServer

pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: pip install -e '.[inspect]'")
pytestmark = pytest.mark.timeout(60)
TASKS = Path(__file__).parent / "tasks"
OSLO = Script(rules=(Rule(replies=(Reply(text="It is Oslo."),)),))


async def test_an_inspect_task_is_run_scored_and_measured_by_what_it_says_itself(
    forks: ForkServer, tmp_path: Path
) -> None:
    async with evaluate_world.world(forks, tmp_path, OSLO) as this:
        task = f"{TASKS / 'capitals.py'}@capitals"
        # The task sets a temperature, which Anthropic's wire has not.
        wire = ["-m", "openai/scripted", "--wire", "chat", "--api-key", "env:ANTHROPIC_API_KEY"]
        where = [*wire, "--base-url", f"{this.server.url}/v1", "--context-limit", "100000", "--in-process"]
        arguments = ["run", task, "-T", "epochs=3", *where, "--out", str(this.out), "--no-report"]
        done: Done = await this.ended(await this.start(arguments))
        assert done.code == 0, done.err
        assert this.outcomes() == {"scored": 12}
        assert "includes accuracy (mean): 0.25" in done.out
        assert {row["id"] for row in this.results()} == {f"capital-{n}" for n in ("France", "Norway", "Peru", "Kenya")}
        right = [row["id"] for row in this.results() if row["scores"]["includes"]["value"] == 1.0]
        assert right == ["capital-Norway"] * 3
        asked = len(this.server.requests)
        again = await this.ended(await this.start(["resume", str(this.out)]))
        assert again.code == 0, again.err
        assert len(this.server.requests) == asked, "nothing was left to ask"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--agent", "chat"), "--agent: a task of Inspect has solvers of its own"),
        (("--scorer", "exact"), "drivers.evaluate score"),
        (("--tools", "examples.streaming_tool"), "--tools: a task of Inspect has tools of its own"),
        (("--input-field", "q"), "a dataset of its own"),
        (("-T", "nonsense=1"), "nonsense"),
        (("-T", "epochs=[1"), "not valid YAML"),
    ],
)
def test_what_an_inspect_task_says_itself_is_not_said_by_flags(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    command = ["run", f"{TASKS / 'capitals.py'}@capitals", "-m", MODEL, "--context-limit", "1000", "--in-process"]
    code = errors.run(app, program=PROGRAM, arguments=[*command, "--out", str(tmp_path / "out"), *arguments])
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert said in told.err
    assert "Traceback" not in told.err


def test_a_file_with_several_tasks_is_refused_with_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    command = ["run", str(TASKS / "capitals.py"), "-m", MODEL, "--context-limit", "1000", "--in-process"]
    assert errors.run(app, program=PROGRAM, arguments=[*command, "--out", str(tmp_path / "out")]) == 2
    assert "capitals, thinking_capitals" in capsys.readouterr().err
