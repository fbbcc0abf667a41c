"""What a user's scorer returned, made into scores.

The rule here: a finite number, true or false, a `Score`, or a mapping of these is a score. Anything else is nonsense,
and becomes an error that says what it was.
"""

import math
import numbers
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from agent_core.errors import ErrorInfo, RayconteurError, ScorerError
from agent_core.evaluation.authors import author_error
from agent_core.evaluation.score import Score

LONGEST_TEXT = 100_000
"""Characters that a score may hold in one of its texts, and its metadata as JSON."""
LONGEST_KEY = 200
LONGEST_MESSAGE = 2_000
_HOW = "Return a number, true or false, a Score, or a dict of these by name."


def scores_from(value: object) -> Score | dict[str, Score]:
    """The score, or several by their keys; one of several that is nonsense holds its error. Raises ScorerError."""
    if not isinstance(value, Mapping):
        return score_from(value)
    items = cast("Mapping[object, object]", value)
    if not items:
        raise nonsense("an empty mapping")
    scores: dict[str, Score] = {}
    for key, item in items.items():
        if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or not _is_text(key):
            raise nonsense(f"a mapping with the key {_shown(key)}, which is no name of 1 to {LONGEST_KEY} characters")
        try:
            scores[key] = score_from(item)
        except ScorerError as error:
            scores[key] = failed(error.info())
    return scores


def score_from(value: object) -> Score:
    """The score that one value is. Raises ScorerError."""
    if isinstance(value, Score):
        return checked(value)
    number = _number(value)
    if number is None:
        raise nonsense(_shown(value))
    return checked(Score.model_construct(value=number))


def checked(score: Score) -> Score:
    """The score, if it is one that can be counted and kept. Raises ScorerError."""
    try:
        score = Score.model_validate({name: getattr(score, name, None) for name in score.model_fields_set})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise nonsense(f"a Score with a bad {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if score.error is not None:
        return score if score.value is None else score.model_copy(update={"value": None})
    if score.value is None:
        raise nonsense("a Score without a value")
    if not math.isfinite(score.value):
        raise nonsense(f"{score.value}")
    _check_size(score)
    return score


def told(error: BaseException) -> ErrorInfo:
    """What a scorer raised, as data: one of ours as it is, any other with the line of its author that raised it."""
    if isinstance(error, RayconteurError):
        return error.info()
    said = author_error(error)[:LONGEST_MESSAGE]
    text = f"The scorer failed.\n{said}\nMend it, then score the results again; no answer is lost."
    return ErrorInfo(boundary="scorer", kind=type(error).__name__, message=text)


def failed(error: ErrorInfo) -> Score:
    """The score of a scorer that failed."""
    if len(error.message) > LONGEST_MESSAGE:
        error = error.model_copy(update={"message": error.message[: LONGEST_MESSAGE - 1] + "…"})
    return Score(error=error)


def nonsense(what: str) -> ScorerError:
    """What is said of a value that is no score."""
    return ScorerError(f"The scorer returned {what}, which is no score. {_HOW}", "nonsense")


def _check_size(score: Score) -> None:
    for name, text in (("answer", score.answer), ("explanation", score.explanation)):
        if text is not None and len(text) > LONGEST_TEXT:
            raise ScorerError(
                f"The scorer returned a Score whose {name} has {len(text):,} characters, more than {LONGEST_TEXT:,}."
                " Cut it.",
                "too_long",
            )
    if not score.metadata:
        return
    try:
        size = len(to_json(score.metadata))
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise nonsense(f"a Score whose metadata has no JSON form ({error})") from None
    if size > LONGEST_TEXT:
        raise ScorerError(
            f"The scorer returned a Score whose metadata are {size:,} bytes of JSON, more than {LONGEST_TEXT:,}."
            " Keep less in it.",
            "too_long",
        )


def _is_text(key: str) -> bool:
    """Whether it can be written: half of a surrogate pair cannot."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(value: object) -> float | None:
    if not isinstance(value, numbers.Real):
        # A scalar of numpy, of a tensor library and their like says what it is in Python by `item`.
        item = getattr(value, "item", None)
        if not callable(item) or isinstance(value, type):
            return None
        try:
            value = item()
        except Exception:  # noqa: BLE001 - the object of a foreign package, which then is no number
            return None
        if not isinstance(value, numbers.Real):
            return None
    try:
        return float(value)
    except OverflowError:
        raise nonsense("a number that is too large") from None


def _shown(value: Any) -> str:
    """The value as an author knows it again."""
    if value is None:
        return "None"
    kind = type(value).__name__
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the author's own __repr__
        return kind
    return f"{kind}: {text if len(text) <= 100 else text[:99] + '…'}"
