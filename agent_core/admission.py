"""Whether an input may be taken at all: refusals, each with what to do instead.

The rule here: these are checks alone. They raise before anything is recorded, so a refusal changes nothing.
"""

from collections.abc import Callable, Sequence

from agent_core.compaction.settings import LLMCompaction
from agent_core.config import SessionConfig
from agent_core.content import TextBlock
from agent_core.conversation import Conversation
from agent_core.entries import Settings
from agent_core.errors import ConfigError, SessionBusy, SessionError, ToolError
from agent_core.inputs import Pin, Submit
from agent_core.messages import TurnId
from agent_core.payloads import ToolResults, UserInput
from agent_core.tokens import estimate_message
from agent_core.tools.definition import ToolDefinition

_MOST_PINNED = 0.1


def check_message(conversation: Conversation, submit: Submit, payload: UserInput) -> None:
    """Raises ConfigError for an empty message or a used turn id, SessionBusy if the caller wants to be refused."""
    if not any(not isinstance(block, TextBlock) or block.text.strip() for block in payload.content):
        raise ConfigError("The message is empty. Send some text or an image.")
    if payload.turn_id is not None and payload.turn_id in conversation.turns:
        raise ConfigError(f"Turn '{payload.turn_id}' exists already. Leave turn_id out to be given a new one.")
    if submit.when == "reject" and (conversation.open or conversation.queue):
        raise SessionBusy(
            "A turn is open. Wait for its end, or send with when='after', 'next_step' or 'interrupt'.", "busy"
        )


def check_results(conversation: Conversation, payload: ToolResults) -> None:
    """Raises ToolError for a result of a call that this session never made, or that is not external."""
    if not payload.results:
        raise ConfigError("There are no results. Send at least one.")
    batch = conversation.open.batch if conversation.open else None
    waiting = {call.id for call in batch.calls if call.external} if batch else set[str]()
    for result in payload.results:
        if result.tool_use_id not in waiting and result.tool_use_id not in conversation.turn_of_call:
            raise ToolError(
                f"No call '{result.tool_use_id}' is known here. Send the tool_use_id of the ToolBatch.", "unknown_call"
            )
        if batch and result.tool_use_id not in waiting and any(call.id == result.tool_use_id for call in batch.calls):
            raise ToolError(
                f"The call '{result.tool_use_id}' is run by an executor; only external tools are answered outside.",
                "not_external",
            )


def check_retry(conversation: Conversation) -> TurnId:
    """The turn to open again. Raises SessionError if there is none."""
    if conversation.open is not None:
        raise SessionError(f"Turn '{conversation.open.turn_id}' is open; only a failed turn can be retried.", "busy")
    if conversation.last_turn is None or conversation.last_turn[1] != "failed":
        raise SessionError("The last turn did not fail; there is nothing to retry.", "nothing_to_retry")
    return conversation.last_turn[0]


def check_pin(conversation: Conversation, pin: Pin, limit: int) -> bool:
    """Whether this changes anything. Raises SessionError for an unknown message, ConfigError for too much of pins."""
    view, provider = conversation.view, conversation.config.provider
    if view.is_pinned(pin.message_id) == pin.kept:
        return False
    if not pin.kept:
        return True
    message = pin.message or view.find(pin.message_id, conversation.messages)
    if message is None:
        raise SessionError(
            f"There is no message '{pin.message_id}' in the conversation. Use the id of one of history(full=True).",
            "unknown_message",
        )
    tokens = sum(estimate_message(pinned, provider) for pinned in (*view.pinned, message))
    if tokens > _MOST_PINNED * limit:
        raise ConfigError(
            f"Pinned messages would take about {tokens} tokens, and may take {_MOST_PINNED:.0%} of the window"
            f" ({limit} tokens). Unpin others first."
        )
    return True


def check_windows(config: SessionConfig, limit_of: Callable[[SessionConfig], int]) -> None:
    """Raises ConfigError if the window of the model, or that of its summariser, is not known."""
    limit_of(config)
    if isinstance(config.compaction, LLMCompaction):
        limit_of(config.summariser(config.compaction, config.max_tokens))


def check_settings(conversation: Conversation, settings: Settings, limit_of: Callable[[SessionConfig], int]) -> None:
    """Raises ConfigError for a wrong value, a model whose window is not known, or two tools of one name."""
    check_windows(settings.applied(conversation.config), limit_of)
    check_tools(settings.tools or ())


def check_tools(tools: Sequence[ToolDefinition]) -> None:
    """Raises ConfigError for two tools of one name."""
    names = [tool.name for tool in tools]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"tools: '{twice[0]}' is defined twice. Give each tool a name of its own.")
