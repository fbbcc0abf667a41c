"""Times as a person reads them. The rule here: one number is enough to know an age."""

from datetime import datetime

_STEPS = ((60, "s", 1), (3_600, "min", 60), (86_400, "h", 3_600), (90 * 86_400, "d", 86_400))


def age(seconds: float) -> str:
    """`5 s`, `12 min`, `3 h`, `40 d`, `8 mo`."""
    whole = max(0, int(seconds))
    for below, unit, size in _STEPS:
        if whole < below:
            return f"{whole // size} {unit}"
    return f"{whole // (30 * 86_400)} mo"


def moment(at: float) -> str:
    """A time (seconds since the epoch) here, to the minute: `2026-11-22 17:18`."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
