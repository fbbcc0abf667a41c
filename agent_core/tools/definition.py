"""What a tool is: its schema for the model, where its code is, and how it may be run.

The rule here: a definition is data that outlives the process that made it. Code is named by `module:name` and a digest
of its source, or stored once by its hash; a definition without code is external.
"""

from typing import Any, Self

from pydantic import Field, model_validator

from agent_core.frozen import Frozen


class ToolReference(Frozen):
    """Where a tool's code is: `module:name`, or the hash of a function pickled by value; `digest` is of its source."""

    module: str | None = None
    name: str | None = None
    digest: str = ""
    pickled: str | None = None


class ToolResources(Frozen):
    """What a tool needs of Ray: CPUs, GPUs, memory in bytes, custom resources, a runtime environment."""

    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: int | None = None
    resources: dict[str, float] = Field(default_factory=dict)
    runtime_env: dict[str, Any] = Field(default_factory=dict)

    @property
    def is_default(self) -> bool:
        return self == ToolResources()


class ToolDefinition(Frozen):
    """A tool as the session knows it.

    `timeout` is in seconds for one attempt; `retries` counts attempts after the first and is refused unless the tool is
    idempotent. `output_limit` is in characters. `input_schema` is a JSON schema of type object. An `asynchronous` tool
    runs in its executor's event loop, every other one in a process of its own.
    """

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = ""
    input_schema: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    reference: ToolReference | None = None
    timeout: float | None = Field(default=None, gt=0.0)
    retries: int = Field(default=0, ge=0)
    idempotent: bool = False
    asynchronous: bool = False
    output_limit: int = Field(default=100_000, ge=1)
    resources: ToolResources = ToolResources()

    @property
    def external(self) -> bool:
        """Whether its results come from outside, by `submit(ToolResults)`."""
        return self.reference is None

    @model_validator(mode="after")
    def _retries_need_idempotence(self) -> Self:
        if self.retries and not self.idempotent:
            raise ValueError(
                f"tool '{self.name}' asks for {self.retries} retries but is not declared idempotent:"
                " set idempotent=True if running it twice does no harm, or retries=0"
            )
        return self
