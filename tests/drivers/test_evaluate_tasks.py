"""What a run is given, resolved: task files, files of samples, and the flags that stand in place of their words."""

import io
import json
import pickle
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from agent_core.config import SessionConfig
from agent_core.errors import ConfigError
from agent_core.evaluation.agents.react import React
from agent_core.evaluation.configuration import Configuration
from drivers.evaluating.limit_options import RunLimitOptions, SampleLimitOptions
from drivers.evaluating.task_options import SampleOptions, TaskArgument, TaskOptions
from drivers.evaluating.tasks import ResolvedTask, resolve
from drivers.options import ModelOptions, grouped

TASK = '''
from pydantic import BaseModel
from agent_core.evaluation import SampleLimits, Task, react, task
from agent_core.tools import tool
from tools_beside import double

class Place(BaseModel):
    city: str

@tool
def country(place: Place) -> str:
    """The country of a place."""
    return "France"

class Right:
    name = "right"
    async def score(self, answered): ...

async def solve(session, sample) -> str:
    return "x"

@task
def places(level: int = 1) -> Task:
    return Task(
        dataset="places.jsonl", agent=react(max_turns=3), scorers=[Right()], tools=[country, "tools_beside:double"],
        limits=SampleLimits(turns=9, tokens=500), epochs=2, group_by=["kind"], model="openai/their-own",
        base_url="http://127.0.0.1:1/v1", wire="chat", context_limit=4000, system_prompt="Be brief.", max_tokens=level,
    )
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "tools_beside", raising=False)
    (tmp_path / "places.py").write_text(TASK)
    (tmp_path / "tools_beside.py").write_text("def double(n: int) -> int:\n    return 2 * n\n")
    rows = [{"id": f"p{number}", "input": f"{number}?", "kind": "city"} for number in range(20)]
    (tmp_path / "places.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def resolved(path: Path | str, *arguments: str) -> ResolvedTask:
    """What the command line makes of it, its options parsed as `run` does."""
    found: list[ResolvedTask] = []
    app = typer.Typer()

    @app.command()
    @grouped
    def run(
        file: TaskArgument,
        samples: SampleOptions,
        options: TaskOptions,
        limits: SampleLimitOptions,
        run_limits: RunLimitOptions,
    ) -> None:
        found.append(resolve(file, samples, options, limits))
        assert run_limits.limits().infrastructure_failures in (None, 3)

    result = CliRunner().invoke(app, [str(path), *arguments])
    if isinstance(result.exception, ConfigError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return found[0]


def ids(task: ResolvedTask) -> list[str]:
    return [sample.id for sample in task.samples()]


def test_a_task_file_says_all_that_a_run_needs(folder: Path) -> None:
    task = resolved(folder / "places.py", "-T", "level=7", "--max-failures", "3")
    assert (task.name, task.dataset, task.place, task.epochs, task.group_by) == (
        "places",
        "places.jsonl",
        "line",
        2,
        ("kind",),
    )
    assert [tool.name for tool in task.tools] == ["country", "double", "submit"]
    assert task.fields({"model": "local/any"})["max_tokens"] == 7
    assert task.fields({"max_tokens": 8})["system_prompt"].startswith("Be brief.\n\nYou work on a task")
    assert (task.scorers, task.limits.turns) == (("right",), 9)
    assert ids(task) == ids(task) == [f"p{number}" for number in range(20)]
    assert set(task.files) == {folder / "places.py", folder / "places.jsonl"}


def test_a_program_that_has_travelled_is_the_same_without_the_folder(folder: Path) -> None:
    source = pickle.loads(pickle.dumps(resolved(folder / "places.py@places").program))
    for path in folder.glob("places*"):
        path.unlink()
    assert source.load().agent == React(max_turns=3)


def test_flags_stand_in_place_of_the_tasks_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    task = resolved(
        "places.py",
        "--agent",
        "places.py:solve",
        "--epochs",
        "1",
        "--group-by",
        "a,b",
        "--max-turns",
        "4",
        "--limit",
        "2",
        "--shuffle",
        "3",
        "--range",
        "10:",
    )
    assert [tool.name for tool in task.tools] == ["country", "double"]
    assert (task.epochs, task.group_by, task.limits.turns, task.limits.tokens) == (1, ("a", "b"), 4, 500)
    assert len(ids(task)) == 2
    assert set(ids(task)) < {f"p{number}" for number in range(10, 20)}
    assert task.program.load().agent.function.__name__ == "solve"  # type: ignore[attr-defined]


def test_another_model_leaves_behind_how_the_tasks_own_is_reached(folder: Path) -> None:
    task = resolved(folder / "places.py")
    own = task.model(ModelOptions())
    assert (own.model, own.base_url, own.wire) == ("openai/their-own", "http://127.0.0.1:1/v1", "chat")
    other = task.model(ModelOptions(model="local/smollm2"))
    assert (other.model, other.base_url, other.wire, other.context_limit) == ("local/smollm2", None, None, 4000)
    assert "base_url" not in task.fields(other.fields())


def digest(task: ResolvedTask) -> str:
    return Configuration(session=SessionConfig(model="local/any"), tools=task.definitions).digest + str(task.basis)


def test_the_basis_changes_with_the_file_and_what_is_set_and_with_nothing_else(folder: Path) -> None:
    before = digest(resolved(folder / "places.py"))
    assert digest(resolved(folder / "places.py", "--limit", "3")) == before
    assert digest(resolved(folder / "places.py", "-T", "level=7")) != before
    assert digest(resolved(folder / "places.py", "--agent", "chat")) != before
    assert digest(resolved(folder / "places.py", "--token-limit", "5")) != before
    (folder / "places.py").write_text(TASK + "\n# Changed.\n")
    after = digest(resolved(folder / "places.py"))
    assert after != before


def test_yaml_says_the_same(folder: Path) -> None:
    (folder / "places.yaml").write_text(
        "name: cities\ndataset: places.jsonl\nagent: {kind: react, max_turns: 3}\ntools: [tools_beside:double]\n"
        "limits: {turns: 9}\nmax_tokens: 50\n"
    )
    task = resolved(folder / "places.yaml")
    assert (task.name, [tool.name for tool in task.tools], task.limits.turns) == ("cities", ["double", "submit"], 9)
    assert pickle.loads(pickle.dumps(task.program)).load().agent == React(max_turns=3)
    assert len(ids(task)) == 20


def test_samples_alone_are_a_task_with_the_plain_agent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = resolved(folder / "places.jsonl", "--ids", "p3,p1", "--metadata-fields", "kind")
    assert (task.name, ids(task), task.tools, dict(task.basis)) == ("places", ["p1", "p3"], (), {})
    (folder / "wanted").write_text("p7\n\np2\n")
    assert ids(resolved(folder / "places.jsonl", "--ids", f"@{folder / 'wanted'}")) == ["p2", "p7"]
    pq.write_table(pa.table({"question": ["a?", "b?"], "A": ["x", "y"], "B": ["z", ""]}), folder / "q.parquet")
    task = resolved(folder / "q.parquet", "--input-field", "question", "--choices-field", "A,B")
    assert task.place == "row"
    assert [sample.choices for sample in task.samples()] == [("x", "z"), ("y",)]


def test_what_is_piped_in_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"input": "a"}\n')))
    task = resolve("-", SampleOptions(), TaskOptions(), SampleLimitOptions())
    assert (task.name, ids(task), ids(task)) == ("stdin", ["line-1"], ["line-1"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["places.py@capitals"], "has no task 'capitals'. It has:\n  places.py@places"),
        (["places.py@"], "name the task behind the @"),
        (["nowhere.py"], "nowhere.py: cannot be read (No such file or directory)"),
        (["nowhere.jsonl"], "nowhere.jsonl: cannot be read (No such file or directory)"),
        # As a task of Inspect would be named in a package, and there is one of that name.
        (["examples/nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["examples/nowhere", "--scorer", "exact"], "nowhere: the name does not say what it is"),
        (["."], "is a directory"),
        (["notes.txt"], "the name does not say what it is"),
        (["array.json"], "jq -c '.[]'"),
        (["places.jsonl", "-T", "level=2"], "places.jsonl has no parameters"),
        (["places.py", "-T", "level"], "write NAME=VALUE"),
        (["places.py", "-T", "level=2", "-T", "level=3"], "given twice"),
        (["places.py", "--agent", "writer"], "there is no agent 'writer'"),
        (["places.py", "--agent", "gone.py:solve"], "gone.py: cannot be read"),
        (["places.py", "--range", "5"], "write START:STOP"),
        (["places.py", "--range", "9:5"], "holds nothing"),
        (["places.py", "--ids", "@gone"], "--ids @gone: the file cannot be read"),
        (["twins.yaml"], "tools: two are named 'double'"),
        (["tools.yaml"], "there is no module 'nothing_beside'"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value),
)
def test_what_is_asked_for_wrongly_is_refused_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "notes.txt").write_text("x")
    (folder / "array.json").write_text("[]")
    (folder / "twins.yaml").write_text("dataset: places.jsonl\ntools: [tools_beside:double, tools_beside:double]\n")
    (folder / "tools.yaml").write_text("dataset: places.jsonl\ntools: [nothing_beside:double]\n")
    with pytest.raises(ConfigError) as caught:
        resolved(*arguments)
    assert said in str(caught.value)


def test_an_id_that_is_not_there_is_told_when_the_samples_were_read(folder: Path) -> None:
    with pytest.raises(ConfigError, match="none with the id 'p99'"):
        ids(resolved(folder / "places.py", "--ids", "p1,p99"))


def test_what_a_task_prints_does_not_mix_with_the_programs_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "places.py").write_text("print('made')\n" + TASK)
    resolve(str(folder / "places.py"), SampleOptions(), TaskOptions(), SampleLimitOptions())
    assert capsys.readouterr() == ("", "made\n")
