"""The one base of every value that crosses a boundary: immutable, and strict about names.

The rule here: an unknown field is refused by its name. A misspelt option must never be ignored in silence.
"""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable pydantic model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
