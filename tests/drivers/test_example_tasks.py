"""The tasks that are shipped as examples, run as a user would against the scripted model that comes with them."""

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent_core.scripted.server import ScriptedServer
from drivers.evaluating.limit_options import SampleLimitOptions
from drivers.evaluating.task_options import SampleOptions, TaskOptions
from drivers.evaluating.tasks import ResolvedTask, resolve
from examples.tasks import library, long_memory
from examples.tasks.scripted_model import BRAINS

SIZES = {"capitals_and_sums": 60, "library": 25, "long_memory": 8}


def resolved(repository: Path, name: str, **options: Any) -> ResolvedTask:
    file = str(repository / "examples" / "tasks" / f"{name}.py")
    return resolve(file, SampleOptions(), TaskOptions(**options), SampleLimitOptions())


async def ran(repository: Path, out: Path, name: str, *more: str) -> list[dict[str, Any]]:
    """The results of the task, in a process of its own."""
    async with ScriptedServer(brain=BRAINS[name]()) as server:
        where = ["-m", "anthropic/scripted", "--base-url", server.url, "--in-process", "--out", str(out), "--no-report"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "drivers.evaluate", "run", f"examples/tasks/{name}.py", *where, *more,
            cwd=repository,
            env={**os.environ, "ANTHROPIC_API_KEY": "made-up"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", SIZES)
def test_every_sample_has_an_id_of_its_own_a_target_and_its_group(repository: Path, name: str) -> None:
    task = resolved(repository, name)
    samples = list(task.samples())
    assert len({sample.id for sample in samples}) == len(samples) >= SIZES[name]
    (group,) = task.group_by
    assert all(sample.target and sample.metadata[group] for sample in samples)
    assert len({str(sample.metadata[group]) for sample in samples}) > 1


def test_a_group_can_be_chosen_by_a_parameter(repository: Path) -> None:
    task = resolved(repository, "capitals_and_sums", arguments=["group=sums"])
    assert {str(sample.metadata["group"]) for sample in task.samples()} == {"sums"}


async def test_the_library_can_be_read_and_not_written() -> None:
    assert "CREATE TABLE loan" in await library.tables()
    assert await library.query("SELECT title FROM book WHERE pages < 90") == "title\nPaper Cranes"
    assert (await library.query("SELECT a.id FROM book a, book b")).endswith("(there are more rows)")
    for refused in ("DELETE FROM loan", "PRAGMA query_only = OFF; DELETE FROM loan"):
        with pytest.raises(Exception, match=r"readonly|one statement"):
            await library.query(refused)
    with pytest.raises(Exception, match="interrupted"):
        await library.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")


def test_the_facts_of_a_long_conversation_fill_its_window_more_than_once_and_one_changes() -> None:
    for sample in long_memory.conversations():
        turns = sample["turns"]
        facts: dict[str, str] = sample["facts"]  # type: ignore[assignment]
        assert isinstance(turns, list)
        assert sum(map(len, turns)) / 4 > 3600
        assert sum(value in str(sample["input"]) for value in facts.values()) == 3
        assert not any(value in turns[-1] for value in facts.values())


async def test_questions_are_answered_and_judged(repository: Path, tmp_path: Path) -> None:
    results = await ran(repository, tmp_path, "capitals_and_sums", "--context-limit", "9000")
    right = Counter(result["scores"]["match"]["value"] for result in results)
    assert right == {1.0: 63, 0.0: 7}


async def test_an_agent_works_through_its_tools_and_submits(repository: Path, tmp_path: Path) -> None:
    results = await ran(repository, tmp_path, "library", "--context-limit", "9000")
    assert {result["scores"]["looked_up"]["value"] for result in results} == {1.0}
    assert Counter(result["scores"]["match"]["value"] for result in results) == {1.0: 25, 0.0: 3}
    names = [block["name"] for message in results[0]["transcript"] for block in message["content"] if "input" in block]
    assert names == ["tables", "query", "submit"]


async def test_a_long_conversation_needs_its_summaries(repository: Path, tmp_path: Path) -> None:
    results = await ran(repository, tmp_path, "long_memory")
    assert all(result["summariser"]["output_tokens"] for result in results)
    assert sum(result["scores"]["recalled"]["value"] for result in results) / len(results) > 0.9
