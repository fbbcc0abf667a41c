"""Answers that are criticised and graded by a model, and a conversation of several turns."""

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import answer, exact, model_graded_fact, model_graded_qa, pattern
from inspect_ai.solver import assistant_message, generate, self_critique, user_message

SAMPLES = [
    Sample(input="Why is the sky blue?", target="Scattering of short waves."),
    Sample(input="Why do ships float?", target="They weigh less than the water that they displace."),
]


@task
def graded():
    return Task(dataset=SAMPLES, solver=generate(), scorer=[model_graded_qa(), model_graded_fact()])


@task
def criticised():
    samples = [Sample(input="Why is the sky blue?", target="improved"), Sample(input="Why?", target="worse")]
    return Task(dataset=samples, solver=[generate(), self_critique()], scorer=pattern(r"RESULT: (\w+)"))


@task
def conversation():
    return Task(
        dataset=[Sample(input="My name is Ada.", target="Ada"), Sample(input="My name is Max.", target="Max")],
        solver=[
            generate(),
            user_message("What is my name?"),
            generate(),
            assistant_message("I shall say it again."),
            user_message("Answer with ANSWER: and my name."),
            generate(),
        ],
        scorer=[answer("word"), exact()],
    )


@task
def cut_short():
    return Task(
        dataset=SAMPLES, solver=[generate(), user_message("Say more."), generate()], scorer=exact(), message_limit=3
    )
