"""The conversation of the crash matrix: what is said to the model, what it answers, and what the tools give.

The rule here: an answer follows from the user's words and from how often the model has answered them, and from nothing
else. So a call that is made again is answered as before, whatever was lost between.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from agent_core.entries import ToolCall
from agent_core.errors import ProviderError
from agent_core.messages import AssistantMessage, StopReason, Usage
from agent_core.ports import (
    ModelEvent,
    ModelRequest,
    ResponseStarted,
    ResponseStopped,
    TextDelta,
    ThinkingDelta,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.scripted import Signer
from agent_core.tools.definition import ToolDefinition, ToolReference

BAD = "what cannot be summarised"
LOOK = ToolDefinition(name="look", reference=ToolReference(module="tests", name="look"), idempotent=True)
PAY = ToolDefinition(name="pay", reference=ToolReference(module="tests", name="pay"))
OUTSIDE = ToolDefinition(name="outside")
LATER = ToolDefinition(name="later", reference=ToolReference(module="tests", name="later"))
TOOLS = (LOOK, PAY, OUTSIDE)
SPENT = Usage(input_tokens=200, output_tokens=5)

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """One answer. One that `stalls` never ends by itself; one that `fails` does so until the provider is well."""

    id: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()
    thinking: str = ""
    usage: Usage = SPENT
    stalls: bool = False
    fails: ProviderError | None = None

    def events(self) -> list[ModelEvent]:
        """The answer as the events of a stream."""
        events: list[ModelEvent] = [ResponseStarted(self.id, "scripted")]
        if self.thinking:
            events.append(ThinkingDelta(0, self.thinking))
            events.append(ThinkingDelta(0, signature=Signer().thinking(self.thinking)))
        half = -(-len(self.text) // 2)
        events += [TextDelta(1, part) for part in (self.text[:half], self.text[half:]) if part]
        for index, (name, given) in enumerate(self.calls, start=2):
            events.append(ToolUseDelta(index, id=f"{self.id}_{index}", name=name))
            events.append(ToolUseDelta(index, json.dumps(given)))
        if self.stalls:
            return events
        stop: StopReason = "tool_use" if self.calls else "end_turn"
        return [*events, UsageUpdate(self.usage), ResponseStopped(stop)]


def look(size: int = 20, seconds: float = 1.0) -> Call:
    """A call of the idempotent tool."""
    return ("look", {"size": size, "seconds": seconds})


def pay(amount: int, seconds: float = 1.0) -> Call:
    """A call of the tool that must not run twice."""
    return ("pay", {"amount": amount, "seconds": seconds})


def read(pages: int) -> tuple[Answer, ...]:
    """A turn with so much to read that it has to be compacted."""
    size = Usage()
    return (*(Answer(calls=(look(1_600),), usage=size) for _ in range(pages)), Answer(text="Read.", usage=size))


LONG = "and then they went on to the next town, where nobody knew them yet, " * 4
ANSWERS: dict[str, tuple[Answer, ...]] = {
    "Hello.": (Answer(text="Good day."),),
    "Look and pay.": (
        Answer(text="Both.", thinking="Which first?", calls=(look(), pay(1, 2.0), pay(2, 0.5))),
        Answer(text="Once more.", calls=(look(),)),
        Answer(text="Looked and paid."),
    ),
    "Ask outside.": (Answer(calls=(("outside", {}), pay(3), ("outside", {}))), Answer(text="It was allowed.")),
    "Take your time.": (Answer(text="Slowly.", calls=(look(seconds=10.0),)), Answer(text="There.")),
    "Hurry.": (Answer(text="In a hurry then."),),
    "Be busy.": (Answer(calls=(look(seconds=5.0),)), Answer(text="Not busy any more.")),
    "First.": (Answer(text="One."),),
    "Second.": (Answer(text="Two."),),
    "Tell a tale.": (Answer(text="Once upon a time there was", stalls=True),),
    "Tell another.": (Answer(text="There was another one that", stalls=True),),
    "Stop that.": (Answer(text="I stop."),),
    "Look for ever.": (Answer(text="I look.", calls=(look(seconds=1e6),)), Answer(text="I looked.")),
    "Look once more.": (Answer(text="I look again.", calls=(look(seconds=1e6),)),),
    "Fail.": (Answer(text="I can", fails=ProviderError("The provider fails. Try again.", "server")),),
    "Pay later.": (Answer(calls=(("later", {"seconds": 0.5}), ("nothing", {}))), Answer(text="Later.")),
    "Read one.": read(1),
    "Read two.": read(2),
    "Read three.": read(1),
    "Read four.": read(1),
    "Alpha.": (Answer(text=f"Alpha: {LONG}"),),
    "Beta.": (Answer(text=f"Beta: {LONG}"),),
    "Gamma.": (Answer(text="Gamma."),),
    "Goodbye.": (Answer(text="Goodbye then."),),
}
_NUMBERS = {words: number for number, words in enumerate(ANSWERS)}


def answer_to(request: ModelRequest) -> Answer:
    """The answer that the user's last words have, at this step of them."""
    step = 0
    for message in reversed(request.messages):
        if isinstance(message, AssistantMessage):
            step += 1
            continue
        words = [block.text for block in message.content if block.kind == "text"] if message.marker is None else []
        if words:
            return replace(ANSWERS[words[-1]][step], id=f"m{_NUMBERS[words[-1]]}_{step}")
    raise LookupError(f"no words to answer in {[message.id for message in request.messages]}")


def seconds_of(call: ToolCall) -> float:
    """How long a call takes."""
    return float(call.input.get("seconds", 0.0))


def text_of_call(call: ToolCall) -> str:
    """What a call gives."""
    return f"{call.name} {call.input.get('amount', '')} " + "x" * int(call.input.get("size", 0))
