"""Scores of Inspect and scores of a run, made into each other.

The rule here: a value that is no number is kept beside the number that Inspect's own metrics make of it, so that what
they make of a run is the same. A score that Inspect leaves out of its metrics (NaN, its sign for "unscored"), and one
that is neither a number nor a word that stands for one, has no value here, and says why.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from inspect_ai.scorer import Score as InspectScore
from inspect_ai.scorer import value_to_float
from pydantic_core import to_jsonable_python

from agent_core.errors import ErrorInfo
from agent_core.evaluation.score import Score
from agent_core.messages import Usage

KEPT = "inspect"
_WORDS = {"c", "i", "p", "n", "yes", "no", "true", "false"}


NO_SCORE = Score(
    value=None,
    error=ErrorInfo(
        boundary="scorer", kind="no_score", message="The scorer gave this answer no score. Inspect leaves it out too."
    ),
)
"""What a scorer is put down with that returns None, as it may."""


def scores_of(given: InspectScore, usage: Usage | None = None, cost: float | None = None) -> Score | dict[str, Score]:
    """The score, or one for each part of a value that has several. Grading is put down to the first of them."""
    value = given.value
    if isinstance(value, Mapping):
        parts: list[tuple[str, Any]] = list(value.items())
        form = "mapping"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        parts, form = [(str(number), part) for number, part in enumerate(value)], "list"
    else:
        return _score(given, value, {"value": _plain(value)}).model_copy(update={"usage": usage, "cost": cost})
    scores = {
        key: _score(given, part, {"value": _plain(part), "form": form, "key": key, "parts": len(parts)})
        for key, part in parts
    }
    if scores:
        first = next(iter(scores))
        scores[first] = scores[first].model_copy(update={"usage": usage, "cost": cost})
    return scores


def _score(given: InspectScore, value: Any, kept: dict[str, Any]) -> Score:
    number = number_of(value)
    metadata = to_jsonable_python(given.metadata or {}, fallback=str, inf_nan_mode="strings")
    error = None
    if number is None:
        error = ErrorInfo(boundary="scorer", kind="unscored", message=_why(given, value))
    if given.reason is not None:
        kept["reason"] = given.reason
    return Score(
        value=number,
        answer=given.answer,
        explanation=given.explanation,
        metadata={**metadata, KEPT: kept},
        error=error,
    )


def number_of(value: Any) -> float | None:
    """The number that Inspect's metrics take a value for; None where it is none."""
    if isinstance(value, str) and value.lower() not in _WORDS and not _is_number(value):
        return None
    if value is None:
        return None
    number = float(value_to_float()(value))
    return number if math.isfinite(number) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _why(given: InspectScore, value: Any) -> str:
    if isinstance(value, float):
        why = given.reason or given.explanation or "it gave no number"
        return f"The scorer left this answer unscored: {why}. Look at its explanation."
    return f"The scorer gave {value!r}, which stands for no number. Have it give a number, C, I, P or N."


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def inspect_score(name: str, scores: Mapping[str, Score]) -> InspectScore | None:
    """The score that the scorer of this name gave, put together again; None if it gave none, or failed."""
    if (whole := scores.get(name)) is not None:
        return _whole(whole) if KEPT in whole.metadata else None
    parts = [
        (kept["key"], kept, score)
        for key, score in scores.items()
        if isinstance(kept := score.metadata.get(KEPT), dict) and key == f"{name}.{kept.get('key')}"
    ]
    if not parts:
        return None
    values = {str(key): _value(kept["value"]) for key, kept, _ in parts}
    value: Any = list(values.values()) if parts[0][1].get("form") == "list" else values
    return _with(parts[0][2], value, parts[0][1])


def _whole(score: Score) -> InspectScore:
    kept: Any = score.metadata[KEPT]
    return _with(score, _value(kept["value"]), kept)


def _with(score: Score, value: Any, kept: Mapping[str, Any]) -> InspectScore:
    return InspectScore(
        value=value,
        answer=score.answer,
        explanation=score.explanation,
        reason=kept.get("reason"),
        metadata={key: one for key, one in score.metadata.items() if key != KEPT} or None,
    )


def _value(plain: Any) -> Any:
    return float(plain) if plain in ("nan", "inf", "-inf") else plain
