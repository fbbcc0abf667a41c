"""Scorers that ask a grading model, or several, which of three grades an answer has.

The rule here: what grading took is told whatever comes of it. A grade that could not be had is no vote, and without the
votes of more than half of the graders there is no score.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, PrivateAttr, ValidationError, field_validator

from agent_core.config import SessionConfig
from agent_core.errors import ErrorInfo, ScorerError
from agent_core.evaluation.score import Answered, GraderQuestion, Score
from agent_core.evaluation.scoring import prompts
from agent_core.evaluation.scoring.grades import Grade, grade_in, majority
from agent_core.evaluation.scoring.instant import LONGEST_NAME, clipped
from agent_core.evaluation.scoring.readings import told
from agent_core.evaluation.scoring.waiting import within
from agent_core.frozen import Frozen
from agent_core.messages import Usage
from agent_core.ports import Clock

# The session of a grader has these from elsewhere.
_NOT_OURS = {"system_prompt", "request_class"}

Grader = str | dict[str, JsonValue]
"""A grading model: `provider/name`, or an object with fields of `SessionConfig`, `model` among them."""


@dataclass(slots=True)
class _Spent:
    """What a scorer's graders took in this process. `cost` is in US dollars."""

    tokens: int = 0
    cost: float = 0.0
    unpriced: bool = False


@dataclass(slots=True)
class _Vote:
    """What came of asking one grader. `cost` is None once a price is not known."""

    model: str
    grade: Grade | None = None
    reply: str = ""
    usage: Usage = Usage()
    cost: float | None = 0.0
    error: ErrorInfo | None = None


class _Graded(Frozen):
    """What graders have in common.

    `model` is the grader, or several, of which the majority counts. `template` is the prompt, with the places
    `{question}`, `{answer}`, `{target}`, `{instructions}`, `{transcript}` and `{metadata.KEY}`. `partial` is the value
    of partly right, which is no grade without it. `attempts` is how often a grader is asked until its reply holds a
    grade. `timeout` is in seconds for all of one answer's grading. `budget` (US dollars) and `token_budget` bound what
    all grading by this scorer takes in one worker; past them answers are left unscored. What is under way then still
    ends, so it may be a little more.
    """

    name: str = Field(default="", max_length=LONGEST_NAME)
    model: Grader | tuple[Grader, ...]
    template: str | None = None
    instructions: str | None = None
    system_prompt: str | None = None
    partial: float | None = Field(default=None, ge=0.0, le=1.0)
    attempts: int = Field(default=2, ge=1, le=10)
    timeout: float = Field(default=1800.0, gt=0.0)
    budget: float | None = Field(default=None, gt=0.0)
    token_budget: int | None = Field(default=None, ge=1)
    _spent: _Spent = PrivateAttr(default_factory=_Spent)

    _template: ClassVar[str]
    _grades: ClassVar[tuple[str, str]]

    @property
    def graders(self) -> Sequence[dict[str, JsonValue]]:
        """The fields of `SessionConfig` for each grader."""
        several = self.model if isinstance(self.model, tuple) else (self.model,)
        return [{"model": one} if isinstance(one, str) else one for one in several]

    def model_post_init(self, context: object) -> None:
        """Refuse what no session can be made with. Raises ValueError."""
        super().model_post_init(context)
        if not self.graders:
            raise ValueError("model: name a grader, such as openai/gpt-5.2")
        for fields in self.graders:
            if taken := sorted(fields.keys() & _NOT_OURS):
                raise ValueError(f"{taken[0]} is no setting of a grader's model; system_prompt is one of the scorer")
            try:
                SessionConfig.model_validate(fields)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    @field_validator("template")
    @classmethod
    def _has_a_place(cls, template: str | None) -> str | None:
        return template if template is None else prompts.check_template(template)

    async def score(self, answered: Answered) -> Score:
        """The score by the majority of the graders. Raises ScorerError if nobody may or need be asked."""
        self._check_budget()
        told = self._grades[0 if self.partial is None else 1]
        instructions = f"{told}\n{self.instructions}" if self.instructions else told
        prompt = prompts.filled(self.template or self._template, answered, instructions)
        votes = await asyncio.gather(*(self._vote(answered, fields, prompt) for fields in self.graders))
        return self._score(votes)

    async def score_within(self, answered: Answered, seconds: float, clock: Clock) -> Score:  # noqa: ARG002
        """As `score`, within the scorer's own `timeout`: graders answer one after the other, which others wait for."""
        return await within(self.timeout, clock, self.score(answered))

    async def _vote(self, answered: Answered, fields: dict[str, JsonValue], prompt: str) -> _Vote:
        vote = _Vote(str(fields["model"]))
        for _ in range(self.attempts):
            try:
                self._check_budget()
                answer = await answered.grader(
                    GraderQuestion(prompt=prompt, fields=fields, system_prompt=self.system_prompt)
                )
            except Exception as error:  # noqa: BLE001 - the boundary to a grading model; its vote is missing then
                vote.error = told(error)
                return vote
            self._count(answer.usage, answer.cost)
            vote.reply, vote.usage = answer.text, vote.usage + answer.usage
            vote.cost = None if vote.cost is None or answer.cost is None else vote.cost + answer.cost
            grade = grade_in(answer.text)
            if grade is not None and (grade != "P" or self.partial is not None):
                vote.grade = grade
                return vote
        end = clipped(vote.reply.strip()[-200:]) or "nothing"
        text = (
            f"The grader {vote.model} gave no grade in {self.attempts} replies. The last one ends with: {end}\nAsk a"
            " stronger model, or write in the template that the last line has to be GRADE: C or GRADE: I."
        )
        vote.error = ErrorInfo(boundary="scorer", kind="no_grade", message=text)
        return vote

    def _score(self, votes: Sequence[_Vote]) -> Score:
        grades: list[Grade] = [vote.grade for vote in votes if vote.grade is not None]
        costs = [vote.cost for vote in votes]
        usage = sum((vote.usage for vote in votes), Usage())
        enough = len(grades) * 2 > len(votes)
        grade = majority(grades) if enough else None
        metadata: dict[str, JsonValue] = {"grade": grade} if grade is not None else {}
        if len(votes) > 1:
            metadata["votes"] = [
                {"model": vote.model, "grade": vote.grade, "error": vote.error.message if vote.error else None}
                for vote in votes
            ]
        return Score(
            value=None if grade is None else {"C": 1.0, "P": self.partial or 0.0, "I": 0.0}[grade],
            answer=grade,
            explanation=next((clipped(vote.reply, 4000) for vote in votes if vote.grade == grade and grade), None),
            metadata=metadata,
            error=None if enough else next(vote.error for vote in votes if vote.error is not None),
            usage=usage,
            cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        )

    def _count(self, usage: Usage, cost: float | None) -> None:
        self._spent.tokens += usage.context_tokens
        self._spent.cost += cost or 0.0
        self._spent.unpriced |= cost is None

    def _check_budget(self) -> None:
        spent = self._spent
        if self.budget is not None and spent.unpriced:
            raise ScorerError(
                f"The scorer {self.name} has a budget in dollars, and nobody knows the price of its grader. Bound it"
                " with token_budget instead.",
                "unpriced",
            )
        for limit, used, what in (
            (self.budget, spent.cost, "budget"),
            (self.token_budget, spent.tokens, "token_budget"),
        ):
            if limit is not None and used >= limit:
                raise ScorerError(
                    f"The budget of the scorer {self.name} is used up ({what} of {limit:g}). Give it more, and score"
                    " the results again.",
                    "budget",
                )


class ModelGradedQA(_Graded):
    """Right if a grading model says that the answer meets the target."""

    kind: Literal["model_graded_qa"] = "model_graded_qa"
    name: str = Field(default="model_graded_qa", min_length=1, max_length=LONGEST_NAME)

    _template: ClassVar[str] = prompts.QA
    _grades: ClassVar[tuple[str, str]] = (prompts.GRADES_QA, prompts.GRADES_QA_PARTIAL)


class ModelGradedFact(_Graded):
    """Right if a grading model says that the answer states the fact that the target is."""

    kind: Literal["model_graded_fact"] = "model_graded_fact"
    name: str = Field(default="model_graded_fact", min_length=1, max_length=LONGEST_NAME)

    _template: ClassVar[str] = prompts.FACT
    _grades: ClassVar[tuple[str, str]] = (prompts.GRADES_FACT, prompts.GRADES_FACT_PARTIAL)
