"""A model server to try the tasks here without a model: `python -m examples.tasks.scripted_model TASK [PORT]`.

    python -m examples.tasks.scripted_model library 8700
    ANTHROPIC_API_KEY=any python -m drivers.evaluate run examples/tasks/library.py \
        --model anthropic/scripted --context-limit 100000 --base-url http://127.0.0.1:8700

It does the work of each task as a model would, with a mistake now and then: it looks at the tables, asks the query that
belongs to the question and submits what the database gave back; it answers from the messages that it is shown, so what
compaction has lost it does not know.
"""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from agent_core.errors import ConfigError
from agent_core.scripted.brain import Brain, default_brain
from agent_core.scripted.request import ParsedRequest
from agent_core.scripted.script import Reply, ToolCall
from agent_core.scripted.server import ScriptedServer
from drivers.errors import run_main
from examples.tasks import capitals_and_sums, library

# Every so many questions one is answered wrongly, so that there is something to see.
MISTAKE = 9
_FACT = re.compile(r"[Tt]he ([a-z][a-z ]+?) is (?:now )?([A-Z]{2}-\d{4})\b")


def capitals_and_sums_brain() -> Brain:
    """Knows the answers to nearly all questions."""
    rows = [json.loads(line) for line in capitals_and_sums.QUESTIONS.read_text(encoding="utf-8").splitlines()]
    answers: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        target = row["target"] if isinstance(row["target"], str) else row["target"][0]
        answers[row["input"]] = target if number % MISTAKE else "I do not know."
    return lambda request: Reply(text=answers.get(request.text, "I do not know."))


def library_brain() -> Brain:
    """Looks at the tables, asks the database, submits the first value that it gave."""
    queries = {question: (number, sql) for number, (_, question, sql) in enumerate(library.QUESTIONS, start=1)}

    def answer(request: ParsedRequest) -> Reply:
        if request.text not in queries or "submit" not in request.tools:
            return default_brain(request)
        number, sql = queries[request.text]
        if request.rounds == 0:
            return Reply(text="What tables are there?", tool_calls=(ToolCall(name="tables"),))
        if request.rounds == 1:
            return Reply(tool_calls=(ToolCall(name="query", input={"sql": sql}),))
        lines = request.results[-1].text.splitlines() if request.results else []
        found = lines[1] if number % MISTAKE and len(lines) > 1 else "nothing"
        return Reply(tool_calls=(ToolCall(name="submit", input={"answer": found}),))

    return answer


def long_memory_brain() -> Brain:
    """Tells what the messages that it is shown say of each fact, the newest of it."""

    def answer(request: ParsedRequest) -> Reply:
        if request.summary or not request.text.startswith("Now tell me"):
            return default_brain(request) if request.summary else Reply(text="Noted.")
        shown = "\n".join(_texts(request.body.get("messages") or request.body.get("input")))
        known = dict(_FACT.findall(shown))
        asked = re.findall(r"the ([a-z ]+)", request.text.rpartition(":")[2])
        return Reply(text="\n".join(f"The {name} is {known.get(name, 'unknown')}." for name in asked))

    return answer


BRAINS: dict[str, Callable[[], Brain]] = {
    "capitals_and_sums": capitals_and_sums_brain,
    "library": library_brain,
    "long_memory": long_memory_brain,
}


def _texts(value: Any) -> Iterator[str]:
    """Every text in a request's messages, in their order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


async def main(task: str, port: str = "8700") -> None:
    """Serve until it is stopped."""
    if task not in BRAINS:
        raise ConfigError(f"There is no task '{task}' here. There are: {', '.join(BRAINS)}.")
    async with ScriptedServer(brain=BRAINS[task](), port=int(port)) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(run_main(main, __doc__ or ""))
