"""What a caller says when a session is opened, made into a configuration and definitions.

The rule here: the runtime in this process and the one on a cluster take the same words and refuse the same mistakes.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agent_core.admission import check_tools
from agent_core.compaction.settings import ThresholdCompaction
from agent_core.config import SessionConfig
from agent_core.conversation import Conversation
from agent_core.entries import Opened, Settings
from agent_core.errors import ConfigError, SessionError
from agent_core.messages import Message, SessionId
from agent_core.seeding import digest_of_history, regular
from agent_core.tools import BlobStore, Tool, ToolDefinition, publish

AnyTool = Tool[..., Any] | ToolDefinition | Callable[..., Any]


def new_session_id() -> SessionId:
    """An id that no other session has."""
    return SessionId(f"s-{secrets.token_hex(6)}")


def check_session_id(session_id: str) -> SessionId:
    """The id, if it may be one. Raises ConfigError."""
    if not session_id or len(session_id) > 128 or not all(char.isalnum() or char in "-_.:/@" for char in session_id):
        raise ConfigError(
            f"'{session_id}' cannot be a session's id. Use 1 to 128 letters, digits and any of - _ . : / @"
        )
    return SessionId(session_id)


def deleted_error(session_id: SessionId) -> SessionError:
    """What whoever waits for a session that was deleted is told."""
    return SessionError(f"Session '{session_id}' was deleted. Open a new one to go on.", "deleted")


async def opening(
    tools: Sequence[AnyTool],
    labels: Mapping[str, str],
    blobs: BlobStore,
    fields: Mapping[str, Any],
    history: Sequence[Message] = (),
) -> Opened:
    """The first entry of a session with these settings, in which `history` was said before.

    Raises ConfigError or ToolError for what is wrong in them.
    """
    before = regular(history)
    definitions = await publish(tools, blobs)
    check_tools(definitions)
    config = SessionConfig.of(**fields)
    if config.provider == "local" and "compaction" not in fields:
        # One server answers one request after the other: a turn would wait behind the summary of its own session.
        config = config.model_copy(update={"compaction": ThresholdCompaction()})
    return Opened(config=config, tools=definitions, labels=dict(labels), history=before)


def check_history(opened: Opened, conversation: Conversation) -> None:
    """Raises ConfigError if a history was given, and the session began with another one or with none."""
    if opened.history and digest_of_history(opened.history) != conversation.history_digest:
        began = "another history" if conversation.history_digest else "no history"
        raise ConfigError(
            f"history: session '{conversation.session_id}' was opened before, with {began}. Leave history out to go on"
            " with it, or open a session with a new id.",
            "history",
        )


def settings_between(
    opened: Opened, given: Iterable[str], config: SessionConfig, tools: Sequence[ToolDefinition]
) -> Settings | None:
    """What a caller who opens an existing session wants changed: what was given and differs, None if nothing does."""
    fields = {name: value for name in given if (value := getattr(opened.config, name)) != getattr(config, name)}
    changed = opened.tools if opened.tools and opened.tools != tuple(tools) else None
    if not fields and changed is None:
        return None
    dumped = opened.config.model_dump(include=set(fields))
    return Settings(fields=dumped, tools=changed)
