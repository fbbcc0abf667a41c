"""What the tests of Inspect tasks stand in: a model that knows the answers, and both ways to run a task against it."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from inspect_ai import eval_async
from inspect_ai.log import EvalLog, read_eval_log_async
from inspect_ai.model import get_model

from agent_core.clock import SystemClock
from agent_core.evaluation.result import Result, Timings
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Answered, GraderAnswer, GraderQuestion, Score
from agent_core.local_runtime import LocalRuntime
from agent_core.messages import Message
from agent_core.scripted import ParsedRequest, Reply, ToolCall
from agent_core.scripted.request import content_text
from agent_core.scripted.server import ScriptedServer
from agent_core.session_protocol import Session
from drivers.inspecting import inside
from drivers.inspecting.branching import BranchingSession
from drivers.inspecting.scores import inspect_score
from drivers.inspecting.source import InspectTask, Route, inspect_task

TASKS = Path(__file__).parent / "tasks"
MODEL = "openai/scripted"


def knows(request: ParsedRequest) -> Reply:
    """A model that knows capitals, planets and ledgers, calls tools for the last, and grades what it is shown."""
    text = request.text
    if request.tools:
        return _with_tools(request)
    if "GRADE: $LETTER" in text or "GRADE:" in text:
        return Reply(text="GRADE: C" if "blue" in text else "GRADE: I")
    if "critique" in text.lower():
        return Reply(text="RESULT: improved" if "improved" in text else "It could be better.")
    if found := re.search(r"capital of (\w+)", text):
        cities = {"France": "Paris", "Norway": "Oslo", "Peru": "Cusco", "Kenya": "Nairobi"}
        return Reply(text=cities[found[1]])
    if "planet" in text:
        return Reply(text=f"ANSWER: {_letters(text)}")
    names = re.findall(r"My name is (\w+)", " ".join(_texts(request)))
    if "Answer with ANSWER:" in text:
        return Reply(text=f"ANSWER: {names[0]}")
    return Reply(text=f"You are {names[0]}." if names else f"Because of {len(_texts(request))} things. {text[:40]}")


def _texts(request: ParsedRequest) -> list[str]:
    return [content_text(message.get("content", "")) for message in request.body["messages"]]


def _letters(text: str) -> str:
    """The letters of the right choices, wherever a shuffle has put them."""
    right = {"largest": ["Jupiter"], "nearest": ["Earth"], "these": ["Neptune", "Uranus"]}
    wanted = next(names for word, names in right.items() if word in text)
    return ", ".join(letter for letter, name in re.findall(r"^([A-Z])\) (\w+)$", text, re.MULTILINE) if name in wanted)


def _with_tools(request: ParsedRequest) -> Reply:
    """Looks things up, adds where there are two, then says or submits what came of it."""
    things = [
        thing for thing in ("tea", "salt", "rope", "gold") if f"{thing} " in request.text or f"{thing}?" in request.text
    ]
    results = [result.text for result in request.results]
    if things and request.rounds == 0:
        return Reply(text="I look.", tool_calls=tuple(ToolCall(name="stock", input={"item": one}) for one in things))
    if len(results) == 2:
        return Reply(tool_calls=(ToolCall(name="add", input={"x": int(results[0]), "y": int(results[1])}),))
    said = results[0] if results and results[0].isdecimal() else "none"
    if "submit" in request.tools:
        return Reply(text="", tool_calls=(ToolCall(name="submit", input={"answer": said}),))
    return Reply(text=f"There is {said}.")


@asynccontextmanager
async def answering(brain: Any = knows) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(brain=brain) as server:
        yield server


def asked(server: ScriptedServer) -> Counter[str]:
    """What the model was asked: the conversation of each request, in any order of samples.

    Messages of one side that follow each other are joined: a session has one system prompt, and takes turns.
    """
    return Counter(repr(_joined([_said(message) for message in one.body["messages"]])) for one in server.requests)


def _said(message: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    role = "system" if message["role"] == "developer" else message["role"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    told = tuple(f"{call['name']} {json.loads(call['arguments'])}" for call in calls)
    return (role, content_text(message.get("content") or ""), told)


def _joined(said: list[tuple[str, str, tuple[str, ...]]]) -> list[tuple[str, str, tuple[str, ...]]]:
    joined: list[tuple[str, str, tuple[str, ...]]] = []
    for role, text, calls in said:
        if joined and joined[-1][0] == role and role in {"system", "assistant"}:
            before = joined.pop()
            joined.append((role, f"{before[1]}\n\n{text}", before[2] + calls))
        else:
            joined.append((role, text, calls))
    return joined


class Here:
    """Runs a task as a worker does: a session of its own for each sample and epoch, then each scorer."""

    def __init__(self, runtime: LocalRuntime, fields: Mapping[str, Any]) -> None:
        self.runtime, self.fields = runtime, fields
        self.clock = SystemClock()
        self._runs = 0

    def task(self, path: str, route: Route = "auto", **args: Any) -> InspectTask:
        return inspect_task(str(TASKS / path), args=args, route=route)

    async def run(self, path: str, route: Route = "auto", **args: Any) -> tuple[InspectTask, list[Result]]:
        task = self.task(path, route, **args)
        program = task.source.load()
        self._runs += 1
        results: list[Result] = []
        for sample in task.samples():
            results += [await self.one(task, program, sample, epoch) for epoch in range(1, task.epochs + 1)]
        return task, results

    async def opened(self, task: InspectTask, sample: Sample, epoch: int) -> Session:
        name = f"run{self._runs}.{sample.id}.{epoch}"
        fields = {**task.fields, **self.fields}

        async def branch(number: int, history: Sequence[Message]) -> Session:
            return await self.runtime.session(f"{name}/{number}", history=history, **fields)

        labels = {"epoch": str(epoch)}
        session = await self.runtime.session(name, history=sample.history, labels=labels, **fields)
        return cast("Session", BranchingSession(session, branch))

    async def one(self, task: InspectTask, program: Any, sample: Sample, epoch: int) -> Result:
        session = await self.opened(task, sample, epoch)
        limit = None
        try:
            answer = await program.agent(session, sample)
        except Exception as error:
            limit = getattr(error, "limit", None)
            if limit is None:
                raise
            answer = ""
        transcript = tuple(await session.history(full=True))
        answered = Answered(sample=sample, answer=answer, transcript=transcript, epoch=epoch, grader=self.grade)
        return Result(
            id=sample.id,
            epoch=epoch,
            outcome="limit_hit" if limit else "scored",
            attempts=1,
            answer=answer,
            limit=limit,
            input=sample.input,
            history=sample.history,
            choices=sample.choices,
            target=sample.target,
            metadata=sample.metadata,
            scores=await self._scores(program, answered),
            timings=Timings(queued=0.0, started=0.0, ended=1.0),
            session_id=session.id,
            configuration="",
            transcript=transcript,
        )

    async def _scores(self, program: Any, answered: Answered) -> dict[str, Score]:
        scores: dict[str, Score] = {}
        for scorer in program.scorers:
            given = await scorer.score(answered)
            scores |= (
                {scorer.name: given}
                if isinstance(given, Score)
                else {f"{scorer.name}.{k}": v for k, v in given.items()}
            )
        return scores

    async def grade(self, question: GraderQuestion) -> GraderAnswer:
        fields: dict[str, Any] = {**question.fields, "system_prompt": question.system_prompt}
        session = await self.runtime.session(**fields)
        text = await session.ask(question.prompt)
        return GraderAnswer(text=text, usage=(await session.status()).usage.total)


@asynccontextmanager
async def here(server: ScriptedServer) -> AsyncIterator[Here]:
    fields = {
        "model": MODEL, "base_url": server.url + "/v1", "wire": "chat", "api_key": "env:SCRIPTED_KEY",
        "context_limit": 100_000, "streaming": False, "compaction": None,
    }  # fmt: skip
    async with LocalRuntime() as runtime:
        yield Here(runtime, fields)


async def there(server: ScriptedServer, path: str, logs: Path, **args: Any) -> EvalLog:
    """Runs a task as Inspect does, its own provider asking the same model."""
    inside.show_nothing()
    url = server.url + "/v1"
    async with get_model(MODEL, base_url=url, api_key="made-up", responses_api=False, memoize=False) as model:
        path = str(TASKS / path)
        done = await eval_async(path, model=model, task_args=args, log_dir=str(logs), log_realtime=False, max_samples=1)
    return await whole(done[0])


async def whole(log: EvalLog) -> EvalLog:
    """The log with its samples, which Inspect else reads when they are looked at, in a loop within the loop."""
    return await read_eval_log_async(log.location)


def scores_of(log: EvalLog) -> dict[tuple[str, int], dict[str, Any]]:
    """The values that Inspect has, by sample, epoch and scorer."""
    return {
        (str(sample.id), sample.epoch): {name: score.value for name, score in (sample.scores or {}).items()}
        for sample in log.samples or ()
    }


def values_of(results: Sequence[Result]) -> dict[tuple[str, int], dict[str, Any]]:
    """The values that our results have, put together as Inspect has them."""
    values: dict[tuple[str, int], dict[str, Any]] = {}
    for result in results:
        names = {name.partition(".")[0] for name in result.scores}
        found = {name: inspect_score(name, result.scores) for name in names}
        values[result.id, result.epoch] = {name: score.value for name, score in found.items() if score is not None}
    return values


def metrics_of(log: EvalLog) -> list[tuple[str, str, float, str | None]]:
    """The metrics that Inspect has."""
    assert log.results is not None
    return [
        (score.name, metric.name, float(metric.value), score.reducer)
        for score in log.results.scores
        for metric in score.metrics.values()
    ]
