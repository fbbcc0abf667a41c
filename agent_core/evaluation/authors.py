"""What a user's own code raised, told in two lines.

The rule here: the author's line is shown and no traceback of ours.
"""

import linecache
import os
import sysconfig
import traceback
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]
# What raises on behalf of a session: this project, and what carries its calls.
_OURS = (
    *(str(_PROJECT / name) + os.sep for name in ("agent_core", "actors", "drivers")),
    str(Path(sysconfig.get_path("purelib"), "ray")) + os.sep,
)
# Whoever writes tasks looks for mistakes in their own files first.
_NOT_THEIRS = (*_OURS, *(sysconfig.get_path(name) for name in ("stdlib", "purelib")), "<frozen")
LONGEST = 600


def author_error(error: BaseException, path: str | None = None) -> str:
    """Where the author's own code raised this, and what: `  FILE:LINE: SOURCE`, then `  KIND: TEXT`.

    `path` is the author's file; without it, the last line that is not of this package or an installed one is shown.
    """
    said = (error.msg if isinstance(error, SyntaxError) else str(error))[:LONGEST]
    told = f"  {type(error).__name__}: {said}" if said else f"  {type(error).__name__}"
    return "\n".join(filter(None, (author_line(error, path), told)))


def author_line(error: BaseException, path: str | None = None) -> str:
    """Where the author's own code raised this; empty if none of it did."""
    if isinstance(error, SyntaxError) and error.filename:
        line = (error.text or linecache.getline(error.filename, error.lineno or 0)).strip()
        return f"  {error.filename}:{error.lineno}: {line}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == path] or [
        frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)
    ]
    return f"  {own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""


def is_authors(error: BaseException) -> bool:
    """Whether the author's own code raised this, or what it called, and no session that it spoke to."""
    names = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    own = [index for index, name in enumerate(names) if not name.startswith(_NOT_THEIRS)]
    return bool(own) and not any(name.startswith(_OURS) for name in names[own[-1] :])
