"""Targets: what an answer is compared with.

The rule here: a target is a text, a number, true or false, or a list of them, any of which is right. Nothing else is
compared, and a sample without one is no sample that was answered wrong.
"""

import json
from collections.abc import Sequence
from decimal import Decimal

from pydantic import JsonValue

from agent_core.errors import ScorerError
from agent_core.evaluation.sample import Sample


def targets_of(sample: Sample) -> Sequence[JsonValue]:
    """The targets, any of which is right. Raises ScorerError if there is none."""
    target = sample.target
    if target is None or target == []:
        raise ScorerError(
            f"Sample '{sample.id}' has no target, so its answer cannot be compared with it. Give it one, or judge it"
            " with a scorer that needs none.",
            "no_target",
        )
    return target if isinstance(target, list) else (target,)


def texts_of(sample: Sample, *, empty: bool = False) -> tuple[str, ...]:
    """The targets as texts. With `empty` a text may be empty. Raises ScorerError."""
    texts = tuple(text for target in targets_of(sample) for text in _texts(target, sample))
    if not empty and not all(text.strip() for text in texts):
        raise _bad(sample, "an empty text, which every answer holds")
    return texts


def _texts(target: JsonValue, sample: Sample) -> tuple[str, ...]:
    match target:
        case bool():
            return ("true" if target else "false", "True" if target else "False")
        case str():
            return (target,)
        case int():
            return (str(target),)
        case float():
            whole = int(target) if target.is_integer() and abs(target) < 1e15 else None
            plain = format(Decimal(repr(target)), "f")
            return tuple(dict.fromkeys((repr(target), plain, *(() if whole is None else (str(whole),)))))
        case None:
            raise _bad(sample, "null in a list")
        case _:
            raise _bad(sample, f"{shown(target)}, which is no text, number, true or false")


def shown(value: JsonValue, limit: int = 100) -> str:
    """A value as JSON, cut if it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _bad(sample: Sample, what: str) -> ScorerError:
    return ScorerError(
        f"The target of sample '{sample.id}' is {what}. Mend it in the dataset, or judge it with another scorer.",
        "bad_target",
    )
