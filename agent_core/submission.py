"""What callers send made into payloads, and how a turn ended made into an answer or an error.

The rule here: the local session and the handle on a cluster use these very functions, so that both say the same.
"""

from agent_core.content import TextBlock
from agent_core.conversation import Conversation
from agent_core.entries import Outcome, TurnEnded
from agent_core.errors import ConfigError, ErrorInfo, ProviderError, RayconteurError, SessionError, ToolError
from agent_core.frozen import Frozen
from agent_core.messages import TurnId
from agent_core.payloads import ToLLMPayload, ToolResults, UserInput


class TurnResult(Frozen):
    """How a turn ended, and the text of its last answer."""

    turn_id: TurnId
    outcome: Outcome
    text: str
    error: ErrorInfo | None = None


_UNFINISHED: dict[Outcome, str] = {
    "max_tokens": "the answer was cut at max_tokens. Raise it with set_max_tokens and send again",
    "refused": "the model refused to answer. Rephrase the message",
    "context_exceeded": "the answer ran into the end of the context window. Compact or clear the conversation",
    "max_steps": "the turn used up its steps. Raise max_steps, or send another message to go on",
    "interrupted": "the turn was interrupted. Send the message again if the answer is still wanted",
}


def payload_of(message: str | UserInput | ToolResults) -> ToLLMPayload:
    """The payload for what a caller sends. Raises ConfigError for a text that cannot be written as UTF-8."""
    if not isinstance(message, str):
        return message
    try:
        message.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            "The message holds half a character (a lone surrogate), which no provider takes. Read it as UTF-8 with"
            " errors='replace' and send it again."
        ) from None
    return UserInput(content=(TextBlock(text=message),))


def result_of(ended: TurnEnded, conversation: Conversation) -> TurnResult:
    """The result of a turn that has ended in this conversation."""
    return TurnResult(
        turn_id=ended.turn_id,
        outcome=ended.outcome,
        text=conversation.final_text(ended.turn_id),
        error=ended.error,
    )


def answer_of(result: TurnResult) -> str:
    """The answer's text. Raises ProviderError for a failed turn, SessionError for one that ended otherwise."""
    if result.outcome == "completed":
        return result.text
    if result.outcome == "failed":
        raise error_of(result.error)
    raise SessionError(f"Turn '{result.turn_id}' has no answer: {_UNFINISHED[result.outcome]}.", result.outcome)


def error_of(info: ErrorInfo | None) -> RayconteurError:
    """The exception that an error as data stands for."""
    if info is None:
        return SessionError("The turn failed.", "failed")
    if info.boundary == "provider":
        return ProviderError(info.message, info.kind, info.status)  # type: ignore[arg-type]
    return (ToolError if info.boundary == "tool" else SessionError)(info.message, info.kind)
