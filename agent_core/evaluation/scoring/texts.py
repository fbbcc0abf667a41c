"""Scorers that compare texts: the whole answer, a part of it, its beginning or its end.

The rule here: `match` finds a target as whole words, never within a longer word or number. `includes` looks for its
characters, and for whole words only if it is told to.
"""

import re
from typing import Literal

from agent_core.evaluation.score import Answered, Score
from agent_core.evaluation.scoring.instant import Instant, right, wrong
from agent_core.evaluation.scoring.normalising import is_word, normal, stripped
from agent_core.evaluation.scoring.targets import texts_of

_POINT = re.compile(r"\d[.,]")


class Exact(Instant):
    """Right if the answer is the target, white space around it aside."""

    kind: Literal["exact"] = "exact"
    name: str = "exact"
    ignore_case: bool = False
    ignore_punctuation: bool = False

    def judge(self, answered: Answered) -> Score:
        def plain(text: str) -> str:
            return normal(text, ignore_case=self.ignore_case, ignore_punctuation=self.ignore_punctuation)

        answer = plain(answered.answer)
        targets = texts_of(answered.sample, empty=True)
        return right(answer) if any(answer == plain(text) for text in targets) else wrong(answer)


class Includes(Instant):
    """Right if the answer includes the target; with `whole_words`, as words of their own."""

    kind: Literal["includes"] = "includes"
    name: str = "includes"
    ignore_case: bool = True
    whole_words: bool = False

    def judge(self, answered: Answered) -> Score:
        answer = normal(answered.answer, ignore_case=self.ignore_case, ignore_punctuation=False)
        for text in texts_of(answered.sample):
            target = normal(text, ignore_case=self.ignore_case, ignore_punctuation=False)
            if _has_words(answer, target) if self.whole_words else target in answer:
                return right(text)
        return wrong(None, "The answer does not include the target.")


class Match(Instant):
    """Right if the answer begins or ends with the words of the target, or has them anywhere.

    Punctuation, quotes and markup around the answer and around the target do not count.
    """

    kind: Literal["match"] = "match"
    name: str = "match"
    at: Literal["begin", "end", "any"] = "end"
    ignore_case: bool = True

    def judge(self, answered: Answered) -> Score:
        answer = self._plain(answered.answer)
        for text in texts_of(answered.sample):
            if self._is_at(answer, self._plain(text)):
                return right(text)
        where = {"begin": "begin with", "end": "end with", "any": "have"}[self.at]
        piece = answer[:80] if self.at == "begin" else answer[-80:]
        return wrong(piece, f"The answer does not {where} the target.")

    def _plain(self, text: str) -> str:
        # What is nothing but punctuation, such as a target of "?", is left as it is.
        return normal(stripped(text) or text, ignore_case=self.ignore_case, ignore_punctuation=False)

    def _is_at(self, answer: str, target: str) -> bool:
        match self.at:
            case "begin":
                return answer.startswith(target) and _is_edge(answer, len(target))
            case "end":
                return answer.endswith(target) and _is_edge(answer, len(answer) - len(target))
            case "any":
                return _has_words(answer, target)


def _has_words(text: str, words: str) -> bool:
    """Whether the words stand in the text, no letter or digit right before or behind them."""
    start = text.find(words)
    while start >= 0:
        if _is_edge(text, start) and _is_edge(text, start + len(words)):
            return True
        start = text.find(words, start + 1)
    return False


def _is_edge(text: str, place: int) -> bool:
    """Whether no word or number goes across this place. Words of scripts without spaces end anywhere."""
    if place in {0, len(text)}:
        return True
    before, after = text[place - 1], text[place]
    if _splits_number(text, place):
        return False
    return not (is_word(before) and is_word(after)) or not (_is_spaced(before) and _is_spaced(after))


def _splits_number(text: str, place: int) -> bool:
    """Whether a number goes on across this place: by a point or comma between digits, or by its sign."""
    before, after = text[max(0, place - 2) : place], text[place : place + 2]
    if after[0].isdigit():
        return _POINT.fullmatch(before) is not None or before.lstrip() in {"-", "\u2212"}
    return before[-1].isdigit() and len(after) == 2 and after[0] in ".," and after[1].isdigit()


def _is_spaced(character: str) -> bool:
    """Whether the script puts spaces between words: all do but those of East and South-East Asia."""
    code = ord(character)
    return not (0x0E00 <= code <= 0x0FFF or 0x1000 <= code <= 0x109F or 0x1780 <= code <= 0x17FF or _is_han(code))


def _is_han(code: int) -> bool:
    return 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or code >= 0x20000
