"""The question of a sample as the model is asked it: its choices stand below it, each with a letter."""

from collections.abc import Sequence
from string import ascii_uppercase

from agent_core.evaluation.sample import Sample

HOW_TO_CHOOSE = "Choose one of these, and say its letter in the last line: ANSWER: LETTER"


def question_of(sample: Sample) -> str:
    """The first thing that is said: the input, and the choices if there are some."""
    if not sample.choices:
        return sample.input
    lines = [f"{letter}) {choice}" for letter, choice in zip(letters(len(sample.choices)), sample.choices, strict=True)]
    return "\n".join([sample.input, "", *lines, "", HOW_TO_CHOOSE])


def letters(count: int) -> Sequence[str]:
    """What so many choices are called: A to Z, and numbers from 1 if there are more."""
    return ascii_uppercase[:count] if count <= len(ascii_uppercase) else [str(number + 1) for number in range(count)]
