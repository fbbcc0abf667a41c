"""Tasks: what they take, how their parameters are set, and how files of them are loaded here and elsewhere."""

import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent_core.errors import ConfigError
from agent_core.evaluation.agents.chat import Chat
from agent_core.evaluation.agents.react import React
from agent_core.evaluation.loading import CarriedFile, chosen_task, made_task
from agent_core.evaluation.task_file import task_of_text
from agent_core.evaluation.task_source import TaskSource
from agent_core.evaluation.tasks import Task, task

Write = Callable[[str], CarriedFile]

WORDS = '''
    from agent_core.evaluation import Task, task
    from words_beside import WORD

    class Said:
        name = "said"
        async def score(self, answered): ...

    async def solve(session, sample) -> str:
        return WORD

    @task
    def words(count: int = 1, tags: list[str] | None = None, strict: bool = False) -> Task:
        """Words.

        And more of them."""
        return Task(dataset=[{"input": "a"}] * count, agent=solve, scorers=[Said()], group_by=tags or ())
'''


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "words_beside", raising=False)

    def written(text: str) -> CarriedFile:
        path = tmp_path / "words.py"
        path.write_text(textwrap.dedent(text))
        (tmp_path / "words_beside.py").write_text("WORD = 'beside'\n")
        return CarriedFile.read(path)

    return written


def made(file: CarriedFile, **arguments: str) -> Task:
    return made_task(file, chosen_task(file, None), arguments)


def refusal(file: CarriedFile, name: str | None = None, **arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        made_task(file, chosen_task(file, name), arguments)
    return str(caught.value)


def test_only_the_settings_that_were_given_are_those_of_its_sessions() -> None:
    given = Task(dataset="q.jsonl", system_prompt="Be brief.", compaction=None, tools="module:name")
    assert given.session == {"system_prompt": "Be brief.", "compaction": None}
    assert given.tools == ("module:name",)


def test_an_unknown_field_is_refused_by_its_name() -> None:
    with pytest.raises(ValidationError, match="epoch\n  Extra inputs are not permitted"):
        Task(dataset="q.jsonl", epoch=3)  # pyright: ignore[reportCallIssue]


def test_a_decorated_function_is_still_a_function() -> None:
    @task
    def sums(count: int = 2) -> Task:
        return Task(dataset=[{"input": "a"}] * count)

    assert len(list(sums(3).dataset)) == 3  # pyright: ignore[reportArgumentType]


def test_parameters_are_what_their_annotations_say(write: Write) -> None:
    file = write(WORDS)
    given = made(file, count="3", tags='["a", "b"]', strict="yes")
    assert (len(given.dataset), given.group_by) == (3, ("a", "b"))  # pyright: ignore[reportArgumentType]
    assert "-T count=three: input should be a valid integer" in refusal(file, count="three")
    assert "-T counts: task 'words' has no such parameter. It has: count, tags, strict." in refusal(file, counts="3")


def test_a_parameter_without_a_default_has_to_be_given(write: Write) -> None:
    file = write("""
        from agent_core.evaluation import Task, task
        @task
        def words(level: int) -> Task:
            return Task(dataset="q.jsonl", epochs=level)
    """)
    assert made(file, level="2").epochs == 2
    assert "-T level=VALUE" in refusal(file)


def test_of_several_tasks_one_has_to_be_chosen(write: Write) -> None:
    file = write(WORDS + '\n    @task(name="more")\n    def _more(): return Task(dataset="q.jsonl")\n')
    said = refusal(file)
    assert "holds several tasks. Choose one:\n  words.py@words  Words.\n  words.py@more" in said
    assert "has no task 'less'. It has:" in refusal(file, "less")
    assert chosen_task(file, "more").made({}).dataset == "q.jsonl"
    assert "no function with @task" in refusal(write("x = 1"))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("import nothing_of_this_name", 1, "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("x = 1\ndef f(:\n", 2, "SyntaxError: invalid syntax"),
        ("import json\njson.loads('{')", 2, "JSONDecodeError"),
        ("raise SystemExit(3)", 1, "SystemExit: 3"),
        ("from agent_core.evaluation import task\n@task\nasync def f(): ...", 2, "@task is for a plain function"),
    ],
)
def test_a_file_that_cannot_be_run_is_told_with_the_authors_line(write: Write, text: str, line: int, said: str) -> None:
    told = refusal(write(text))
    assert f"words.py:{line}: {text.splitlines()[line - 1]}\n" in told
    assert said in told
    assert len(told.splitlines()) == 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "  ZeroDivisionError: division by zero"),
        ("return Task(dataset='q.jsonl', epoch=2)", "  Task: epoch: Extra inputs are not permitted"),
        ("return Task(dataset='q.jsonl', agent=len)", "  agent: len is not asynchronous"),
        ("return Task(dataset='q.jsonl', epochs=0)", "  Task: epochs: Input should be greater than or equal to 1"),
        ("return Task()", "  Task: dataset: Field required"),
    ],
)
def test_a_task_that_cannot_be_made_is_told_with_its_line(write: Write, body: str, said: str) -> None:
    file = write(f"from agent_core.evaluation import Task, task\n@task\ndef words():\n    {body}\n")
    told = refusal(file)
    assert told.splitlines()[0] == "words.py: task 'words' cannot be made."
    assert f"words.py:4: {body}\n{said}" in told


def test_what_is_returned_has_to_be_a_task(write: Write) -> None:
    file = write("from agent_core.evaluation import task\n@task\ndef words(): return {}\n")
    assert "returned dict, not a Task" in refusal(file)


def test_the_program_of_a_file_is_loaded_where_the_file_is_gone_and_without_its_dataset(write: Write) -> None:
    file = write(WORDS.replace("[{", "1 / 0 and [{").replace("Task(dataset=1", "Task(dataset=lambda: 1"))
    source = TaskSource(file, "words", (("count", "2"),), directory=str(file.directory))
    Path(file.path).unlink()
    child = "import pickle, sys; program = pickle.load(sys.stdin.buffer).load();"
    child += "print(program.agent.function.__name__, *[scorer.name for scorer in program.scorers])"
    done = subprocess.run([sys.executable, "-c", child], input=pickle.dumps(source), capture_output=True, check=False)
    assert done.stdout.decode().split() == ["solve", "said"], done.stderr.decode()


def test_a_file_that_was_changed_counts_as_it_was(write: Write) -> None:
    before = TaskSource(write(WORDS), "words")
    after = TaskSource(write(WORDS.replace('"said"', '"sung"')), "words")
    assert [scorer.name for scorer in before.load().scorers] == ["said"]
    assert [scorer.name for scorer in after.load().scorers] == ["sung"]
    assert before.described() != after.described()


def test_agents_and_scorers_that_are_given_take_the_place_of_the_tasks(write: Write) -> None:
    file = write(WORDS)
    source = TaskSource(file, "words", agent="react(max_turns=2)", scorers=())
    program = source.load()
    assert (program.agent, program.scorers) == (React(max_turns=2), ())
    named = TaskSource(agent="words.py:solve", files=(file,), directory=str(file.directory))
    Path(file.path).unlink()
    assert named.load().agent.function.__name__ == "solve"  # type: ignore[attr-defined]
    assert TaskSource().load().agent == Chat()


def test_two_scorers_of_one_name_are_refused(write: Write) -> None:
    file = write(WORDS.replace("[Said()]", "[Said(), Said()]"))
    with pytest.raises(ConfigError, match="two scorers are called 'said'"):
        TaskSource(file, "words").load()


def test_scorers_are_named_with_their_settings_by_text_or_by_fields(write: Write) -> None:
    file = write("from agent_core.evaluation import scorer\n@scorer\nasync def brief(answered): return 1.0\n")
    given = ("words.py:brief", "numeric(tolerance=0.5)", {"kind": "match", "at": "any"})
    source = TaskSource(scorers=given, files=(file,), directory=str(file.directory))
    assert [scorer.name for scorer in source.load().scorers] == ["brief", "numeric", "match"]
    assert source.described()["scorers"] == list(given)


def test_a_task_is_written_in_yaml_with_the_fields_of_task() -> None:
    given = task_of_text(
        "dataset: q.jsonl\nagent: {kind: react, max_turns: 3}\nlimits: {turns: 5}\nfields: {input: question}\n"
        "compaction: {kind: llm, soft: 0.5}\nsystem_prompt: |\n  Be brief.\n",
        "words.yaml",
    )
    assert given.agent == React(max_turns=3)
    assert (given.limits.turns, given.fields.input) == (5, "question")
    assert given.session["system_prompt"] == "Be brief.\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataset: q.jsonl\nepoch: 3", "words.yaml line 2: there is no field 'epoch' (did you mean 'epochs'?)"),
        ("dataset: q.jsonl\nlimits:\n  turns: 3\n  turn: 4", "line 4: limits.turn: Extra inputs are not permitted"),
        ("dataset: q.jsonl\nfields:\n  inputs: a", "line 3: fields.inputs: "),
        ("dataset: q.jsonl\ntools:\n- a\n- {b: 1}", "line 4: tools: an object where a name is wanted"),
        ("dataset: q.jsonl\nagent:\n  kind: writer", "line 2: agent: there is no agent 'writer'"),
        ("dataset: q.jsonl\ndataset: r.jsonl", "line 2: 'dataset' is there twice (see line 1)"),
        ("dataset: [q", "words.yaml line 1: not valid YAML"),
        ("epochs: 2", "words.yaml: dataset: Field required"),
        ("- a", "holds a list where an object with a field 'dataset' is wanted"),
    ],
)
def test_a_field_that_is_wrong_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        task_of_text(text, "words.yaml")
    assert said in str(caught.value)


def test_a_task_is_written_in_json_with_tabs_too() -> None:
    assert task_of_text('{\n\t"dataset": "q.jsonl",\n\t"epochs": 2\n}', "words.json").epochs == 2
    with pytest.raises(ConfigError, match=r"words.json line 2: there is no field 'epoch'"):
        task_of_text('{"dataset": "q.jsonl",\n "epoch": 2}', "words.json")
    with pytest.raises(ConfigError, match=r"words.json line 2: not valid JSON"):
        task_of_text('{"dataset": "q.jsonl",\n epoch: 2}', "words.json")


def test_the_door_is_light_until_something_is_taken_through_it() -> None:
    code = "import sys, agent_core.evaluation as e; print('pydantic' in sys.modules); e.Task; print(sorted(e.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False\n['Agent', 'Answered'")
