"""A scorer that compares numbers.

The rule here: numbers are compared exactly, as decimals, within what the task says is near enough.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from typing import Literal

from pydantic import Field, JsonValue

from agent_core.errors import ScorerError
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Answered, Score
from agent_core.evaluation.scoring.instant import Instant, right, wrong
from agent_core.evaluation.scoring.quantities import Point, Quantity, decimal_of, quantities
from agent_core.evaluation.scoring.targets import shown, targets_of

# The last digits of a binary fraction are nobody's answer.
_ROUNDING = Decimal("1e-9")
_DIGITS = 60
_HUNDRED = Decimal(100)
_SPACES = " \u00a0\u2009\u202f"


class Numeric(Instant):
    """Right if a number in the answer is within `tolerance` of the target, or within `relative` times the target.

    `read` says which number of the answer counts, `after` the text behind whose last place it stands, `unit` (such as
    `km` or `€`) what stands beside it, if there are any that do. `point` parts whole from part. A percentage is `12 %`:
    beside a target that is none it is taken for 12 and for 0.12 (`percent="either"`), or for one of the two. Without
    `relative` whole numbers have to be equal, and others up to a billionth.
    """

    kind: Literal["numeric"] = "numeric"
    name: str = "numeric"
    tolerance: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    relative: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    read: Literal["first", "last", "any"] = "last"
    after: str | None = Field(default=None, min_length=1)
    unit: str | None = Field(default=None, min_length=1)
    point: Point = "."
    percent: Literal["either", "number", "fraction"] = "either"

    def judge(self, answered: Answered) -> Score:
        targets = [self._target(target, answered.sample) for target in targets_of(answered.sample)]
        read = self._read(answered.answer)
        if not read:
            return wrong(None, "There is no number in the answer.")
        for found in read:
            for target in targets:
                if self._is_near(found, target):
                    return right(found.text)
        return wrong(read[-1].text, f"Not {' or '.join(target.text for target in targets)}.")

    def _read(self, answer: str) -> Sequence[Quantity]:
        if self.after is not None:
            _, marker, behind = answer.rpartition(self.after)
            answer = behind if marker else ""
        found = list(quantities(answer, self.point))
        if self.unit is not None:
            found = [one for one in found if _has_unit(answer, one, self.unit)] or found
        if self.read == "any":
            return found
        return found[:1] if self.read == "first" else found[-1:]

    def _target(self, target: JsonValue, sample: Sample) -> Quantity:
        if isinstance(target, int | float) and not isinstance(target, bool):
            value = decimal_of(target)
            if value is not None:
                return Quantity(value, shown(target), 0, 0)
        elif isinstance(target, str):
            found = next(quantities(target, self.point), None)
            if found is not None:
                return found
        raise ScorerError(
            f"The target of sample '{sample.id}' is {shown(target)}, which holds no number to compare with. Mend it in"
            " the dataset, or judge it with another scorer.",
            "bad_target",
        )

    def _is_near(self, found: Quantity, target: Quantity) -> bool:
        with localcontext(prec=_DIGITS):
            return any(
                abs(value - wanted) <= self._distance(value, wanted)
                for value in self._values(found, target)
                for wanted in self._values(target, found)
            )

    def _values(self, one: Quantity, other: Quantity) -> Iterator[Decimal]:
        """What a number is taken for beside another one."""
        if not one.percent or other.percent:
            yield one.value
            return
        if self.percent != "fraction":
            yield one.value
        if self.percent != "number":
            yield one.value / _HUNDRED

    def _distance(self, value: Decimal, wanted: Decimal) -> Decimal:
        absolute = Decimal(repr(self.tolerance))
        if self.relative is not None:
            return max(absolute, Decimal(repr(self.relative)) * abs(wanted))
        whole = value == value.to_integral_value() and wanted == wanted.to_integral_value()
        return absolute if whole else max(absolute, _ROUNDING * abs(wanted))


def _has_unit(text: str, number: Quantity, unit: str) -> bool:
    behind = text[number.end :][: len(unit) + 3].lstrip(_SPACES)
    if behind.startswith(unit) and not (unit[-1].isalpha() and behind[len(unit) :][:1].isalpha()):
        return True
    return text[: number.start].rstrip(_SPACES + "-+\u2212").endswith(unit)
