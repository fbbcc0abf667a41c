"""A scorer of questions with choices.

The rule here: what is right is a letter or a choice's own text. The place of a choice as a number is one only if the
task says what it counts from, since both 0 and 1 are in use.
"""

from typing import Literal

from pydantic import JsonValue

from agent_core.errors import ScorerError
from agent_core.evaluation.question import asks_for_several, letters
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Answered, Score
from agent_core.evaluation.scoring.instant import Instant, right, wrong
from agent_core.evaluation.scoring.letters import Choices
from agent_core.evaluation.scoring.targets import shown, targets_of


class MultipleChoice(Instant):
    """Right if the answer names the choice that is right: by its letter, or by its text.

    With `several` it has to name all that are right and no other; without it that holds for samples that ask for
    several (see `question_of`). `first` is what the numbers of choices count from, if targets are such numbers.
    """

    kind: Literal["multiple_choice"] = "multiple_choice"
    name: str = "multiple_choice"
    several: bool | None = None
    first: Literal[0, 1] | None = None

    def judge(self, answered: Answered) -> Score:
        sample = answered.sample
        if not sample.choices:
            raise ScorerError(
                f"Sample '{sample.id}' has no choices to choose from. Give it `choices`, or judge it with another"
                " scorer.",
                "no_choices",
            )
        choices = Choices(letters(len(sample.choices)), sample.choices)
        several = asks_for_several(sample) if self.several is None else self.several
        targets = [self._named(target, choices, sample) for target in targets_of(sample)]
        wanted = frozenset[str]().union(*targets)
        if not several and any(len(target) > 1 for target in targets):
            raise ScorerError(
                f"The target of sample '{sample.id}' names several choices at once. Give the scorer `several`, or the"
                " sample one choice.",
                "bad_target",
            )
        if not several:
            name = choices.one(answered.answer)
            if name is None:
                return wrong(None, "No choice can be read in the answer.")
            return right(name) if name in wanted else wrong(name, f"Right is {' or '.join(sorted(wanted))}.")
        chosen = choices.several(answered.answer)
        if chosen is None:
            return wrong(None, "No choice can be read in the answer.")
        said = ", ".join(sorted(chosen))
        return right(said) if chosen == wanted else wrong(said, f"Right are {', '.join(sorted(wanted))}.")

    def _named(self, target: JsonValue, choices: Choices, sample: Sample) -> frozenset[str]:
        """The names of what a target says is right."""
        if isinstance(target, str):
            name = choices.name(target) or choices.of_text(target)
            names = choices.listed(target) if name is None else frozenset({name})
            if names:
                return names
        elif isinstance(target, int | float) and not isinstance(target, bool):
            if name := choices.of_text(shown(target)):
                return frozenset({name})
            if self.first is not None and target in range(self.first, self.first + len(choices.names)):
                return frozenset({choices.names[int(target) - self.first]})
        raise ScorerError(
            f"The target of sample '{sample.id}' is {shown(target)}, which is none of its choices: {choices.names[0]}"
            f" to {choices.names[-1]}. Name its letter or its text, or say with the scorer's `first` whether numbers of"
            " choices count from 0 or 1.",
            "bad_target",
        )
