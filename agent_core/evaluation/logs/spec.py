"""What a log says of a run before its first sample: the task, the model, the dataset, the settings.

The rule here: no key and no place of a key stands in it; the settings are those that the digest of a configuration is
made of. Source: `EvalSpec`, `EvalPlan` and `LogStart` of inspect_ai 0.3.285.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.limits import SampleLimits
from agent_core.evaluation.logs.events import iso
from agent_core.evaluation.logs.messages import Json

VERSION = 2
# A log that names very many ids takes long to open. Without them Inspect cannot read samples one after another.
MOST_IDS = 100_000


@dataclass(frozen=True, slots=True)
class LogSpec:
    """One run as its log tells it.

    `created_at` is in seconds since the epoch, `samples` counts those of the dataset, `configuration` is the basis of a
    Configuration and `digest` its digest. `sample_ids` are those of the dataset where they are known. `shards` is the
    ledger of a log that was merged.
    """

    task: str
    run_id: str
    created_at: float
    dataset: str
    samples: int
    epochs: int = 1
    configuration: Mapping[str, Any] = field(default_factory=dict[str, Any])
    digest: str = ""
    solver: str = "chat"
    scorers: tuple[str, ...] = ()
    limits: SampleLimits = field(default_factory=SampleLimits)
    sample_ids: tuple[str, ...] | None = None
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    shards: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, record: RunRecord) -> "LogSpec":
        """What the record of a run says; the rest by `dataclasses.replace`."""
        name = record.dataset.rsplit("/", 1)[-1]
        return cls(
            task=record.task or name.rsplit(".", 1)[0] or record.run_id,
            run_id=record.run_id,
            created_at=record.created_at,
            dataset=record.dataset,
            samples=record.samples,
            epochs=record.epochs,
            configuration=record.configuration,
            digest=record.digest,
            solver=_named(record.configuration.get("agent", "chat")),
            scorers=tuple(_named(each) for each in cast("list[object]", record.configuration.get("scorers") or ())),
            limits=SampleLimits.model_validate(record.configuration.get("limits") or {}),
        )

    @property
    def session(self) -> Mapping[str, Any]:
        """The settings of the session that count."""
        return self.configuration.get("session") or {}

    def start(self) -> Json:
        """The beginning of a log."""
        spec: Json = {
            "eval_id": self.run_id,
            "run_id": self.run_id,
            "task_id": self.run_id,
            "created": iso(self.created_at),
            "task": self.task,
            "solver": self.solver,
            "dataset": self._dataset(),
            "model": str(self.session.get("model") or "unknown"),
            "model_generate_config": self._generation(),
            "config": self._config(),
            "packages": dict(self.packages),
            "metadata": {"configuration": dict(self.configuration), "digest": self.digest},
        }
        if (address := self.session.get("base_url")) is not None:
            spec["model_base_url"] = address
        if self.scorers:
            spec["scorers"] = [{"name": name} for name in self.scorers]
        if self.shards is not None:
            spec["shards"] = dict(self.shards)
        plan: Json = {"steps": [{"solver": self.solver}], "config": spec["model_generate_config"]}
        return {"version": VERSION, "eval": spec, "plan": plan}

    def _dataset(self) -> Json:
        dataset: Json = {"name": self.dataset, "samples": self.samples}
        if self.sample_ids is not None and len(self.sample_ids) <= MOST_IDS:
            dataset["sample_ids"] = list(self.sample_ids)
        return dataset

    def _generation(self) -> Json:
        names = {"max_tokens": "max_tokens", "temperature": "temperature", "system_prompt": "system_message"}
        made: Json = {told: self.session[name] for name, told in names.items() if self.session.get(name) is not None}
        if self.session.get("stop_sequences"):
            made["stop_seqs"] = list(self.session["stop_sequences"])
        return made

    def _config(self) -> Json:
        limits = self.limits
        made: Json = {
            "epochs": self.epochs,
            "epochs_reducer": ["mean"],
            "turn_limit": limits.turns,
            "message_limit": limits.messages,
            "token_limit": limits.tokens,
            "time_limit": None if limits.time is None else math.ceil(limits.time),
            "working_limit": None if limits.working_time is None else math.ceil(limits.working_time),
            "cost_limit": limits.cost,
            "fail_on_error": False,
        }
        return {name: value for name, value in made.items() if value is not None}


def _named(given: object) -> str:
    """What an agent or a scorer of a configuration is called: its name, without its settings."""
    if isinstance(given, Mapping):
        fields = cast("Mapping[str, object]", given)
        given = next((fields[key] for key in ("name", "kind", "scorer", "function") if fields.get(key)), "unnamed")
    return str(given).partition("(")[0].strip()
