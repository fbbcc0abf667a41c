"""The agent that works in a loop of tools (reason, act) until the model submits its answer.

The rule here: only what was submitted is an answer. `submit` is a tool without code: its call ends the turn, so no
request to the model is made after it. A model that stops without it is told to go on, so many times and no more.
"""

import json
from typing import Any, Literal

from pydantic import Field

from agent_core.content import ToolResultBlock
from agent_core.entries import Complete, ToolBatch, ToolCall, TurnEnded
from agent_core.evaluation.question import question_of
from agent_core.evaluation.sample import Sample
from agent_core.frozen import Frozen
from agent_core.payloads import ToolResults
from agent_core.session_protocol import Session
from agent_core.submission import TurnResult, answer_of
from agent_core.tools.definition import ToolDefinition

SUBMIT = "{submit}"
PROMPT = (
    "You work on a task with the tools that you have. Work step by step: call a tool, look at its result, decide what"
    " is next. Nobody can answer questions meanwhile. When you know the answer, call the tool {submit} with it; that"
    " ends the task. Only what you submit counts."
)
ON_CONTINUE = "Go on with the task. When you know the answer, call the tool {submit} with it. Only that counts."
DESCRIPTION = "Submit the answer to the task, which ends it."
ACCEPTED = "Submitted."


class React(Frozen):
    """A loop of tools that ends with a submitted answer, for the input and for each of the turns of a sample.

    `submit` is the name of the tool that takes the answer. `max_turns` is how many messages the model gets for one
    answer: the question, and `on_continue` each time that it stops without one; then the sample has hit its limit of
    turns. `prompt` follows the system prompt of the task. In both texts `{submit}` stands for the tool's name.
    """

    kind: Literal["react"] = "react"
    submit: str = Field(default="submit", pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = DESCRIPTION
    max_turns: int = Field(default=10, ge=1)
    prompt: str = PROMPT
    on_continue: str = Field(default=ON_CONTINUE, min_length=1)

    @property
    def tools(self) -> tuple[ToolDefinition, ...]:
        """What its sessions have to be opened with, beside the tools of the task."""
        answer = {"type": "string", "description": "The answer, and nothing else."}
        schema: dict[str, Any] = {"type": "object", "properties": {"answer": answer}, "required": ["answer"]}
        return (ToolDefinition(name=self.submit, description=self.description, input_schema=schema),)

    def system_prompt(self, given: str | None) -> str | None:
        """What its sessions are told, where the task tells them `given`."""
        return "\n\n".join(filter(None, [given, self._filled(self.prompt)])) or None

    async def __call__(self, session: Session, sample: Sample) -> str:
        answer = await self._answer(session, question_of(sample))
        for turn in sample.turns:
            answer = await self._answer(session, turn)
        return answer

    async def _answer(self, session: Session, question: str) -> str:
        """What is submitted as the answer to one message. Raises LimitHit if that is nothing."""
        from agent_core.evaluation.attended import LimitHit

        message = question
        for _ in range(self.max_turns):
            answer = await self._turn(session, message)
            if answer is not None:
                return answer
            message = self._filled(self.on_continue)
        raise LimitHit(f"The model submitted no answer in {self.max_turns} turns.", "turns")

    async def _turn(self, session: Session, message: str) -> str | None:
        """What is submitted in one turn, None for nothing. Raises as `Session.ask` does."""
        answer: str | None = None
        said = ""
        ended: TurnEnded | None = None
        async for payload in session.send(message):
            match payload:
                case ToolBatch() if answer is None:
                    answer = await self._submitted(session, payload)
                case Complete():
                    said = "".join(block.text for block in payload.message.content if block.kind == "text")
                case TurnEnded():
                    ended = payload
                case _:
                    pass
        if answer is None and ended is not None:
            answer_of(TurnResult(turn_id=ended.turn_id, outcome=ended.outcome, text=said, error=ended.error))
        return answer

    async def _submitted(self, session: Session, batch: ToolBatch) -> str | None:
        """The answer among these calls, taken; None if there is none."""
        for call in batch.calls:
            if call.name != self.submit or not call.external:
                continue
            answer = call.input.get("answer")
            if answer is not None:
                await session.submit(ToolResults(results=(_result(call, ACCEPTED),), ends_turn=True))
                return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
            refused = _result(call, f"{self.submit} needs the field 'answer'. Call it again with that.", failed=True)
            await session.submit(ToolResults(results=(refused,)))
        return None

    def _filled(self, text: str) -> str:
        return text.replace(SUBMIT, self.submit)


def _result(call: ToolCall, text: str, *, failed: bool = False) -> ToolResultBlock:
    return ToolResultBlock(tool_use_id=call.id, content=text, is_error=failed)
