"""Conversations: all that a sample says to the model, each thread of it on a session.

Most samples have one thread: each list of messages goes on from the one before. A solver that asks beside it (a
critique, an agent within an agent, a fork), or that changes what was said, begins a branch: another session, opened
with the history that the list has.

The rule here: no list of messages is bent to fit a session. The thread that holds most of it goes on; if none can, a
branch is opened.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from inspect_ai.model import ChatCompletionChoice, ChatMessage, ChatMessageUser, GenerateConfig, ModelOutput
from inspect_ai.tool import ToolChoice, ToolInfo

from agent_core.errors import ConfigError
from agent_core.messages import Message
from agent_core.session_protocol import Session
from drivers.inspecting.messages import STOP_REASONS, history_of, usage_of
from drivers.inspecting.settings import choice_of, definition_of, fields_of
from drivers.inspecting.threads import GO_ON, Answer, Diverged, Thread, Wish, spoken

Branch = Callable[[int, Sequence[Message]], Awaitable[Session]]
"""Opens the nth branch (from 1) of a sample's session: one of the same settings that begins with this history."""


class Branching(Protocol):
    """A session that can open others beside it: what an agent is handed that may ask beside its conversation."""

    async def branch(self, number: int, history: Sequence[Message]) -> Session:
        """The nth branch, from 1; the same one again after a loss. It is put away, and counted, with the session."""
        ...


class Asked(Protocol):
    """Who answers for the model, while a sample is solved or scored."""

    async def answer(
        self, messages: list[ChatMessage], tools: list[ToolInfo], choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput: ...


class Conversations:
    """The threads of one sample. `base` is what the sessions were opened with beside the run's own settings."""

    def __init__(self, session: Session, history: Sequence[ChatMessage], base: GenerateConfig) -> None:
        self._main = Thread(session, history)
        self._threads = [self._main]
        self._branches = 0
        self._base = fields_of(base)

    async def answer(
        self, messages: list[ChatMessage], tools: list[ToolInfo], choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """What the model says to these messages. Raises what `Thread.ask` does, and ConfigError."""
        fields = {name: value for name, value in fields_of(config).items() if self._base.get(name) != value}
        wish = Wish(fields, tuple(definition_of(tool) for tool in tools), choice_of(choice))
        if not spoken(messages):
            raise ConfigError("The task asks the model without a user's message. Give the sample an input.")
        while True:
            fitting = [thread for thread in self._threads if thread.takes(messages)]
            if fitting:
                thread = max(fitting, key=lambda one: one.length)
            else:
                thread, messages = await self._branch(messages)
            try:
                return _output(await thread.ask(messages, wish))
            except Diverged:
                # The thread is lost for it; a branch that was never opened before has no such past.
                continue

    async def _branch(self, messages: list[ChatMessage]) -> tuple[Thread, list[ChatMessage]]:
        branch: Branch | None = getattr(self._main.session, "branch", None)
        if branch is None:
            raise ConfigError(
                "The task asks the model beside its conversation, or changes what was said; here only one conversation"
                " can be held. Run it with: python -m drivers.evaluate."
            )
        if not isinstance(spoken(messages)[-1], ChatMessageUser):
            messages = [*messages, ChatMessageUser(content=GO_ON)]
        last = len(messages) - 1
        while last > 0 and isinstance(messages[last - 1], ChatMessageUser):
            last -= 1
        history = messages[:last]
        self._branches += 1
        thread = Thread(await branch(self._branches, history_of(history)), history)
        self._threads.append(thread)
        return thread, messages

    async def finish(self, messages: Sequence[ChatMessage]) -> None:
        """The sample has been solved; `messages` is all that was said."""
        await self._main.finish(messages)

    async def close(self) -> None:
        """Stop reading the sessions."""
        for thread in self._threads:
            await thread.close()


def _output(answer: Answer) -> ModelOutput:
    message = answer.message
    reason = "tool_calls" if answer.said.tool_calls else STOP_REASONS.get(message.finish_reason or "end_turn", "stop")
    return ModelOutput(
        model=message.model,
        choices=[ChatCompletionChoice(message=answer.said, stop_reason=reason)],
        usage=usage_of(message.usage),
        response_id=message.provider_message_id,
    )
