"""Overlays: how compaction changes what the model sees without touching what happened.

The rule here: history entries are immutable; `view(entries, overlays)` is what the model gets. An overlay names what it
covers by ids that never change.
"""

from typing import Annotated, Literal

from pydantic import Field

from agent_core.frozen import Frozen


class ShortenedResult(Frozen):
    """One old tool result is shown as `text` (its compact summary, or a note that it was left out)."""

    kind: Literal["shortened_result"] = "shortened_result"
    tool_use_id: str
    text: str
    how: Literal["summarized", "redacted"]


class Dropped(Frozen):
    """The messages with these ids are no longer shown (the oldest, dropped whole as the last resort)."""

    kind: Literal["dropped"] = "dropped"
    message_ids: tuple[str, ...]


Overlay = Annotated[ShortenedResult | Dropped, Field(discriminator="kind")]
