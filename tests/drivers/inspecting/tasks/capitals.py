"""Questions with one word for an answer, as the documentation of Inspect writes such tasks."""

from inspect_ai import Epochs, Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import f1, includes
from inspect_ai.solver import chain_of_thought, generate, prompt_template, system_message

PAIRS = {"France": "Paris", "Norway": "Oslo", "Peru": "Lima", "Kenya": "Nairobi"}


@task
def capitals(epochs: int = 2, hint: str = ""):
    samples = [
        Sample(id=f"capital-{country}", input=f"What is the capital of {country}?", target=city, metadata={"n": n})
        for n, (country, city) in enumerate(PAIRS.items())
    ]
    return Task(
        dataset=MemoryDataset(samples),
        solver=[
            system_message("You know every atlas. {n}"),
            prompt_template("{prompt}\nAnswer with one word." + hint),
            generate(),
        ],
        scorer=[includes(), f1()],
        epochs=Epochs(epochs, ["mean", "at_least_1"]),
        config=GenerateConfig(temperature=0.5, max_tokens=200),
    )


@task
def thinking_capitals():
    samples = [Sample(input=f"What is the capital of {country}?", target=city) for country, city in PAIRS.items()]
    return Task(dataset=samples, solver=[chain_of_thought(), generate()], scorer=includes())
