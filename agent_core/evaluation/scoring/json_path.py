"""A scorer that looks into the JSON of an answer.

The rule here: a path is one of RFC 9535, and the answer is data. What is no JSON is a wrong answer, not an error. A
path that may take long, by its expressions or its depth, is followed in a process that can be ended.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator

from agent_core.errors import ScorerError
from agent_core.evaluation.score import Answered, Score
from agent_core.evaluation.scoring.function import FunctionScorer
from agent_core.evaluation.scoring.instant import Instant, right, wrong
from agent_core.evaluation.scoring.json_values import NOTHING, json_in, same
from agent_core.evaluation.scoring.targets import shown, targets_of
from agent_core.ports import Clock

# The functions of RFC 9535 that take a regular expression.
_EXPRESSION = re.compile(r"\b(?:match|search)\s*\(")


class JsonPath(Instant):
    """Right if a value that `path` finds in the answer's JSON is the target, or with `expect="exists"` if there is one.

    The JSON is the whole answer, a fenced block in it, or the longest object or list in its text. A target that is a
    text is also read as JSON where the value is none. An object as a target is compared as a whole; a list is one of
    targets, so a list that is to be found stands in another one.
    """

    kind: Literal["json_path"] = "json_path"
    name: str = "json_path"
    path: str = "$"
    expect: Literal["target", "exists"] = "target"
    tolerance: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    ignore_case: bool = False

    @field_validator("path")
    @classmethod
    def _can_be_read(cls, path: str) -> str:
        _compiled(path)
        return path

    @property
    def is_instant(self) -> bool:
        return self.path.count("..") < 2 and _EXPRESSION.search(self.path) is None

    async def score_within(self, answered: Answered, seconds: float, clock: Clock) -> Score | Mapping[str, Score]:
        """As `judge`, in a child process. Raises ScorerError, of kind `timeout` after `seconds`."""
        return await FunctionScorer(self.judge, self.name).score_within(answered, seconds, clock)

    def judge(self, answered: Answered) -> Score:
        targets = targets_of(answered.sample) if self.expect == "target" else ()
        document = json_in(answered.answer)
        if document is NOTHING:
            return wrong(None, "There is no JSON in the answer.")
        found = self._found(document)
        if not found:
            return wrong(None, f"The JSON of the answer has nothing at {self.path}.")
        if self.expect == "exists":
            return right(shown(found[0]))
        for value in found:
            if any(self._is(value, target) for target in targets):
                return right(shown(value))
        return wrong(shown(found[0]), f"Not {' or '.join(map(shown, targets))}.")

    def _is(self, value: JsonValue, target: JsonValue) -> bool:
        if isinstance(target, str) and not isinstance(value, str):
            target = json_in(target)
        return target is not NOTHING and same(value, target, tolerance=self.tolerance, ignore_case=self.ignore_case)

    def _found(self, document: JsonValue) -> list[JsonValue]:
        from jsonpath_rfc9535 import JSONPathError

        if not isinstance(document, dict | list):
            return [document] if self.path.strip() == "$" else []
        try:
            return list(_compiled(self.path).find(document).values())
        except (JSONPathError, RecursionError) as error:
            raise ScorerError(
                f"The path {self.path} cannot be followed in this answer: {type(error).__name__}: {error}."
                " Write one that goes less deep.",
                type(error).__name__,
            ) from None


@lru_cache(maxsize=256)
def _compiled(path: str) -> Any:
    """The path, ready. Raises ValueError if it is none."""
    import jsonpath_rfc9535

    try:
        return jsonpath_rfc9535.compile(path)
    except jsonpath_rfc9535.JSONPathError as error:
        raise ValueError(f"{path!r} is no JSON path (RFC 9535): {error}. One is: $.answer") from None
