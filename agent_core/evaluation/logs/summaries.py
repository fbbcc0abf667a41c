"""Summaries of samples: what a list of them shows, small however long a sample is.

The rule here: a summary is made of a sample as a log has it, so that one that was lost can be made again. It is cut
where Inspect cuts it when it reads one. Source: `EvalSampleSummary` and `log/_util.py` of inspect_ai 0.3.285.
"""

from collections.abc import Mapping
from typing import Any

from agent_core.evaluation.logs.encoding import as_json
from agent_core.evaluation.logs.messages import Json

STORE = "rayconteur"
"""Under this name a sample's store holds what a log has no field for."""

LONGEST_INPUT, LONGEST_VALUE = 5120, 1024
_CUT, _REMOVED = "...\n(content truncated)", "Key removed from summary (> 1k)"


def summary_of(sample: Mapping[str, Any]) -> Json:
    """What lists and figures need of a sample as a log has it."""
    kept = ("id", "epoch", "uuid", "model_usage", "role_usage", "started_at", "completed_at", "total_time", "choices")
    made: Json = {name: sample[name] for name in kept if sample.get(name) is not None}
    made["input"] = _thin_input(sample["input"])
    target = sample["target"]
    made["target"] = _cut(target) if isinstance(target, str) else [_cut(each) for each in target]
    made["metadata"] = _thin(sample.get("metadata") or {})
    if sample.get("scores"):
        made["scores"] = {name: _thin_score(score) for name, score in sample["scores"].items()}
    if sample.get("error"):
        made["error"] = sample["error"]["message"]
    if sample.get("limit"):
        made |= {"limit": sample["limit"]["type"], "limit_reason": sample["limit"].get("reason")}
    rest: Json = sample.get("store", {}).get(STORE) or {}
    if (attempts := rest.get("attempts", 1)) > 1:
        made["retries"] = attempts - 1
    made["message_count"] = len(sample.get("messages") or ())
    made["turn_count"] = sample.get("turn_count")
    made["completed"] = True
    return made


def _thin_input(given: str | list[Json]) -> str | list[Json]:
    if isinstance(given, str):
        return _cut(given)
    return [message | {"content": _thin_content(message["content"])} for message in given]


def _thin_content(content: str | list[Json]) -> str | list[Json]:
    if isinstance(content, str):
        return _cut(content)
    parts = (part["text"] if part["type"] == "text" else f"({part['type'].capitalize()})" for part in content)
    return [{"type": "text", "text": _cut(text)} for text in parts]


def _thin_score(score: Mapping[str, Any]) -> Json:
    made = {name: _short(value) if isinstance(value, str) else value for name, value in score.items()}
    if score.get("metadata"):
        made["metadata"] = _thin(score["metadata"])
    made.pop("history", None)
    return made


def _thin(metadata: Mapping[str, Any]) -> Json:
    return {name: _thin_value(value) for name, value in metadata.items()}


def _thin_value(value: Any) -> Any:
    if isinstance(value, str):
        return _short(value)
    if value is None or isinstance(value, bool | int | float) or len(as_json(value)) <= LONGEST_VALUE:
        return value
    return _REMOVED


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_INPUT else text[:LONGEST_INPUT] + _CUT
