"""How a session is compacted, as its user chooses it: a tagged union, one type a strategy.

The rule here: a mark is a share of the usable window, which is the context limit less what is reserved for the answer.
"""

from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from agent_core.endpoint import BaseUrl, KeyReference, ModelName, Wire, check_wire
from agent_core.frozen import Frozen


class ThresholdCompaction(Frozen):
    """Mechanical compaction: past `threshold` (a share of the usable window) old tool results are shortened.

    Results of the newest `keep_recent_turns` turns are left alone. `summarize` uses a call's compact summary where it
    has one and redacts otherwise; `redact` always redacts.
    """

    kind: Literal["threshold"] = "threshold"
    threshold: float = Field(default=0.5, gt=0.0, lt=1.0)
    keep_recent_turns: int = Field(default=3, ge=0)
    tool_compaction: Literal["summarize", "redact"] = "summarize"


class LLMCompaction(Frozen):
    """A model summarises the older part of the conversation in the background, beside `mechanical` compaction.

    `model` is the summariser (`provider/name`), by default the session's own; `api_key`, `base_url`, `wire` and
    `context_limit` are its own where a model is named. A job starts past `soft`, its summary is put in place past
    `trigger`, and past `hard` a turn waits for a job under way for at most `max_wait` seconds. The newest
    `keep_recent_turns` turns stay as they are, or about `keep_tokens` where those are longer. A job has `deadline`
    seconds in all. `max_summary_tokens` is by default a tenth of the window, at most 16,000.
    """

    kind: Literal["llm"] = "llm"
    model: ModelName | None = None
    api_key: KeyReference | None = None
    base_url: BaseUrl | None = None
    wire: Wire | None = None
    context_limit: int | None = Field(default=None, ge=256)
    mechanical: ThresholdCompaction | None = ThresholdCompaction()
    soft: float = Field(default=0.65, gt=0.0, lt=1.0)
    trigger: float = Field(default=0.80, gt=0.0, lt=1.0)
    hard: float = Field(default=0.92, gt=0.0, lt=1.0)
    max_wait: float = Field(default=10.0, ge=0.0)
    keep_recent_turns: int = Field(default=3, ge=0)
    keep_tokens: int = Field(default=20_000, ge=0)
    max_summary_tokens: int | None = Field(default=None, ge=32)
    deadline: float = Field(default=180.0, gt=0.0)

    @model_validator(mode="after")
    def _marks_are_in_order(self) -> Self:
        if not self.soft <= self.trigger <= self.hard:
            raise ValueError(f"soft ({self.soft}), trigger ({self.trigger}) and hard ({self.hard}) must not decrease")
        own = [name for name in ("api_key", "base_url", "wire", "context_limit") if getattr(self, name) is not None]
        if self.model is None and own:
            raise ValueError(f"{own[0]}: belongs to a summariser of its own; name it with model, or leave this out")
        if self.model is not None:
            check_wire(self.model, self.wire)
        return self


def _tagged(value: Any) -> Any:
    """A strategy that is written without its kind is known by its fields."""
    if isinstance(value, dict) and "kind" not in value:
        fields = cast("dict[str, Any]", value)
        mechanical = {"threshold", "tool_compaction"} & set(fields)
        return {"kind": "threshold" if mechanical else "llm", **fields}
    return cast("Any", value)


Compaction = Annotated[
    Annotated[ThresholdCompaction | LLMCompaction, Field(discriminator="kind")], BeforeValidator(_tagged)
]
