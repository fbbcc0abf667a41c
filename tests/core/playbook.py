"""A `Playbook` drives the turn machine as a transcript: what is given, and what follows.

    book = Playbook(LOOKUP)
    book.given(user("Weather?")).follows("accepted u1", "answer u1", "turn_started u1", "call_model 1")
    book.given(book.answer(calls=[("a", "lookup", {})])).follows("complete u1 tool_use", "tool_batch a", "run_tools a")

The rule here: every command is one line of text. Deltas are told apart, in `Step.shown`. After every step the
invariants of `invariants.py` are checked, so no transcript can pass that breaks one.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from agent_core import commands as out
from agent_core import inputs
from agent_core.config import SessionConfig
from agent_core.content import ToolResultBlock
from agent_core.conversation import Conversation
from agent_core.entries import (
    Accepted,
    Compacted,
    Complete,
    Entry,
    Error,
    Opened,
    Settings,
    Steered,
    ToolBatch,
    ToolOutcome,
    ToolSettled,
    TurnEnded,
    TurnRetried,
    TurnStarted,
)
from agent_core.errors import ConfigError, ProviderError, ProviderErrorKind
from agent_core.messages import AssistantMessage, Message, SessionId, StopReason, TurnId, Usage, UserMessage
from agent_core.payloads import Delta, ToolResults, UserInput, When
from agent_core.ports import (
    ModelEvent,
    ModelRequest,
    Record,
    ResponseStarted,
    ResponseStopped,
    TextDelta,
    ThinkingDelta,
    ToolReport,
    ToolUseDelta,
    UsageUpdate,
)
from agent_core.seeding import regular
from agent_core.status import CompactResult
from agent_core.tools.definition import ToolDefinition, ToolReference
from agent_core.turn import Machine
from tests.core.invariants import check_records, check_replay, check_request, check_snapshot, check_state, replayed

SESSION = SessionId("s")
LIMIT = 100_000
CODE = ToolReference(module="tests", name="tool")
LOOKUP = ToolDefinition(name="lookup", reference=CODE, idempotent=True)
PAY = ToolDefinition(name="pay", reference=CODE)
APPROVE = ToolDefinition(name="approve")

Calls = Iterable[tuple[str, str, Any]]


def user(text: str, *, when: When = "after", key: str | None = None, turn_id: str | None = None) -> inputs.Submit:
    """A user's message."""
    return inputs.Submit(UserInput.of(text, TurnId(turn_id) if turn_id else None), when, key)


def outside(*results: tuple[str, str], summaries: dict[str, str] | None = None) -> inputs.Submit:
    """Results of external calls, as (call, text)."""
    blocks = tuple(ToolResultBlock(tool_use_id=call, content=text) for call, text in results)
    return inputs.Submit(ToolResults(results=blocks, compact_summaries=summaries or {}))


def report(
    call: str, text: str, *, outcome: ToolOutcome = "ok", summary: str | None = None, seconds: float = 0.0
) -> inputs.FromTool:
    """What an executor tells of a call."""
    result = ToolResultBlock(tool_use_id=call, content=text, is_error=outcome != "ok", compact_summary=summary)
    return inputs.FromTool(ToolReport(f"{SESSION}/{call}", result, outcome, seconds))


def configure(**fields: Any) -> inputs.Configure:
    """Settings changed at run time."""
    return inputs.Configure(Settings(fields=fields))


def answer_events(
    text: str = "",
    *,
    calls: Calls = (),
    thinking: str = "",
    stop: StopReason | None = None,
    usage: Usage = Usage(),
) -> list[ModelEvent]:
    """A whole answer as the events of a stream. A call's input is an object, or raw JSON text."""
    events: list[ModelEvent] = [ResponseStarted("msg", "fake-1")]
    if thinking:
        events += [ThinkingDelta(0, thinking), ThinkingDelta(0, signature=f"signed:{thinking}")]
    if text:
        events.append(TextDelta(1, text))
    calls = list(calls)
    for index, (id, name, given) in enumerate(calls, start=2):
        events.append(ToolUseDelta(index, id=id, name=name))
        events.append(ToolUseDelta(index, given if isinstance(given, str) else json.dumps(given)))
    events.append(UsageUpdate(usage))
    events.append(ResponseStopped(stop or ("tool_use" if calls else "end_turn")))
    return events


@dataclass(frozen=True)
class Step:
    """What followed from one or more inputs."""

    commands: Sequence[out.Command]

    @property
    def lines(self) -> list[str]:
        """The commands but for deltas, a line each."""
        return [describe(command) for command in self.commands if not isinstance(command, out.Emit)]

    @property
    def shown(self) -> list[Delta]:
        """The deltas."""
        return [command.delta for command in self.commands if isinstance(command, out.Emit)]

    def follows(self, *lines: str) -> "Step":
        """Claim that exactly this followed, in this order."""
        assert self.lines == list(lines)
        return self

    @property
    def refusal(self) -> Exception:
        """The one refusal."""
        (refuse,) = [command for command in self.commands if isinstance(command, out.Refuse)]
        return refuse.error

    @property
    def requests(self) -> list[ModelRequest]:
        """What the model was asked."""
        return [command.request for command in self.commands if isinstance(command, out.CallModel)]

    @property
    def compacted(self) -> CompactResult:
        """What a compaction said of itself."""
        (result,) = [command.compacted for command in self.commands if isinstance(command, out.Answer)]
        assert result is not None
        return result


class Playbook:
    """A session of `tools` on the fake model `local/fake`, opened with `history`. Each input takes a second."""

    def __init__(
        self, *tools: ToolDefinition, limit: int = LIMIT, history: Sequence[Message] = (), **config: Any
    ) -> None:
        self._limit = limit
        self.now = 1_000.0
        self.records: list[Record] = []
        self.requests: list[ModelRequest] = []
        self._call = 0
        self._forgotten: set[str] = set()
        given = {"model": "local/fake", "compaction": None, "max_tokens": 1_000, **config}
        opened = Record(1, 1, self.now, Opened(config=SessionConfig(**given), tools=tools, history=regular(history)))
        self.records.append(opened)
        conversation = Conversation(SESSION)
        conversation.apply(opened)
        self._snapshot = replayed(SESSION, [opened])
        self._start(conversation, epoch=1)

    def _start(self, conversation: Conversation, epoch: int) -> None:
        self.epoch = epoch
        self.machine = Machine(conversation, epoch, self._limit_of)

    def _limit_of(self, config: SessionConfig) -> int:
        if config.context_limit is None and config.model in self._forgotten:
            raise ConfigError("context_limit: the window is not known. Set it.")
        return config.context_limit or self._limit

    def forgets(self, model: str) -> None:
        """The window of `model` is no longer known."""
        self._forgotten.add(model)

    @property
    def conversation(self) -> Conversation:
        return self.machine.conversation

    @property
    def entries(self) -> list[Entry]:
        """Everything that was journalled."""
        return [record.entry for record in self.records]

    def given(self, *what: inputs.Input | Sequence[inputs.Input]) -> Step:
        """Hand inputs to the machine, one after the other."""
        commands: list[out.Command] = []
        for item in what:
            for given in item if isinstance(item, Sequence) else (item,):
                commands += self._handle(given)
        return Step(commands)

    def _handle(self, given: inputs.Input) -> list[out.Command]:
        self.now += 1.0
        commands = self.machine.handle(given, self.now)
        for command in commands:
            if isinstance(command, out.Journal):
                self.records.append(command.record)
            elif isinstance(command, out.CallModel):
                check_request(command.request)
                self.requests.append(command.request)
                self._call = command.call
        check_records(self.records)
        check_replay(self.conversation, self.records)
        self._snapshot = check_snapshot(self.conversation, self._snapshot, self.records)
        check_state(self.machine.state, self.conversation)
        return commands

    def answer(
        self,
        text: str = "",
        *,
        calls: Calls = (),
        thinking: str = "",
        stop: StopReason | None = None,
        usage: Usage = Usage(),
    ) -> list[inputs.Input]:
        """The newest model call's whole answer."""
        return self.model(*answer_events(text, calls=calls, thinking=thinking, stop=stop, usage=usage))

    def model(self, *events: ModelEvent) -> list[inputs.Input]:
        """Events of the newest model call."""
        return [inputs.FromModel(self._call, event) for event in events]

    def fails(self, kind: ProviderErrorKind = "server", limit: int | None = None) -> inputs.ModelFailed:
        """The newest model call's failure."""
        error = ProviderError("The provider failed. Try again.", kind, context_limit=limit)
        return inputs.ModelFailed(self._call, error)

    def crashes(self, *, reopen: bool = False) -> Step:
        """The owner dies and another one recovers the session from what was journalled."""
        self._start(replayed(SESSION, self.records), self.epoch + 1)
        return self.given(inputs.Recover(reopen))

    def turn(self, text: str, reply: str = "Fine.") -> None:
        """A whole turn without tools."""
        self.given(user(text), self.answer_to_next(reply))

    def answer_to_next(self, text: str, *, calls: Calls = (), usage: Usage = Usage()) -> list[inputs.Input]:
        """The whole answer of the model call that will be made next."""
        return [inputs.FromModel(self._call + 1, event) for event in answer_events(text, calls=calls, usage=usage)]

    @property
    def said(self) -> list[str]:
        """What the model is shown now, a line a block."""
        return [line for message in self.conversation.view.shown for line in lines_of(message)]


def lines_of(message: Message) -> list[str]:
    """A message as text: who, then each block."""
    who = {UserMessage: "user", AssistantMessage: "model"}[type(message)]
    lines: list[str] = []
    for block in message.content:
        match block.kind:
            case "text":
                lines.append(f"{who}: {block.text}")
            case "thinking":
                lines.append(f"{who} thinks: {block.thinking}")
            case "tool_use":
                lines.append(f"{who} calls {block.id}: {block.name}")
            case "tool_result":
                lines.append(f"{'error' if block.is_error else 'result'} {block.tool_use_id}: {block.content}")
            case "image":
                lines.append(f"{who}: image")
            case _:
                assert_never(block.kind)
    return lines


def describe(command: out.Command) -> str:
    """One command as a line."""
    match command:
        case out.Journal():
            return describe_entry(command.record.entry)
        case out.Emit():
            return f"emit {command.delta.kind}"
        case out.CallModel():
            return f"call_model {command.call}"
        case out.CancelModel():
            return f"cancel_model {command.call}"
        case out.RunTools():
            return f"run_tools {' '.join(invocation.call.id for invocation in command.invocations)}"
        case out.CancelTools():
            return f"cancel_tools {' '.join(key.rpartition('/')[2] for key in command.keys)}"
        case out.StartCompaction():
            return f"start_compaction {command.job.job_id} {command.priority}"
        case out.PromoteCompaction():
            return f"promote_compaction {command.key.rpartition('/')[2]} {command.priority}"
        case out.CancelCompaction():
            return f"cancel_compaction {command.key.rpartition('/')[2]}"
        case out.StartTimer():
            return f"start_timer {command.timer} {command.seconds:g}"
        case out.CompactionEnded():
            return f"compaction_ended {command.job_id} {'done' if command.result.compacted else 'not done'}"
        case out.Answer():
            return f"answer {command.turn_id or ''}".strip()
        case out.Refuse():
            return f"refuse {type(command.error).__name__}"
        case _:
            assert_never(command)


def describe_entry(entry: Entry) -> str:
    """One entry as a line: its kind, and what tells it from others of that kind."""
    match entry:
        case Accepted() | TurnStarted() | Steered() | TurnRetried():
            return f"{entry.kind} {entry.turn_id}"
        case Complete():
            return f"complete {entry.turn_id} {entry.stop_reason}"
        case ToolBatch():
            return f"tool_batch {' '.join(call.id for call in entry.calls)}"
        case ToolSettled():
            return f"tool_settled {entry.result.tool_use_id} {entry.outcome}"
        case Error():
            return f"error {entry.error.kind}"
        case TurnEnded():
            return f"turn_ended {entry.turn_id} {entry.outcome}{' discarded' if entry.discarded else ''}"
        case Compacted():
            return f"compacted {entry.strategy}"
        case _:
            return entry.kind
