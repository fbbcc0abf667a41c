"""Figures as a person reads them. The rule here: three digits say enough."""


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 0.3 s, 12 s, 2 min 5 s."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def count(tokens: int) -> str:
    """Tokens as a person reads them: 940, 1.2k, 45k, 1.3M."""
    if tokens < 1000:
        return str(tokens)
    if tokens < 999_500:
        return f"{tokens / 1000:.1f}k" if tokens < 9_950 else f"{tokens / 1000:.0f}k"
    return f"{tokens / 1_000_000:.1f}M"


def several(number: int, noun: str) -> str:
    """So many of something: 1 turn, 2 turns."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
