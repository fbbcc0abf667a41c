"""Agents with tools, with state of their own: a loop of `generate`, `react` and `basic_agent`."""

from textwrap import dedent

from inspect_ai import Task, task
from inspect_ai.agent import react
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser
from inspect_ai.scorer import SampleScore, Score, Target, accuracy, includes, match, mean, metric, scorer, stderr
from inspect_ai.solver import TaskState, basic_agent, generate, use_tools
from inspect_ai.tool import ToolError, tool
from inspect_ai.util import store

BOOKS = {"tea": 3, "salt": 4, "rope": 5}


@tool
def stock():
    async def execute(item: str):
        """Look up how much of an item is in stock.

        Args:
            item: The name of the item.
        """
        store().set("looked", [*store().get("looked", []), item])
        if item not in BOOKS:
            raise ToolError(f"There is no {item}.")
        return str(BOOKS[item])

    return execute


@tool
def add():
    async def execute(x: int, y: int):
        """Add two numbers.

        Args:
            x: One number.
            y: The other.
        """
        return x + y

    return execute


@metric
def longest():
    def compute(scores: list[SampleScore]) -> float:
        return max(score.score.as_float() for score in scores)

    return compute


@scorer(metrics=[mean(), stderr(), longest()])
def looked_up():
    async def score(state: TaskState, target: Target):
        looked = state.store.get("looked", [])
        return Score(value=len(looked), answer=", ".join(looked), explanation=f"{len(state.messages)} messages")

    return score


@scorer(metrics={"calls": [mean()], "right": [accuracy()]})
def parts():
    async def score(state: TaskState, target: Target):
        calls = sum(len(m.tool_calls or []) for m in state.messages if isinstance(m, ChatMessageAssistant))
        return Score(value={"calls": calls, "right": "C" if target.text in state.output.completion else "I"})

    return score


SAMPLES = [
    Sample(id="sum", input="How much tea and salt is there together?", target="7"),
    Sample(id="none", input="How much gold is there?", target="none"),
    Sample(
        id="told",
        input=[
            ChatMessageSystem(content="You keep the ledger."),
            ChatMessageUser(content="Is there any rope?"),
            ChatMessageAssistant(content="Yes, there is."),
            ChatMessageUser(content="How much rope is there?"),
        ],
        target="5",
    ),
]


@task
def ledger():
    return Task(
        dataset=SAMPLES, solver=[use_tools(stock(), add()), generate()], scorer=[includes(), looked_up(), parts()]
    )


@task
def ledger_react():
    return Task(
        dataset=SAMPLES,
        solver=react(prompt=dedent("You answer from the ledger."), tools=[stock(), add()]),
        scorer=[includes(), looked_up()],
        message_limit=20,
    )


@task
def ledger_basic():
    return Task(
        dataset=SAMPLES,
        solver=basic_agent(tools=[stock(), add()], max_attempts=2, message_limit=20),
        scorer=match(numeric=True),
    )
