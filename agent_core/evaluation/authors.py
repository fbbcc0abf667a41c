"""What a user's own code raised, told in two lines.

The rule here: the author's line is shown and no traceback of ours.
"""

import linecache
import sysconfig
import traceback
from pathlib import Path

# Whoever writes tasks looks for mistakes in their own files first.
_NOT_THEIRS = (
    str(Path(__file__).resolve().parents[1]),
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib")),
    "<frozen",
)
LONGEST = 600


def author_error(error: BaseException, path: str | None = None) -> str:
    """Where the author's own code raised this, and what: `  FILE:LINE: SOURCE`, then `  KIND: TEXT`.

    `path` is the author's file; without it, the last line that is not of this package or an installed one is shown.
    """
    kind = type(error).__name__
    said = str(error)[:LONGEST]
    text = f"  {kind}: {said}" if said else f"  {kind}"
    if isinstance(error, SyntaxError) and error.filename:
        line = (error.text or linecache.getline(error.filename, error.lineno or 0)).strip()
        return f"  {error.filename}:{error.lineno}: {line}\n  {kind}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == path] or [
        frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)
    ]
    if not own:
        return text
    last = own[-1]
    return f"  {last.filename}:{last.lineno}: {last.line}\n{text}"
