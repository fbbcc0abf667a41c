"""Events of a sample's transcript: each answer of the model, each call of a tool, what ended it, each score.

The rule here: a model's answer refers to what it was told by places in a pool of messages, so that a conversation
takes room for its length and not for its square. Source: `event/` of inspect_ai 0.3.285, its `_pool.py` above all.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from agent_core.content import ToolUseBlock
from agent_core.evaluation.limits import Limit, SampleLimits
from agent_core.evaluation.logs.messages import MARKER, STOP_REASONS, Json, Said
from agent_core.evaluation.result import Result
from agent_core.evaluation.score import Score
from agent_core.messages import AssistantMessage, Usage

# How Inspect calls our limits; what it does not know is `custom`, with our name as the reason.
LIMITS: dict[Limit, str] = {
    "time": "time",
    "working_time": "working",
    "turns": "turn",
    "messages": "message",
    "tokens": "token",
    "cost": "cost",
    "context": "context",
}
_BOUNDS: dict[Limit, str] = {name: name for name in ("time", "working_time", "turns", "messages", "tokens", "cost")}
# What Inspect writes for a limit whose value it does not know.
UNKNOWN_BOUND = -1.0


class Timeline:
    """Makes events, numbered, each with its moment and how far into the sample that was."""

    def __init__(self, uuid: str, started: float) -> None:
        self._uuid, self._started, self._number = uuid, started, 0

    def event(self, kind: str, moment: float, **fields: Any) -> Json:
        """The event `kind` at `moment`, in seconds since the epoch; 0 is not known and stands for the beginning."""
        self._number += 1
        at = moment or self._started
        made: Json = {"uuid": f"{self._uuid}.{self._number}", "timestamp": iso(at)}
        made["working_start"] = round(max(0.0, at - self._started), 6)
        made["event"] = kind
        made.update(fields)
        return made


class Conversation:
    """What was said in a sample, as events that share a pool."""

    def __init__(self, messages: Sequence[Said], *, earlier: int, model: str) -> None:
        """`earlier` of the messages were there before the sample began, so that no model was asked for them here."""
        self._messages, self._earlier, self._model = messages, earlier, model
        answers = [number for number, each in enumerate(messages) if each.whole["role"] == "assistant"]
        # The last answer was told to nobody.
        self.pool = [each.repeated for each in messages[: answers[-1]]] if answers else []
        self.answers = sum(number >= earlier for number in answers)

    def events(self, timeline: Timeline, settings: Json) -> Iterator[Json]:
        """The events in their order. `settings` are those of every request: tools, tool_choice, config."""
        start = 1 if self._messages and self._messages[0].whole["role"] == "system" else 0
        begun, asked = start, 0.0
        for number, each in enumerate(self._messages):
            answer = each.source if each.whole["role"] == "assistant" else None
            if MARKER in each.whole.get("metadata", ()):
                begun = number
            if number < self._earlier:
                continue
            if isinstance(answer, AssistantMessage):
                asked = answer.completed_at or answer.created_at
                ranges = [[0, number]] if begun == start else [*([[0, start]] if start else []), [begun, number]]
                yield self._model_event(each, answer, timeline, {"input_refs": ranges, **settings})
            elif each.call is not None:
                yield self._tool_event(each, each.call, asked, timeline)

    def _model_event(self, each: Said, message: AssistantMessage, timeline: Timeline, fields: Json) -> Json:
        output = output_of(message, each.repeated)
        if message.completed_at is not None:
            fields["completed"] = iso(message.completed_at)
            if message.created_at:
                output["time"] = round(max(0.0, message.completed_at - message.created_at), 6)
        if message.error is not None:
            fields["error"] = message.error.message
        model = self._model or f"{message.provider}/{message.model}"
        return timeline.event("model", message.created_at, model=model, input=[], output=output, **fields)

    def _tool_event(self, each: Said, call: ToolUseBlock, asked: float, timeline: Timeline) -> Json:
        fields: Json = {"type": "function", "id": call.id, "function": call.name, "arguments": call.input}
        if "error" in each.repeated:
            fields |= {"error": each.repeated["error"], "result": ""}
        else:
            # Readers put nothing in place of a reference here.
            fields["result"] = each.whole["content"]
        if each.source.created_at:
            fields["completed"] = iso(each.source.created_at)
        return timeline.event("tool", asked or each.source.created_at, **fields, message_id=each.whole["id"])


def output_of(message: AssistantMessage, told: Json) -> Json:
    """An answer as the output of a model."""
    reason = "unknown" if message.finish_reason is None else STOP_REASONS.get(message.finish_reason, "unknown")
    made: Json = {"model": message.model, "choices": [{"message": told, "stop_reason": reason}]}
    if message.usage.context_tokens:
        made["usage"] = usage_of(message.usage)
    if message.error is not None:
        made["error"] = message.error.message
    if message.provider_message_id is not None:
        made["response_id"] = message.provider_message_id
    return made


def usage_of(usage: Usage, cost: float | None = None) -> Json:
    """Tokens as a log has them; `cost` is in US dollars."""
    made: Json = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.context_tokens,
        "input_tokens_cache_write": usage.cache_write_tokens,
        "input_tokens_cache_read": usage.cache_read_tokens,
    }
    if cost is not None:
        made["total_cost"] = cost
    return made


def score_of(score: Score) -> Json:
    """A score as a log has it. One that could not be had is no number (NaN), which Inspect leaves out of metrics."""
    made: Json = {"value": float("nan") if score.value is None else score.value}
    if score.answer is not None:
        made["answer"] = score.answer
    if score.explanation is not None:
        made["explanation"] = score.explanation
    if score.error is not None:
        made.setdefault("explanation", score.error.message)
        made["reason"] = "scoring_failed"
    if score.metadata:
        made["metadata"] = score.metadata
    return made


def error_of_result(result: Result) -> Json | None:
    """Why there is no answer, as a log has it; None if there is one, or a limit ended the sample."""
    if result.outcome in {"model_failed", "infrastructure_failed"}:
        said = f"{result.error.kind}: {result.error.message}" if result.error else result.outcome.replace("_", " ")
    elif result.outcome in {"cancelled", "missing"}:
        # By this beginning Inspect tells a sample that was cancelled from one that failed.
        said = f"CancelledError('{result.outcome}')"
    else:
        return None
    return {"message": said, "traceback": said, "traceback_ansi": said}


def limit_of(result: Result, limits: SampleLimits) -> Json | None:
    """The limit that ended the sample, as a log has it."""
    if result.outcome != "limit_hit" or result.limit is None:
        return None
    bound = getattr(limits, _BOUNDS[result.limit], None) if result.limit in _BOUNDS else None
    reason = result.error.message if result.error is not None else f"{result.limit} limit"
    kind = LIMITS.get(result.limit, "custom")
    return {"type": kind, "limit": UNKNOWN_BOUND if bound is None else float(bound), "reason": reason}


def closing_events(result: Result, timeline: Timeline, limits: SampleLimits) -> Iterator[Json]:
    """What ended the sample, and its scores."""
    ended = result.timings.ended
    if (error := error_of_result(result)) is not None:
        yield timeline.event("error", ended, error=error)
    if (limit := limit_of(result, limits)) is not None:
        kind = "custom" if limit["type"] == "context" else limit["type"]
        yield timeline.event("sample_limit", ended, type=kind, message=limit["reason"], limit=limit["limit"])
    for name, score in result.scores.items():
        yield timeline.event("score", ended, score=score_of(score), scorer=name, intermediate=False)


def iso(moment: float) -> str:
    """Seconds since the epoch as a date and time of UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat()
