"""Questions with several answers to choose from, one of them with more than one that is right."""

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import choice
from inspect_ai.solver import multiple_choice, system_message

QUESTIONS = [
    Sample(id=1, input="Which planet is the largest?", choices=["Mars", "Jupiter", "Venus"], target="B"),
    Sample(id=2, input="Which planet is the nearest to the sun?", choices=["Mercury", "Earth", "Saturn"], target="A"),
    Sample(id=3, input="Which of these are planets?", choices=["Neptune", "Sirius", "Uranus"], target=["A", "C"]),
]


@task
def planets(cot: bool = False):
    return Task(
        dataset=QUESTIONS,
        solver=[system_message("You are an astronomer."), multiple_choice(multiple_correct=True, cot=cot)],
        scorer=choice(),
    )
