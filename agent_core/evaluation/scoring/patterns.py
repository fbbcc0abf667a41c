"""A scorer that reads a part of the answer by a regular expression.

The rule here: no expression, however written, holds up the other samples. It is tried for a moment, and if that is not
enough it goes on in a thread until its time is over.
"""

import asyncio
from functools import lru_cache
from typing import Any, Literal, cast

from pydantic import Field, field_validator

from agent_core.errors import ScorerError
from agent_core.evaluation.score import Answered, Score
from agent_core.evaluation.scoring.instant import LONGEST_NAME, right, wrong
from agent_core.evaluation.scoring.normalising import normal
from agent_core.evaluation.scoring.targets import texts_of
from agent_core.frozen import Frozen

# Seconds. `regex` looks at its time only now and then, and lets other threads run while it searches texts.
_MOMENT = 0.01
_PATIENCE = 10.0


class Regex(Frozen):
    """Right if what `pattern` finds is the target, or with `expect="match"` if it finds anything.

    `group` is the number or the name of what is compared; without it the first group, or all of it if there is none.
    Of several places `which` counts. The language is that of the package `regex`: Python's `re` and more.
    """

    kind: Literal["regex"] = "regex"
    name: str = Field(default="regex", min_length=1, max_length=LONGEST_NAME)
    pattern: str = Field(min_length=1)
    group: int | str | None = None
    which: Literal["first", "last", "any"] = "first"
    expect: Literal["target", "match"] = "target"
    ignore_case: bool = True

    @field_validator("pattern")
    @classmethod
    def _can_be_read(cls, pattern: str) -> str:
        _compiled(pattern, ignore_case=True)
        return pattern

    def model_post_init(self, _: object) -> None:
        """Refuse a group that the pattern does not have. Raises ValueError."""
        pattern = _compiled(self.pattern, ignore_case=self.ignore_case)
        known: list[int | str] = [*range(pattern.groups + 1), *pattern.groupindex]
        group = self._numbered
        if group is not None and group not in known:
            raise ValueError(f"group: the pattern has no group {self.group}. It has: {', '.join(map(str, known))}")

    @property
    def _numbered(self) -> int | str | None:
        """The group, a number that came as text as one."""
        return int(self.group) if isinstance(self.group, str) and self.group.isdecimal() else self.group

    async def score(self, answered: Answered) -> Score:
        """The score. Raises ScorerError if there is no target, or the search takes longer than ten seconds."""
        targets = texts_of(answered.sample) if self.expect == "target" else ()
        try:
            found = self._found(answered.answer, _MOMENT)
        except TimeoutError:
            try:
                found = await asyncio.to_thread(self._found, answered.answer, _PATIENCE)
            except TimeoutError:
                raise ScorerError(
                    f"The pattern {self.pattern!r} searched an answer of {len(answered.answer):,} characters for"
                    f" {_PATIENCE:g} s. Write it with less that may repeat within what repeats.",
                    "timeout",
                ) from None
        if not found:
            return wrong(None, "The pattern is not found in the answer.")
        if self.expect == "match":
            return right(found[0])
        plain = {self._plain(target) for target in targets}
        target = next((text for text in found if self._plain(text) in plain), None)
        return wrong(found[0]) if target is None else right(target)

    def _plain(self, text: str) -> str:
        return normal(text, ignore_case=self.ignore_case, ignore_punctuation=False)

    def _found(self, answer: str, seconds: float) -> list[str]:
        """What the pattern finds. Raises TimeoutError."""
        pattern = _compiled(self.pattern, ignore_case=self.ignore_case)
        group = self._numbered
        if group is None:
            group = min(1, pattern.groups)
        texts: list[str] = []
        for match in pattern.finditer(answer, timeout=seconds):
            texts.append(match.group(group) or "")
            if self.which == "first":
                break
            if self.which == "last":
                texts = texts[-1:]
        return texts


@lru_cache(maxsize=256)
def _compiled(pattern: str, *, ignore_case: bool) -> Any:
    """The expression, ready. Raises ValueError if it is none."""
    import regex

    package = cast("Any", regex)
    try:
        return package.compile(pattern, package.IGNORECASE if ignore_case else 0)
    except package.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
