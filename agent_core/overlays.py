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


class Summary(Frozen):
    """The messages from `first_id` to `last_id` are shown as one summary, marked here and never by its text."""

    kind: Literal["summary"] = "summary"
    first_id: str
    last_id: str
    digest: str
    text: str


Overlay = Annotated[ShortenedResult | Dropped | Summary, Field(discriminator="kind")]
