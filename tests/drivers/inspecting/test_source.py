"""Where an Inspect task comes from: what is found, what travels, and what is refused with what to do."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent_core.errors import ConfigError
from agent_core.evaluation.score import Answered, GraderAnswer, GraderQuestion, Score
from drivers.inspecting import required
from drivers.inspecting.samples import inspect_sample
from drivers.inspecting.source import InspectSource, inspect_task
from tests.drivers.inspecting.world import TASKS


def refused(spec: str, **more: Any) -> str:
    with pytest.raises(ConfigError) as error:
        inspect_task(spec, **more)
    return error.value.message


def written(path: Path, body: str) -> str:
    path.write_text("from inspect_ai import Task, task\nfrom inspect_ai.dataset import Sample\n\n" + body)
    return str(path)


def said(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample without the ids of its messages, which are new each time it is made."""
    told = sample["input"]
    messages = told if isinstance(told, str) else [{**message, "id": None} for message in told]
    return {**sample, "input": messages}


def test_a_file_with_one_task_needs_no_name() -> None:
    task = inspect_task(str(TASKS / "planets.py"))
    assert (task.name, task.count, task.epochs, task.source.route) == ("planets", 3, 1, "direct")
    assert inspect_task(f"{TASKS}/capitals.py@capitals").fields == {
        "max_steps": 10_000, "temperature": 0.5, "max_tokens": 200,
    }  # fmt: skip


def test_what_cannot_be_a_task_is_refused_with_what_to_do(tmp_path: Path) -> None:
    assert "no task file" in refused(str(tmp_path / "none.py"))
    assert "capitals.py@capitals" in refused(str(TASKS / "capitals.py"))
    assert "@task" in refused(written(tmp_path / "empty.py", "x = 1\n"))
    assert "nothing_of_it" in refused(f"{TASKS}/capitals.py@nothing_of_it")
    assert "It takes: epochs, hint" in refused(f"{TASKS}/capitals.py@capitals", args={"epoch": 3})
    said = refused(written(tmp_path / "raises.py", "@task\ndef raises():\n    return 1 / 0\n"))
    assert "ZeroDivisionError: division by zero (line 6)" in said
    inner = "def inner():\n    return [][1]\n\n@task\ndef deep():\n    return inner()\n"
    assert "IndexError: list index out of range (line 5)" in refused(written(tmp_path / "deep.py", inner))
    said = refused(written(tmp_path / "unfinished.py", "@task\ndef unfinished():\n    return Task((\n"))
    assert "unfinished.py" in said


def test_a_task_travels_by_its_place_and_is_refused_when_its_file_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "planets.py"
    shutil.copy(TASKS / "planets.py", path)
    source: InspectSource = pickle.loads(pickle.dumps(inspect_task(str(path)).source))
    assert [scorer.name for scorer in source.load().scorers] == ["choice"]
    path.write_text(path.read_text() + "\n# Changed.\n")
    with pytest.raises(ConfigError, match="has changed"):
        source.load()
    path.unlink()
    with pytest.raises(ConfigError, match="same path on every node"):
        source.load()


def test_a_sample_travels_whole(tmp_path: Path) -> None:
    body = (
        "from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, ContentImage\n"
        "SAMPLES = [\n"
        "    Sample(input='One?', target=['a', 'b'], choices=['x', 'y'], metadata={'n': [1, {'m': None}]}),\n"
        "    Sample(id='told', input=[ChatMessageSystem(content='Be kind.'), ChatMessageUser(content='Hi.'),\n"
        "        ChatMessageAssistant(content='Hello.'), ChatMessageUser(content='Two?')], target='2'),\n"
        "    Sample(id=7, input='Three?', files={'a.txt': 'text'}, sandbox='local', setup='true'),\n"
        "]\n"
        "@task\ndef some():\n    return Task(dataset=SAMPLES)\n"
    )
    task = inspect_task(written(tmp_path / "some.py", body))
    samples = list(task.samples())
    assert [sample.id for sample in samples] == ["1", "told", "7"]
    assert samples[1].input == "Two?"
    assert [message.kind for message in samples[1].history] == ["user", "assistant"]
    given = list(task.source.made().dataset)
    for sample, its in zip(samples, given, strict=True):
        again = type(sample).model_validate_json(sample.model_dump_json())
        made, theirs = inspect_sample(again).model_dump(), its.model_dump()
        assert made.pop("id") == (theirs.pop("id") or 1)
        assert said(made) == said(theirs)
    assert task.source.route == "slices"


def test_metadata_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    body = "@task\ndef odd():\n    return Task(dataset=[Sample(id='q', input='?', metadata={'f': print})])\n"
    task = inspect_task(written(tmp_path / "odd.py", body))
    with pytest.raises(ConfigError, match="metadata of sample 'q'"):
        list(task.samples())


def test_without_inspect_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise required.PackageNotFoundError

    monkeypatch.setattr(required, "version", missing)
    assert "pip install -e '.[inspect]'" in refused(str(TASKS / "planets.py"))


async def test_an_old_answer_can_be_scored_again_by_a_model_that_is_named() -> None:
    asked: list[GraderQuestion] = []

    async def grader(question: GraderQuestion) -> GraderAnswer:
        asked.append(question)
        return GraderAnswer(text="It is fine. GRADE: C", cost=0.25)

    task = inspect_task(f"{TASKS}/essays.py@graded")
    source = InspectSource(task.source.task, task.source.path, task.source.digest, grader={"model": "openai/judge"})
    sample = next(task.samples())
    for scorer in source.load().scorers:
        score = await scorer.score(Answered(sample=sample, answer="Scattering.", grader=grader))
        assert isinstance(score, Score)
        assert (score.value, score.cost) == (1.0, 0.25)
    assert all(question.fields["model"] == "openai/judge" and "Scattering." in question.prompt for question in asked)
    unnamed = task.source.load().scorers[0]
    with pytest.raises(ConfigError, match="--grader-model"):
        await unnamed.score(Answered(sample=sample, answer="Scattering.", grader=grader))
