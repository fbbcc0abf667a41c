"""A result as the member of a log: its messages, events, scores and figures, compressed, with a short summary of it.

The rule here: pure work for whoever has the result, so that the one who writes the log only copies bytes. What a log
has no field for stands in the sample's store under STORE, so that `reading.py` makes the same result of it again.
Source: `EvalSample` in inspect_ai 0.3.285.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import JsonValue

from agent_core.evaluation.limits import SampleLimits
from agent_core.evaluation.logs.encoding import as_json
from agent_core.evaluation.logs.events import (
    Conversation,
    Timeline,
    closing_events,
    error_of_result,
    iso,
    limit_of,
    output_of,
    score_of,
    usage_of,
)
from agent_core.evaluation.logs.messages import Attachments, Json, Said, said
from agent_core.evaluation.logs.names import log_id, member_name
from agent_core.evaluation.logs.summaries import STORE, summary_of
from agent_core.evaluation.logs.tools import tools_of
from agent_core.evaluation.logs.zipped import Compressed, compress
from agent_core.evaluation.result import Result, ResultHead
from agent_core.evaluation.score import Score
from agent_core.messages import AssistantMessage, SessionId, TurnId, Usage, UserMessage

_NO_LIMITS = SampleLimits()
_NOBODY = UserMessage(id="system", session_id=SessionId(""), turn_id=TurnId(""), content=())


class EncodedSample(NamedTuple):
    """A sample of a log, ready to be appended: its member, and its summary as JSON."""

    member: Compressed
    summary: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """What every sample of a run was asked with, as far as a log tells it. `tools` are as `tools_of` makes them."""

    model: str = ""
    system_prompt: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    limits: SampleLimits = _NO_LIMITS

    @classmethod
    def of(cls, configuration: Mapping[str, Any], limits: SampleLimits | None = None) -> "Asked":
        """What the basis of a configuration says (see `Configuration.basis`)."""
        session: Mapping[str, Any] = configuration.get("session") or {}
        return cls(
            model=str(session.get("model") or ""),
            system_prompt=session.get("system_prompt"),
            tools=tuple(tools_of(configuration.get("tools") or {})),
            limits=limits or SampleLimits.model_validate(configuration.get("limits") or {}),
        )


def member(result: Result, asked: Asked | None = None) -> EncodedSample:
    """The result as a log has it, compressed. Takes no clock and no randomness: the same result, the same bytes."""
    asked = asked or Asked()
    name, uuid, attachments = log_id(result.id), uuid_of(result), Attachments()
    system = _system(asked, uuid)
    messages = [*system, *said(result.transcript or (), attachments, uuid)]
    earlier = len(system) + _earlier(result, messages[len(system) :])
    conversation = Conversation(messages, earlier=earlier, model=asked.model)
    timeline = Timeline(uuid, result.timings.started)
    told = _told(result, asked, attachments, uuid)
    told |= {"id": name, "turn_count": conversation.answers}
    events = [_opening(told, timeline, attachments)]
    events += conversation.events(timeline, {"tools": asked.tools, "tool_choice": "auto", "config": {}})
    events += closing_events(result, timeline, asked.limits)
    # What repeats a text stands close behind it, where compression finds it.
    sample: Json = {
        "attachments": attachments.by_key,
        "messages": [each.whole for each in messages],
        "events_data": {"messages": conversation.pool, "calls": []},
        "events": events,
        "output": _output(result, messages),
        **told,
        "store": {STORE: _rest(result, name, earlier - len(system))},
    }
    packed = compress(member_name(name, result.epoch), as_json(sample))
    return EncodedSample(packed, as_json(summary_of(sample)))


def uuid_of(head: ResultHead) -> str:
    """A name for this very result: another attempt, or another score of it, has another one."""
    scores = {name: (score.value, score.answer, score.explanation) for name, score in head.scores.items()}
    parts = (head.id, head.epoch, head.attempts, head.session_id, head.configuration, head.timings.ended, scores)
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=11).hexdigest()


def target_of(target: JsonValue) -> str | list[str]:
    """A target as a log has it: text, or several."""
    if target is None:
        return ""
    if isinstance(target, list):
        return [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in target]
    return target if isinstance(target, str) else json.dumps(target, ensure_ascii=False)


def _told(result: Result, asked: Asked, attachments: Attachments, uuid: str) -> Json:
    """What a log has a field for."""
    timings = result.timings
    grading = [score.usage for score in result.scores.values() if score.usage is not None]
    roles = {"summariser": result.summariser, "grader": sum(grading, Usage()) if grading else None}
    made: Json = {
        "uuid": uuid,
        "epoch": result.epoch,
        "input": _input(result, attachments, uuid),
        "target": target_of(result.target),
        "metadata": result.metadata,
        "scores": {name: score_of(score) for name, score in result.scores.items()},
        "model_usage": {},
        "role_usage": {role: usage_of(usage) for role, usage in roles.items() if usage is not None},
        "started_at": iso(timings.started),
        "completed_at": iso(timings.ended),
        "total_time": timings.latency,
    }
    if result.usage is not None:
        made["model_usage"] = {asked.model or "unknown": usage_of(result.usage, result.cost)}
    if result.choices:
        made["choices"] = list(result.choices)
    if (error := error_of_result(result)) is not None:
        made["error"] = error
    if (limit := limit_of(result, asked.limits)) is not None:
        made["limit"] = limit
    return made


def _rest(result: Result, name: str, earlier: int) -> Json:
    """What a log has no field for, or says in other words."""
    rest: Json = {
        "outcome": result.outcome,
        "attempts": result.attempts,
        "configuration": result.configuration,
        "timings": result.timings.model_dump(exclude_none=True),
        "answer": result.answer,
        "cost": result.cost,
        "session_id": result.session_id,
        "limit": result.limit,
        "error": None if result.error is None else result.error.model_dump(exclude_none=True),
        "id": None if name == result.id else result.id,
        "target": None if target_of(result.target) == result.target else result.target,
        "no_target": True if result.target is None else None,
        "turns": result.turns or None,
        "history": len(result.history) if earlier else None,
        "scores": {each: more for each, score in result.scores.items() if (more := _rest_of_score(score))} or None,
        "transcript": None if result.transcript is not None else False,
    }
    return {key: value for key, value in rest.items() if value is not None}


def _rest_of_score(score: Score) -> Json:
    return score.model_dump(include={"error", "usage", "cost"}, exclude_none=True)


def _system(asked: Asked, uuid: str) -> list[Said]:
    """The system prompt as a message, which the transcript leaves out."""
    if not asked.system_prompt:
        return []
    told: Json = {"id": f"{uuid}.system", "role": "system", "content": asked.system_prompt}
    return [Said(told, told, _NOBODY)]


def _earlier(result: Result, messages: Sequence[Said]) -> int:
    """How many of the messages are the sample's history."""
    transcript, history = result.transcript or (), result.history
    if not history or [m.content for m in transcript[: len(history)]] != [m.content for m in history]:
        return 0
    first = {id(message) for message in transcript[: len(history)]}
    return sum(id(each.source) in first for each in messages)


def _input(result: Result, attachments: Attachments, uuid: str) -> str | list[Json]:
    if not result.history:
        return result.input
    question: Json = {"id": f"{uuid}.input", "role": "user", "content": result.input, "source": "input"}
    return [*(each.whole for each in said(result.history, attachments, uuid)), question]


def _output(result: Result, messages: Sequence[Said]) -> Json:
    """The last answer of the model, and the answer of the agent if that is another one."""
    for each in reversed(messages):
        if isinstance(each.source, AssistantMessage) and each.whole["role"] == "assistant":
            made = output_of(each.source, each.whole)
            if result.answer is not None and result.answer != each.whole["content"]:
                made["completion"] = result.answer
            return made
    return {} if result.answer is None else {"completion": result.answer}


def _opening(sample: Json, timeline: Timeline, attachments: Attachments) -> Json:
    question = sample["input"]
    shown = attachments.shortened(question) if isinstance(question, str) else question
    asked: Json = {"input": shown, "target": sample["target"], "id": sample["id"]}
    if sample["metadata"]:
        asked["metadata"] = sample["metadata"]
    if "choices" in sample:
        asked["choices"] = sample["choices"]
    return timeline.event("sample_init", 0.0, sample=asked)
