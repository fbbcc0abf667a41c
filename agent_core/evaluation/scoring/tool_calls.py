"""A scorer that judges by the tools that were called.

The rule here: it looks at what was called and with what, never at what was said about it.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from agent_core.errors import ScorerError
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.score import Answered, Score
from agent_core.evaluation.scoring.calls import Call, calls_of
from agent_core.evaluation.scoring.instant import Instant, clipped
from agent_core.evaluation.scoring.json_values import same
from agent_core.evaluation.scoring.targets import shown
from agent_core.frozen import Frozen


class ExpectedCall(Frozen):
    """A call that is to be made: `at_least` times and, if said, `at_most`.

    Its `arguments` have to be among those that it is made with, or with `exactly` all of them. A `*` in the name stands
    for any characters.
    """

    name: str = Field(min_length=1)
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    exactly: bool = False
    at_least: int = Field(default=1, ge=0)
    at_most: int | None = Field(default=None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    def is_met_by(self, call: Call, *, ignore_case: bool) -> bool:
        """Whether the call is this one."""
        if not fnmatchcase(call.name, self.name) or (self.exactly and call.arguments.keys() != self.arguments.keys()):
            return False
        given = call.arguments
        return all(key in given and same(given[key], value, ignore_case=ignore_case) for key, value in self.named)

    @property
    def named(self) -> Sequence[tuple[str, JsonValue]]:
        """The arguments, with their names."""
        return tuple(self.arguments.items())

    def __str__(self) -> str:
        inside = ", ".join(f"{key}={shown(value, 40)}" for key, value in self.named)
        return f"{self.name}({inside})" if inside else self.name


class ToolCalls(Instant):
    """Right if the calls of the answer are those that were expected, by their names, arguments, number and order.

    `calls` are expected of every sample; without them those of the sample's target are, or of its metadata under
    `metadata`: a name, an object with `name` and `arguments`, or a list of these, all of which are expected. `order` is
    `any`, `in_order` (other calls may come between) or `exact` (these, and no others). `none_of` names tools that must
    not be called (`*` in them stands for any characters), `at_most` is how many calls there may be. Calls to `ignore`
    do not count unless they are named, and with `succeeded` those that failed do not. With `credit="share"` the value
    is the share of checks that are met, else 1 if all are.
    """

    kind: Literal["tool_calls"] = "tool_calls"
    name: str = "tool_calls"
    calls: tuple[ExpectedCall, ...] | None = None
    metadata: str | None = None
    order: Literal["any", "in_order", "exact"] = "any"
    none_of: tuple[str, ...] = ()
    at_most: int | None = Field(default=None, ge=0)
    ignore: tuple[str, ...] = ("submit",)
    succeeded: bool = False
    ignore_case: bool = False
    credit: Literal["all", "share"] = "all"

    @field_validator("calls", "none_of", "ignore", mode="before")
    @classmethod
    def _one_alone(cls, given: Any) -> Any:
        return [given] if isinstance(given, str | dict) else given

    def judge(self, answered: Answered) -> Score:
        if not answered.transcript:
            raise ScorerError(
                f"The messages of sample '{answered.sample.id}' could not be had, so nobody knows what was called. Run"
                " the sample again.",
                "no_transcript",
            )
        expected = self._expected(answered.sample)
        calls = self._counted(calls_of(answered), expected)
        checks = [*self._met(expected, calls), *self._kept_to(expected, calls)]
        wrong = [said for said, met in checks if not met]
        share = (len(checks) - len(wrong)) / len(checks) if checks else 1.0
        return Score(
            value=share if self.credit == "share" else float(not wrong),
            answer=clipped(", ".join(_said(call) for call in calls) or "no calls"),
            explanation=clipped("; ".join(wrong), 1000) if wrong else None,
        )

    def _expected(self, sample: Sample) -> tuple[ExpectedCall, ...]:
        if self.calls is not None:
            return self.calls
        given = sample.target if self.metadata is None else sample.metadata.get(self.metadata)
        where = "target" if self.metadata is None else f"metadata '{self.metadata}'"
        if given is None:
            # With none named, "no others" would mean "none": that is said with `none_of`.
            if self.order != "exact" and (self.none_of or self.at_most is not None):
                return ()
            raise ScorerError(
                f"Sample '{sample.id}' does not say in its {where} which calls are expected. Say it there, or give the"
                " scorer `calls`, `none_of` or `at_most`.",
                "no_target",
            )
        try:
            return tuple(map(ExpectedCall.model_validate, given if isinstance(given, list) else [given]))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ScorerError(
                f"The {where} of sample '{sample.id}' is no call: {first['msg']}. Write a tool's name, or"
                ' {"name": ..., "arguments": {...}}, or a list of these.',
                "bad_target",
            ) from None

    def _counted(self, calls: Sequence[Call], expected: Sequence[ExpectedCall]) -> list[Call]:
        named = {one.name for one in expected} | set(self.none_of)
        passed = {name for name in self.ignore if name not in named}
        return [call for call in calls if call.name not in passed and not (self.succeeded and call.failed)]

    def _met(self, expected: Sequence[ExpectedCall], calls: Sequence[Call]) -> list[tuple[str, bool]]:
        """For each call that is expected, as often as it is, whether it is there; and that the order is kept to."""
        wanted = [one for one in expected for _ in range(one.at_least)]
        # Row by row the places of the calls that would do.
        fits = [
            [at for at, call in enumerate(calls) if one.is_met_by(call, ignore_case=self.ignore_case)] for one in wanted
        ]
        match self.order:
            case "any":
                taken = _assigned(fits)
                return [(f"{one} is missing", number in taken) for number, one in enumerate(wanted)]
            case "in_order":
                return _in_order(wanted, fits)
            case "exact":
                there = [(f"call {n + 1} is not {one}", n in fits[n]) for n, one in enumerate(wanted)]
                return [*there, (f"{len(calls)} calls instead of {len(wanted)}", len(calls) == len(wanted))]

    def _kept_to(self, expected: Sequence[ExpectedCall], calls: Sequence[Call]) -> list[tuple[str, bool]]:
        checks: list[tuple[str, bool]] = []
        for one in expected:
            if one.at_most is not None:
                number = sum(one.is_met_by(call, ignore_case=self.ignore_case) for call in calls)
                checks.append((f"{one} is called {number} times, more than {one.at_most}", number <= one.at_most))
        made = [call.name for call in calls]
        checks += [(f"{name} is called", not any(fnmatchcase(one, name) for one in made)) for name in self.none_of]
        if self.at_most is not None:
            checks.append((f"{len(calls)} calls, more than {self.at_most}", len(calls) <= self.at_most))
        return checks


def _in_order(wanted: Sequence[ExpectedCall], fits: Sequence[Sequence[int]]) -> list[tuple[str, bool]]:
    checks: list[tuple[str, bool]] = []
    at = -1
    for one, places in zip(wanted, fits, strict=True):
        after = next((place for place in places if place > at), None)
        checks.append((f"{one} is missing, or not in its place", after is not None))
        at = at if after is None else after
    return checks


def _assigned(fits: Sequence[Sequence[int]]) -> set[int]:
    """The rows that can have a place each, as many as possible: augmenting paths, after Kuhn (1955)."""
    holder: dict[int, int] = {}

    def find(row: int, seen: set[int]) -> bool:
        for place in fits[row]:
            if place in seen:
                continue
            seen.add(place)
            if place not in holder or find(holder[place], seen):
                holder[place] = row
                return True
        return False

    for row in range(len(fits)):
        find(row, set())
    return set(holder.values())


def _said(call: Call) -> str:
    inside = ", ".join(f"{key}={shown(value, 40)}" for key, value in call.arguments.items())
    return f"{call.name}({inside})"
