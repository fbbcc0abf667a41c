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
    """Everything up to and with the message `through` is shown as `text`, the summary that job `job_id` made.

    `repeated` is the user's last message, word for word behind the summary, where the cut fell after it.
    """

    kind: Literal["summary"] = "summary"
    job_id: str
    through: str
    text: str
    repeated: str | None = None


Overlay = Annotated[ShortenedResult | Dropped | Summary, Field(discriminator="kind")]
