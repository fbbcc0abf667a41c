"""The letters of choices, as answers name them.

The rule here: a letter counts where it stands for a choice: behind "answer", alone on a line, in a box or in brackets.
The article "A" and the pronoun "I" in a sentence are no letters. What was said last counts.
"""

import re
from collections.abc import Sequence

from agent_core.evaluation.scoring.normalising import normal, stripped

_MARKS = r"[\s*_`\"'(\[{$:]*"
_END = r"[*_`\"')\]}$.,;:!]*"
_SAID = re.compile(
    r"\b(?:answers?|choices?|options?|letters?)\b[*_`]*"
    r"(?:\s*(?:is|are|[:=\-\u2013\u2014]))+[*_`]*[ \t]*(?P<rest>\S[^\n]*)",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\boxed\{\s*(?:\\(?:text|mathrm|mathbf|textbf)\{)?(?P<rest>[^{}\n]*)\}")
_JOINED = re.compile(r"\s*(?:,|;|/|&|\+|\band\b|\bor\b|\s)\s*", re.IGNORECASE)


class Choices:
    """The choices of one question. `names` are their letters, or numbers if there are many."""

    def __init__(self, names: Sequence[str], texts: Sequence[str]) -> None:
        self.names, self.texts = list(names), list(texts)
        self._by_text: dict[str, str] = {}
        for name, text in zip(names, texts, strict=True):
            self._by_text.setdefault(_plain(text), name)
        name = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        # A name alone, in brackets, or with a sign that parts it from the choice's text.
        self._alone = re.compile(rf"{_MARKS}({name}){_END}", re.IGNORECASE)
        self._leading = re.compile(rf"{_MARKS}({name})[*_`\"']*\s*(?:[).:\]}}]|[-\u2013\u2014]\s)", re.IGNORECASE)
        self._first = re.compile(rf"{_MARKS}({name})(?!\w|'|\u2019)", re.IGNORECASE)
        self._bracketed = re.compile(rf"\(({name})\)|\*\*\(?({name})\)?[.:]?\*\*")

    def one(self, answer: str) -> str | None:
        """The name of the choice that the answer makes; None if none can be read."""
        lines = [line.strip() for line in answer.splitlines() if line.strip()]
        if not lines:
            return None
        for rest in self._said(answer):
            if name := self._named(rest):
                return name
        last = self._line(lines[-1])
        if last is not None:
            return last
        whole = self.of_text(answer)
        if whole is not None:
            return whole
        if (first := self._line(lines[0])) is not None:
            return first
        found = {"".join(filter(None, match.groups())) for match in self._bracketed.finditer(answer)}
        return found.pop() if len(found) == 1 else None

    def several(self, answer: str) -> frozenset[str] | None:
        """The names of all choices that the answer makes; None if none can be read."""
        for rest in [*self._said(answer), *reversed([line for line in answer.splitlines() if line.strip()])]:
            names = self.listed(rest)
            if names is not None:
                return names
        one = self.one(answer)
        return None if one is None else frozenset({one})

    def listed(self, text: str) -> frozenset[str] | None:
        """The names in a list such as `A, C and D` or `ACD`; None if it is no such list."""
        bare = stripped(text)
        words = [stripped(word) for word in _JOINED.split(bare)]
        names = [self.name(word) for word in words if word]
        if names and all(name is not None for name in names):
            return frozenset(name for name in names if name is not None)
        if len(bare) <= len(self.names) and all(letter in self.names for letter in bare):
            return frozenset(bare) or None
        return None

    def name(self, text: str) -> str | None:
        """The choice with this name, in upper or lower case."""
        return next((name for name in self.names if name == text.strip().upper()), None)

    def of_text(self, text: str) -> str | None:
        """The choice that has this text, however it is punctuated."""
        return self._by_text.get(_plain(text))

    def _said(self, answer: str) -> list[str]:
        """What stands behind "answer:" and in boxes, the last first."""
        found = [*_SAID.finditer(answer), *_BOX.finditer(answer)]
        return [match["rest"] for match in sorted(found, key=lambda match: match.start(), reverse=True)]

    def _named(self, rest: str) -> str | None:
        """The choice that the text behind "answer:" names first."""
        line = self._line(rest)
        if line is not None:
            return line
        found = self._first.match(rest)
        if found is None or (found[1].islower() and found.end() < len(rest.rstrip(" .*"))):
            return None
        # "the answer is A better one": an article, not a choice.
        following = rest[found.end() :].lstrip()[:1]
        article = found[1] in {"A", "I"} and following.isalpha() and following.islower()
        return None if article else self.name(found[1])

    def _line(self, line: str) -> str | None:
        """The choice that a line consists of or begins with as a label, or whose text it is."""
        alone = self._alone.fullmatch(line)
        if alone is not None:
            return self.name(alone[1])
        text = self.of_text(line)
        if text is not None:
            return text
        leading = self._leading.match(line)
        return None if leading is None else self.name(leading[1])


def _plain(text: str) -> str:
    return normal(stripped(text) or text, ignore_case=True, ignore_punctuation=False)
