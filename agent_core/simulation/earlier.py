"""What was said before a simulated session was opened: conversations such as other models have had elsewhere.

The rule here: a history follows from its seed alone, so that schedules without one are what they were.
"""

from random import Random

from agent_core.content import AssistantBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock, UserBlock
from agent_core.messages import AssistantMessage, Message, SessionId, StopReason, TurnId, UserMessage
from agent_core.scripted import Signer
from agent_core.seeding import regular

_ONE_IN = 3
_LONG = "it was long, " * 150


def earlier(seed: int) -> tuple[Message, ...]:
    """The history of this seed; most have none."""
    return regular(_Author(Random(seed)).messages()) if seed % _ONE_IN == 0 else ()


class _Author:
    """Makes up one history. Ids of calls come again in it, as with servers that count them anew in each answer."""

    def __init__(self, random: Random) -> None:
        self._random, self._signer = random, Signer()
        self._said: list[Message] = []
        self._turn = ""

    def messages(self) -> list[Message]:
        """Some turns: answered, interrupted before or within an answer, or after the results of its calls."""
        for turn in range(self._random.choice((1, 2, 5))):
            self._turn = f"turn {turn}"
            self._user(TextBlock(text=f"Before {turn}."))
            for step in range(self._random.choice((0, 0, 1, 3))):
                self._calls(f"{turn}.{step}")
            match self._random.choice(("answered", "answered", "answered", "paused", "interrupted")):
                case "answered":
                    self._answer("end_turn", *self._thinking(), TextBlock(text=self._words(f"Answer {turn}.")))
                case "paused":
                    self._answer("pause_turn", TextBlock(text=f"Half of {turn}."))
                    self._answer("end_turn", TextBlock(text=f"The rest of {turn}."))
                case _:
                    pass
        return self._said

    def _calls(self, step: str) -> None:
        ids = [f"call_{number}" for number in range(self._random.choice((1, 2)))]
        calls = [ToolUseBlock(id=id, name=self._random.choice(("once", "no such tool"))) for id in ids]
        self._answer("tool_use", *self._thinking(), *calls)
        results = [ToolResultBlock(tool_use_id=id, content=self._words(f"result {step}")) for id in reversed(ids)]
        steered = [TextBlock(text=f"Steered {step}.")] if self._random.random() < 0.2 else []
        self._user(*results, *steered)

    def _words(self, text: str) -> str:
        return f"{text} {_LONG}" if self._random.random() < 0.2 else text

    def _thinking(self) -> list[ThinkingBlock]:
        thought = f"thought before, {len(self._said)}"
        match self._random.choice(("none", "anthropic", "openai", "elsewhere")):
            case "anthropic":
                return [ThinkingBlock(thinking=thought, signature=self._signer.thinking(thought), provider="anthropic")]
            case "openai":
                own = f"rs_{len(self._said)}"
                sealed = self._signer.reasoning(own, thought)
                return [ThinkingBlock(thinking=thought, signature=sealed, item_id=own, provider="openai")]
            case "elsewhere":
                return [ThinkingBlock(thinking=thought, provider="local")]
            case _:
                return []

    def _user(self, *content: UserBlock) -> None:
        turn_id = TurnId(self._turn)
        self._said.append(UserMessage(id="", session_id=SessionId("other"), turn_id=turn_id, content=content))

    def _answer(self, stop: StopReason, *content: AssistantBlock) -> None:
        message = AssistantMessage(
            id="",
            session_id=SessionId("other"),
            turn_id=TurnId(self._turn),
            provider="anthropic",
            model="another",
            finish_reason=stop,
            content=content,
        )
        self._said.append(message)
