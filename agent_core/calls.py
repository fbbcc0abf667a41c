"""Tool calls of the open turn: started, settled, given up, taken up again.

The rule here: the start of a call is journalled before it leaves; every call gets exactly one result; a call that may
have run and is not idempotent never leaves a second time.
"""

from collections.abc import Sequence

from agent_core import commands as out
from agent_core.content import ToolResultBlock, ToolUseBlock
from agent_core.entries import ToolBatch, ToolCall, ToolOutcome, ToolSettled
from agent_core.messages import AssistantMessage, TurnId
from agent_core.payloads import ToolResults
from agent_core.ports import ToolInvocation, ToolReport
from agent_core.recorder import Recorder


class Calls:
    """The calls of the open batch."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._conversation = recorder.conversation

    @property
    def only_external(self) -> bool:
        """Whether every call that is still open waits for a result from outside."""
        unsettled = self._unsettled()
        return bool(unsettled) and all(call.external for call in unsettled)

    def start(self, message: AssistantMessage, asked: Sequence[ToolUseBlock]) -> None:
        """Journal the calls of an answer and send those that can run."""
        batch = self._batch(message, asked)
        self._recorder.record(batch)
        wrong = {block.id: block.input_error for block in asked if block.input_error}
        runnable: list[ToolCall] = []
        for call in batch.calls:
            if call.id in wrong:
                self._fail(call.id, "bad_input", f"{wrong[call.id]}. Send the input again as one JSON object.")
            elif call.name not in self._conversation.tools:
                known = ", ".join(sorted(self._conversation.tools)) or "none"
                self._fail(call.id, "unknown_tool", f"There is no tool '{call.name}'. Known tools: {known}.")
            elif not call.external:
                runnable.append(call)
        self._run(runnable)

    def refuse(self, message: AssistantMessage, asked: Sequence[ToolUseBlock], why: str) -> None:
        """Give every call of an answer an error result without running it."""
        if asked:
            self._recorder.record(self._batch(message, asked))
            for block in asked:
                self._fail(block.id, "not_run", why)

    def settle(self, report: ToolReport) -> None:
        """Take in a report. Of a call that is not open, or open for an executor no more, it is ignored."""
        open_keys = {self._key(call.id): call for call in self._unsettled() if not call.external}
        if report.key in open_keys:
            self._record(report.result, report.outcome, report.seconds)

    def waits_for(self, payload: ToolResults) -> bool:
        """Whether one of these results is of an external call that is open."""
        waiting = {call.id for call in self._unsettled() if call.external}
        return any(result.tool_use_id in waiting for result in payload.results)

    def settle_external(self, payload: ToolResults) -> TurnId:
        """Take in results from outside; those that are there already are passed over. Says whose turn they are of."""
        for result in payload.results:
            if result.tool_use_id in {call.id for call in self._unsettled() if call.external}:
                summary = payload.compact_summaries.get(result.tool_use_id, result.compact_summary)
                self._record(result.model_copy(update={"compact_summary": summary}), "external", 0.0)
        return self._conversation.turn_of_results(payload)

    def cancel(self) -> None:
        """Stop what an executor still runs."""
        keys = tuple(self._key(call.id) for call in self._unsettled() if not call.external)
        if keys:
            self._recorder.do(out.CancelTools(keys))

    def abandon(self) -> None:
        """Give every open call an error result: it was interrupted."""
        for call in self._unsettled():
            self._fail(call.id, "interrupted", "Interrupted by the user. Whether it took effect is unknown.")

    def lose(self) -> None:
        """Give every open call an error result: whoever waited for it was lost, and nobody waits any more."""
        for call in self._unsettled():
            text = "The process that waited for the result was lost. Whether the call took effect is unknown."
            self._fail(call.id, "outcome_unknown", text)

    def recover(self) -> None:
        """Run idempotent calls again; tell the model that the outcome of the others is unknown."""
        again: list[ToolCall] = []
        for call in self._unsettled():
            if call.external:
                continue
            if not call.idempotent:
                self._fail(
                    call.id, "outcome_unknown", "The tool's process was lost. Whether the call took effect is unknown."
                )
            elif call.name not in self._conversation.tools:
                self._fail(call.id, "unavailable", f"The tool '{call.name}' is no longer available.")
            else:
                again.append(call)
        self._run(again)

    def _batch(self, message: AssistantMessage, asked: Sequence[ToolUseBlock]) -> ToolBatch:
        tools = self._conversation.tools
        calls = tuple(
            ToolCall(
                id=block.id,
                name=block.name,
                input=block.input,
                external=block.name in tools and tools[block.name].external and not block.input_error,
                idempotent=block.name in tools and tools[block.name].idempotent,
            )
            for block in asked
        )
        return ToolBatch(turn_id=message.turn_id, message_id=message.id, calls=calls)

    def _run(self, calls: Sequence[ToolCall]) -> None:
        conversation, turn = self._conversation, self._conversation.open
        if not calls or turn is None:
            return
        invocations = tuple(
            ToolInvocation(
                self._key(call.id), conversation.session_id, turn.turn_id, call, conversation.tools[call.name]
            )
            for call in calls
        )
        self._recorder.do(out.RunTools(invocations))

    def _fail(self, tool_use_id: str, outcome: ToolOutcome, text: str) -> None:
        self._record(ToolResultBlock(tool_use_id=tool_use_id, content=text, is_error=True), outcome, 0.0)

    def _record(self, result: ToolResultBlock, outcome: ToolOutcome, seconds: float) -> None:
        turn = self._conversation.open
        if turn is not None:
            self._recorder.record(ToolSettled(turn_id=turn.turn_id, result=result, outcome=outcome, seconds=seconds))

    def _unsettled(self) -> list[ToolCall]:
        turn = self._conversation.open
        if turn is None or turn.batch is None:
            return []
        return [call for call in turn.batch.calls if call.id not in turn.settled]

    def _key(self, tool_use_id: str) -> str:
        return f"{self._conversation.session_id}/{tool_use_id}"
