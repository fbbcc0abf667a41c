"""Samples of a log as results: every figure and word of our own, as far as it goes for those that Inspect ran.

The rule here: what a log does not tell is left out, never made up. A score that is no number is one that failed.
Source: `EvalSample` of inspect_ai 0.3.285.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from agent_core.errors import ConfigError, ErrorInfo
from agent_core.evaluation.limits import Limit
from agent_core.evaluation.logs.closing import number_of
from agent_core.evaluation.logs.events import LIMITS
from agent_core.evaluation.logs.messages import Json
from agent_core.evaluation.logs.reading_messages import Retold, moment_of, usage_of_log
from agent_core.evaluation.logs.summaries import STORE
from agent_core.evaluation.result import Result, SampleOutcome, Timings
from agent_core.evaluation.score import Score

_LIMITS: dict[str, Limit] = {told: limit for limit, told in LIMITS.items()}
_CANCELLED = ("CancelledError(", "Cancelled(")


def result_of(content: bytes, *, configuration: str = "") -> Result:
    """The result that the member of a log holds; `configuration` is its digest where the sample does not say it.

    Raises ConfigError if it is no sample.
    """
    try:
        sample: Mapping[str, Any] = json.loads(content)
        return _result(sample, sample.get("store", {}).get(STORE) or {}, configuration)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        text = str(error).splitlines()[0]
        raise ConfigError(f"It holds a sample that cannot be read ({text}).", kind="results") from None


def _result(sample: Mapping[str, Any], rest: Mapping[str, Any], configuration: str) -> Result:
    session_id = str(rest.get("session_id") or sample.get("uuid") or sample["id"])
    known = rest.get("transcript") is not False
    messages = tuple(Retold(sample, session_id).messages(sample.get("messages") or ())) if known else ()
    history = tuple(Retold(sample, session_id).messages(_before(sample)))
    scores = _scores(sample, rest)
    roles: Mapping[str, Any] = sample.get("role_usage") or {}
    usages: Mapping[str, Any] = sample.get("model_usage") or {}
    return Result(
        id=rest.get("id", str(sample["id"])),
        epoch=sample["epoch"],
        outcome=rest.get("outcome") or _outcome(sample, scores),
        attempts=rest.get("attempts", 1 + len(sample.get("error_retries") or ())),
        answer=_answer(sample, rest),
        error=_error(sample, rest),
        limit=_limit(sample, rest),
        input=_question(sample),
        turns=tuple(rest.get("turns") or ()),
        history=messages[: rest["history"]] if "history" in rest else history,
        choices=tuple(sample.get("choices") or ()),
        target=rest.get("target", None if rest.get("no_target") else sample.get("target")),
        metadata=sample.get("metadata") or {},
        scores=scores,
        usage=usage_of_log(usages),
        summariser=usage_of_log({name: usage for name, usage in roles.items() if name == "summariser"}),
        cost=rest.get("cost") if rest else _cost(usages),
        timings=_timings(sample, rest),
        session_id=rest.get("session_id"),
        configuration=rest.get("configuration", configuration),
        transcript=messages if known else None,
    )


def _before(sample: Mapping[str, Any]) -> list[Json]:
    """What was said before the last thing that the user said, if the input is a conversation."""
    told: str | list[Json] = sample["input"]
    if isinstance(told, str):
        return []
    asked = [number for number, message in enumerate(told) if message["role"] == "user"]
    return told[: asked[-1]] if asked else told


def _scores(sample: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Score]:
    more: Mapping[str, Any] = rest.get("scores") or {}
    told: Mapping[str, Any] = sample.get("scores") or {}
    return {name: _score(score, more.get(name) or {}) for name, score in told.items()}


def _score(score: Mapping[str, Any], more: Mapping[str, Any]) -> Score:
    value, error = number_of(score.get("value")), more.get("error")
    metadata: Json = dict(score.get("metadata") or {})
    if value is None and not more:
        why = str(score.get("reason") or "the score is no number")
        error = {"boundary": "config", "kind": "no_number", "message": why}
        metadata.setdefault("value", json.loads(json.dumps(score.get("value")).replace("NaN", "null")))
    explanation = score.get("explanation")
    if error is not None and explanation == error["message"]:
        explanation = None
    return Score.model_validate(
        {**more, "value": value, "answer": score.get("answer"), "explanation": explanation}
        | {"metadata": metadata, "error": error}
    )


def _error(sample: Mapping[str, Any], rest: Mapping[str, Any]) -> ErrorInfo | None:
    if rest:
        return ErrorInfo.model_validate(rest["error"]) if "error" in rest else None
    error = sample.get("error")
    return None if error is None else ErrorInfo(boundary="session", kind="inspect", message=str(error["message"]))


def _limit(sample: Mapping[str, Any], rest: Mapping[str, Any]) -> Limit | None:
    told: Mapping[str, Any] = sample.get("limit") or {}
    return rest.get("limit") or _LIMITS.get(str(told.get("type")))


def _outcome(sample: Mapping[str, Any], scores: Mapping[str, Score]) -> SampleOutcome:
    """What Inspect's sample is in our words. Whose fault an error was it does not say."""
    if sample.get("error") is not None:
        return "cancelled" if str(sample["error"]["message"]).startswith(_CANCELLED) else "infrastructure_failed"
    if sample.get("limit") is not None:
        return "limit_hit"
    if not scores:
        return "completed"
    return "unscored" if any(score.value is None for score in scores.values()) else "scored"


def _answer(sample: Mapping[str, Any], rest: Mapping[str, Any]) -> str | None:
    if rest:
        return rest.get("answer")
    output: Mapping[str, Any] = sample.get("output") or {}
    return output.get("completion") or None


def _question(sample: Mapping[str, Any]) -> str:
    """What was asked: of a conversation the last thing that the user said."""
    told: str | list[Json] = sample["input"]
    if isinstance(told, str):
        return told
    asked = next((message["content"] for message in reversed(told) if message["role"] == "user"), "")
    return asked if isinstance(asked, str) else "".join(part.get("text", "") for part in asked)


def _timings(sample: Mapping[str, Any], rest: Mapping[str, Any]) -> Timings:
    if "timings" in rest:
        return Timings.model_validate(rest["timings"])
    started = moment_of(sample.get("started_at")) or 0.0
    ended = moment_of(sample.get("completed_at")) or started + (sample.get("total_time") or 0.0)
    return Timings(queued=started, started=started, ended=ended)


def _cost(usages: Mapping[str, Mapping[str, Any]]) -> float | None:
    costs = [usage.get("total_cost") for usage in usages.values()]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None
