"""Grades of a grading model: C for right, P for partly right, I for wrong.

The rule here: the last grade that a reply gives counts. A reply without one is no grade, and certainly not I.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

Grade = Literal["C", "P", "I"]

_WORDS: dict[str, Grade] = {
    "c": "C",
    "correct": "C",
    "p": "P",
    "partial": "P",
    "partially correct": "P",
    "partly correct": "P",
    "i": "I",
    "incorrect": "I",
}
_NAMES = "|".join(sorted(map(re.escape, _WORDS), key=len, reverse=True))
_AROUND = r"[\s*_`\"'(\[<{]*"
_GRADE = re.compile(rf"\bgrade\b[*_`\"']*\s*(?:is|[:=]){_AROUND}({_NAMES})(?!\w)", re.IGNORECASE)
_ALONE = re.compile(rf"{_AROUND}({_NAMES})[*_`\"')\]>}}.\s]*", re.IGNORECASE)
# From the best to the worst.
_ORDER: tuple[Grade, ...] = ("C", "P", "I")


def grade_in(reply: str) -> Grade | None:
    """The grade behind the last `GRADE:`, or on the last line if nothing else is there; None if there is none."""
    found = _GRADE.findall(reply)
    if found:
        return _WORDS[found[-1].lower()]
    lines = [line for line in reply.splitlines() if line.strip()]
    alone = _ALONE.fullmatch(lines[-1]) if lines else None
    return None if alone is None else _WORDS[alone[1].lower()]


def majority(grades: Sequence[Grade]) -> Grade:
    """The grade that most have given; of those that are even, the worst."""
    counts = Counter(grades)
    return max(_ORDER, key=lambda grade: (counts[grade], _ORDER.index(grade)))
