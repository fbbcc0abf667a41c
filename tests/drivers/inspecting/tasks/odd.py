"""Tasks that ask in unusual ways: settings of one call, forced tools, threads beside each other, and mistakes."""

import asyncio

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import Score, Target, accuracy, includes, scorer
from inspect_ai.solver import Generate, TaskState, generate, solver, use_tools, user_message
from inspect_ai.tool import ToolFunction, tool

HELLO = [Sample(id="hello", input="Say hello.", target="hello")]


@tool
def look():
    async def execute(where: str):
        """Look somewhere.

        Args:
            where: Where to look.
        """
        return f"Nothing {where}."

    return execute


@solver
def warmer():
    async def solve(state: TaskState, generate: Generate):
        state = await generate(state, temperature=0.9, max_tokens=50, stop_seqs=["END"], seed=7)
        state.messages.append(ChatMessageUser(content="Once more."))
        return await generate(state)

    return solve


@solver
def several():
    async def solve(state: TaskState, generate: Generate):
        told = await asyncio.gather(*(get_model().generate(f"Part {number}?") for number in range(3)))
        state.messages.append(ChatMessageUser(content=" ".join(one.completion for one in told)))
        return await generate(state)

    return solve


@solver
def broken():
    async def solve(state: TaskState, generate: Generate):
        raise ValueError("The author's mistake.")

    return solve


@scorer(metrics=[accuracy()])
def no_score():
    async def score(state: TaskState, target: Target):
        return None

    return score


@scorer(metrics=[accuracy()])
def unscored():
    async def score(state: TaskState, target: Target):
        return Score.unscored(reason="no_response", explanation="It said nothing.")

    return score


@task
def settings():
    config = GenerateConfig(temperature=0.1, max_tokens=99)
    return Task(dataset=HELLO, solver=warmer(), scorer=includes(), config=config)


@task
def forced():
    forcing = use_tools(look(), tool_choice=ToolFunction("look"))
    return Task(dataset=HELLO, solver=[forcing, generate()], scorer=includes())


@task
def side_by_side():
    return Task(dataset=HELLO, solver=several(), scorer=includes())


@task
def mistaken():
    return Task(dataset=HELLO, solver=broken(), scorer=includes())


@task
def left_out():
    return Task(dataset=HELLO, solver=generate(), scorer=[no_score(), unscored(), includes()])


@task
def many_choices():
    return Task(dataset=HELLO, solver=generate(num_choices=3), scorer=includes())


@task
def talkative():
    return Task(dataset=HELLO, solver=[generate(), user_message("Go on."), generate()], scorer=includes(), turn_limit=1)
