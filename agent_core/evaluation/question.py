"""The question of a sample as the model is asked it: its choices stand below it, each with a letter.

The rule here: how many choices are right is never told by what is right. A sample of which several may be says so in
its metadata: `choose: several`.
"""

from collections.abc import Sequence
from string import ascii_uppercase

from agent_core.evaluation.sample import Sample

HOW_TO_CHOOSE = "Choose one of these, and say its letter in the last line: ANSWER: LETTER"
HOW_TO_CHOOSE_SEVERAL = "Choose all that are right, and say their letters in the last line: ANSWER: LETTER, LETTER"


def question_of(sample: Sample) -> str:
    """The first thing that is said: the input, and the choices if there are some."""
    if not sample.choices:
        return sample.input
    lines = [f"{letter}) {choice}" for letter, choice in zip(letters(len(sample.choices)), sample.choices, strict=True)]
    return "\n".join(
        [sample.input, "", *lines, "", HOW_TO_CHOOSE_SEVERAL if asks_for_several(sample) else HOW_TO_CHOOSE]
    )


def asks_for_several(sample: Sample) -> bool:
    """Whether more than one of the sample's choices may be right, as its metadata says."""
    return sample.metadata.get("choose") == "several"


def letters(count: int) -> Sequence[str]:
    """What so many choices are called: A to Z, and numbers from 1 if there are more."""
    return ascii_uppercase[:count] if count <= len(ascii_uppercase) else [str(number + 1) for number in range(count)]
