"""Short questions with one right answer: capitals, sums, elements, the calendar, shapes.

    python -m drivers.evaluate run examples/tasks/capitals_and_sums.py --model local/smollm2
    python -m drivers.evaluate run examples/tasks/capitals_and_sums.py -T group=sums --model anthropic/claude-sonnet-5-5

The smallest whole task: a dataset beside it, a system prompt, a scorer that a name is enough for, groups.
"""

import json
from pathlib import Path
from typing import Literal

from agent_core.evaluation import Task, task

QUESTIONS = Path(__file__).with_suffix(".jsonl")
Group = Literal["capitals", "sums", "elements", "calendar", "shapes"]


@task
def capitals_and_sums(group: Group | None = None) -> Task:
    """Short questions with one right answer."""

    def questions() -> list[dict[str, object]]:
        rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
        return [row for row in rows if group in {None, row["group"]}]

    return Task(
        # A path alone would do; a function can choose.
        dataset=questions if group else QUESTIONS,
        scorers=["match(at='any')"],
        group_by=["group"],
        system_prompt="Answer in as few words as you can. Write numbers as digits, and say nothing else.",
        max_tokens=400,
    )
