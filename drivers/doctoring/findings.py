"""What a check found: one line, how bad it is, and what to do about it.

The rule here: whatever is not as it should be comes with a mend, and no finding holds the value of a key.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from agent_core.errors import RayconteurError

_SENTENCE = re.compile(r"(?<=[.)]) (?=[A-Z])")


class Mark(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend` says what to do, and is empty where nothing is to be done."""

    mark: Mark
    text: str
    mend: str = ""


class NotChecked(Exception):
    """A check cannot look, for something else keeps it from it: no fault of what it looks at."""


def ok(text: str) -> Finding:
    """It is as it should be."""
    return Finding(Mark.OK, text)


def warning(text: str, mend: str) -> Finding:
    """It works, and will not always."""
    return Finding(Mark.WARNING, text, mend)


def problem(text: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(Mark.PROBLEM, text, mend)


def skipped(text: str, mend: str = "") -> Finding:
    """It was not looked at."""
    return Finding(Mark.SKIPPED, text, mend)


def of_error(error: RayconteurError) -> Finding:
    """A problem in the words of the error: what is wrong first, what to do behind it."""
    message = str(error)
    what, *rest = _SENTENCE.split(message, maxsplit=1)
    if not rest:
        # What was said by others stands in brackets, and may have a colon of its own.
        bracket, closed, mend = message.partition("): ")
        what, _, mend = (f"{bracket})", "", mend) if closed else message.partition(": ")
        rest = [mend] if mend else []
    mend = rest[0] if rest else "See what it names."
    return problem(what.rstrip("."), mend[0].upper() + mend[1:])


def size(number: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit in ("B", "KB") or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
