"""The tool calls of a turn, from the model's words to their results.

The rule here: results settle in any order and are said in the order of the calls; what settled behind a call that still
runs stays live until then.
"""

from collections.abc import Mapping

from agent_core.content import ToolUseBlock
from agent_core.entries import Complete, ToolBatch, ToolSettled
from drivers.chatting.pieces import Piece, ToolUsed, content_text


class Calls:
    """The calls of the open turn."""

    def __init__(self, running: Mapping[str, ToolUsed] | None = None) -> None:
        # What the model asked for; not all of it is run.
        self._asked: dict[str, ToolUseBlock] = {}
        self._running: dict[str, ToolUsed] = dict(running or {})
        self._settled: dict[str, ToolUsed] = {}

    @property
    def live(self) -> list[ToolUsed]:
        """The calls that are not said yet: those that run, and what settled behind them."""
        order = dict.fromkeys([*self._running, *self._settled])
        return [self._settled.get(call_id) or self._running[call_id] for call_id in order]

    def asked(self, payload: Complete) -> None:
        """The model's answer names calls."""
        self._asked |= {block.id: block for block in payload.message.content if isinstance(block, ToolUseBlock)}

    def started(self, payload: ToolBatch) -> None:
        """Calls have left."""
        self._running |= {call.id: ToolUsed(call.name, call.input) for call in payload.calls}

    def settled(self, payload: ToolSettled) -> list[Piece]:
        """A call has its result: return every call that no running one stands before."""
        result = payload.result
        known = self._running.get(result.tool_use_id) or self._asked.get(result.tool_use_id)
        self._settled[result.tool_use_id] = ToolUsed(
            name=known.name if known else result.tool_use_id,
            input=known.input if known else {},
            result=content_text(result.content),
            is_error=result.is_error,
            outcome=payload.outcome,
            seconds=payload.seconds,
        )
        said: list[Piece] = []
        for call_id in list(dict.fromkeys([*self._running, *self._settled])):
            if call_id not in self._settled:
                break
            said.append(self._settled.pop(call_id))
            self._running.pop(call_id, None)
            self._asked.pop(call_id, None)
        return said
