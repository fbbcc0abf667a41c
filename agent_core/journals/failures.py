"""Why a journal fails, as data: the kinds of `JournalError`, and which of them may pass.

The rule here: a failure that passes by itself or by somebody's hand (`is_temporary`) leaves the journal usable once its
cause is gone; a refusal (`Fenced`, `SequenceGap`) and the other kinds are for ever.
"""

from typing import Literal

from agent_core.errors import JournalError

FailureKind = Literal[
    "locked",
    "disk_full",
    "read_only",
    "unwritable",
    "missing",
    "io",
    "unreachable",
    "denied",
    "timeout",
    "closed",
    "corrupt",
    "newer_schema",
    "not_a_journal",
    "unreadable",
    "bad_append",
    "too_big",
]

TEMPORARY: frozenset[str] = frozenset(
    {"locked", "disk_full", "read_only", "unwritable", "missing", "io", "unreachable", "denied", "timeout"}
)


# One operation of a group may be the cause: its neighbours are tried apart from it.
DIVISIBLE: frozenset[str] = frozenset({"disk_full", "too_big", "bad_append"})


def is_temporary(error: JournalError) -> bool:
    """Whether the journal fails only for the moment: the same append may succeed later."""
    return error.kind in TEMPORARY


def failure(kind: FailureKind, text: str) -> JournalError:
    """A JournalError of a known kind. `text` says what to do next."""
    return JournalError(text, kind)
