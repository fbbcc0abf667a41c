"""What a run asks with, and the record of a run that lies beside its results.

The rule here: two runs with the same digest may be read as one. What changes an answer is in it; where and how fast the
sessions run is not, so that a run may be resumed on another machine, wider or narrower.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue

from agent_core.compaction.settings import LLMCompaction, ThresholdCompaction
from agent_core.config import SessionConfig
from agent_core.frozen import Frozen
from agent_core.tools.definition import ToolDefinition

# How a session is paid for, delivered and scheduled, which changes no answer.
_IMMATERIAL = {"api_key", "cache", "streaming", "request_class"}
LONGEST_VALUE = 60


class Configuration(Frozen):
    """The model with its settings, its tools, and what of the `task` counts: its files, agent, scorers and limits."""

    session: SessionConfig
    tools: tuple[ToolDefinition, ...] = ()
    task: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def basis(self) -> dict[str, JsonValue]:
        """The settings that count, defaults left out: a setting that a later version adds changes no digest."""
        session = self.session.model_dump(mode="json", exclude_defaults=True, exclude=_IMMATERIAL)
        if "compaction" in session:
            session["compaction"] = _compaction(self.session.compaction)
        basis: dict[str, Any] = {"session": session}
        if self.tools:
            basis["tools"] = {tool.name: tool.model_dump(mode="json", exclude_defaults=True) for tool in self.tools}
        return basis | self.task

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of the basis."""
        text = json.dumps(self.basis, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class RunRecord(Frozen):
    """One run, as it was asked for last. `created_at` is in seconds since the epoch, `planned` counts results.

    `task` is its name. `command` are the arguments that it was asked with, in the working directory `directory`.
    `group_by` are the fields of the samples' metadata that its report groups by. `left_out` are the samples that have
    results from before and are not asked for any more: their lines stay, and count nowhere.
    """

    version: Literal[1] = 1
    run_id: str
    created_at: float
    dataset: str
    samples: int
    epochs: int
    digest: str
    configuration: dict[str, JsonValue]
    task: str = ""
    command: tuple[str, ...] = ()
    directory: str = ""
    group_by: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()

    def counts(self, sample_id: str, epoch: int) -> bool:
        """Whether a result of this sample and epoch is one of those that the run is to have."""
        return epoch <= self.epochs and sample_id not in self.left_out

    @property
    def planned(self) -> int:
        """How many results the run has when it is whole."""
        return self.samples * self.epochs


def _compaction(chosen: ThresholdCompaction | LLMCompaction | None) -> dict[str, JsonValue]:
    """How compaction is set: its kind is always said, for kinds share the names of settings."""
    if chosen is None:
        return {"kind": "none"}
    return {"kind": chosen.kind} | chosen.model_dump(mode="json", exclude_defaults=True, exclude=_IMMATERIAL)


def differences(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> list[str]:
    """What has changed from one basis to another, one line a setting, long values cut."""
    old, new = _flat(before), _flat(after)
    return [
        f"{name}: {_shown(old.get(name))} -> {_shown(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(value: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    flat: dict[str, JsonValue] = {}
    for name, inner in value.items():
        path = name if prefix in ("", "session") else f"{prefix}.{name}"
        if isinstance(inner, dict):
            flat |= _flat(inner, path)
        else:
            flat[path] = inner
    return flat


def _shown(value: JsonValue) -> str:
    text = "not set" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"
