"""The fold of a session's events into what a reader sees: pieces that are said for good, and a part that still grows.

The rule here: no I/O and no clock of its own. The same events give the same pieces, however the text was cut into
chunks, and what the model says is shown once: of an answer whose beginning was missed, nothing is shown before it is
whole.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent_core.content import TextBlock, ThinkingBlock
from agent_core.cursor import Event
from agent_core.entries import (
    Accepted,
    Cleared,
    Closed,
    Compacted,
    CompactionFailed,
    Complete,
    Configured,
    Error,
    Opened,
    Pinned,
    Reopened,
    Steered,
    ToolBatch,
    ToolSettled,
    TurnEnded,
    TurnRetried,
    TurnStarted,
    Unpinned,
)
from agent_core.errors import ErrorInfo
from agent_core.messages import TurnId, Usage
from agent_core.payloads import (
    CompactionUpdate,
    Restarted,
    Retrying,
    SessionState,
    StatusChanged,
    StreamStart,
    TextChunk,
    ThinkingChunk,
    TokenUpdate,
    ToolInputDelta,
    ToolResults,
)
from drivers.chatting.calls import Calls
from drivers.chatting.compactions import Compactions
from drivers.chatting.markdown_stream import MarkdownStream
from drivers.chatting.pieces import Answered, Noted, Piece, Thought, ToolUsed, UserSaid, answered, clean, content_text

_ENDINGS = {
    "interrupted": "interrupted",
    "max_tokens": "the answer was cut at the limit of tokens (--max-tokens raises it)",
    "refused": "the model refused to go on",
    "context_exceeded": "the conversation no longer fits the model's window: /compact shortens it, /clear empties it",
    "max_steps": "the turn was ended: it made as many model calls as one turn may",
}


@dataclass
class Waiting:
    """A message that was accepted and has not entered the conversation yet."""

    turn_id: TurnId
    text: str
    when: str


@dataclass
class Live:
    """What is still growing, for the screen to draw again and again."""

    answer: str = ""
    thinking: str = ""
    # Calls that run or have settled behind one that runs, in the model's order.
    tools: list[ToolUsed] = field(default_factory=list)
    # A call whose input is still being written: its name and the JSON so far.
    drafted: tuple[str, str] | None = None
    retrying: str = ""


@dataclass
class _Stream:
    """The answer that is streaming now."""

    markdown: MarkdownStream = field(default_factory=MarkdownStream)
    block: int = -1
    shown: bool = False


class Transcript:
    """Follows one session from wherever its reader came in."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.live = Live()
        self.state: SessionState = "idle"
        self.turn_id: TurnId | None = None
        self._turn_began = 0.0
        self.waiting: dict[int, Waiting] = {}
        # Tokens of the request under way; the session's own counts take it in when it completes.
        self.request_usage = Usage()
        self._stream: _Stream | None = None
        self._thinking_began: float | None = None
        self._calls = Calls()
        self.compactions = Compactions()

    @property
    def elapsed(self) -> float | None:
        """Seconds since the open turn began, or since the reader came in."""
        return None if self.turn_id is None else self._now() - self._turn_began

    def knows(self, turn_id: TurnId) -> bool:
        """Whether the words that open this turn were heard."""
        return any(item.turn_id == turn_id for item in self.waiting.values())

    def joined(self, turn_id: TurnId | None, state: SessionState, calls: dict[str, ToolUsed]) -> None:
        """The reader comes in while `turn_id` is open and these calls run (None: no turn is open)."""
        self.turn_id, self.state, self._turn_began = turn_id, state, self._now()
        self._calls = Calls(calls)
        self.live.tools = self._calls.live

    def apply(self, event: Event) -> list[Piece]:
        """Take one event in and return what is now said for good."""
        payload = event.payload
        match payload:
            case Accepted():
                if not isinstance(payload.payload, ToolResults):
                    text = content_text(payload.payload.content)
                    self.waiting[event.cursor.seq] = Waiting(payload.turn_id, text, payload.when)
                return []
            case TurnStarted():
                return self._turn_started(payload.turn_id)
            case Steered():
                entered = [self.waiting.pop(seq, None) for seq in payload.accepted]
                return [*self._flush(), *(UserSaid(item.text, steered=True) for item in entered if item is not None)]
            case StreamStart():
                pieces = self._flush()
                self._stream, self.state = _Stream(), "running"
                return pieces
            case TextChunk():
                return self._text(payload)
            case ThinkingChunk():
                return self._thinking(payload)
            case ToolInputDelta():
                return self._tool_input(payload)
            case TokenUpdate():
                self.request_usage = payload.usage
                return []
            case Complete():
                return self._complete(payload)
            case ToolBatch():
                self._calls.started(payload)
                self.live.tools, self.state = self._calls.live, "awaiting_tools"
                return []
            case ToolSettled():
                pieces = self._calls.settled(payload)
                self.live.tools = self._calls.live
                return pieces
            case Retrying():
                self.live.retrying = retry_text(payload)
                return []
            case StatusChanged():
                self.state = payload.state
                return []
            case Restarted():
                return self._restarted()
            case TurnEnded():
                return self._turn_ended(payload)
            case TurnRetried():
                self.turn_id, self.state, self._turn_began = payload.turn_id, "running", self._now()
                return [Noted("trying the turn again")]
            case CompactionUpdate() | Compacted() | CompactionFailed():
                return self.compactions.apply(payload)
            case Cleared():
                return [Noted("the conversation is empty")]
            case Closed():
                self.state = "closed"
                return [*self._flush(), Noted("the session was closed", "warning")]
            case Error() | Configured() | Opened() | Reopened() | Pinned() | Unpinned():
                # An Error says what TurnEnded says again, right after it.
                return []

    def _turn_started(self, turn_id: TurnId) -> list[Piece]:
        self.turn_id, self.state, self._turn_began = turn_id, "running", self._now()
        self.request_usage = Usage()
        for seq, item in list(self.waiting.items()):
            if item.turn_id == turn_id:
                del self.waiting[seq]
                return [UserSaid(item.text)]
        return []

    def _text(self, chunk: TextChunk) -> list[Piece]:
        if self._stream is None:
            return []
        pieces = self._enter_block(chunk.index)
        self._stream.shown = True
        blocks = self._stream.markdown.feed(clean(chunk.text))
        self.live.answer = self._stream.markdown.rest
        return [*pieces, *map(Answered, blocks)]

    def _thinking(self, chunk: ThinkingChunk) -> list[Piece]:
        if self._stream is None:
            return []
        pieces = self._enter_block(chunk.index)
        self._stream.shown = True
        if self._thinking_began is None:
            self._thinking_began = self._now()
        self.live.thinking += clean(chunk.text)
        return pieces

    def _tool_input(self, delta: ToolInputDelta) -> list[Piece]:
        if self._stream is None:
            return []
        pieces = self._enter_block(delta.index)
        name, text = self.live.drafted or ("", "")
        self.live.drafted = (delta.name or name, text + clean(delta.text))
        return pieces

    def _enter_block(self, index: int) -> list[Piece]:
        """A chunk of block `index` has come: what grew in the block before it is whole."""
        assert self._stream is not None
        self.live.retrying = ""
        if self._stream.block == index:
            return []
        self._stream.block = index
        self.live.drafted = None
        return self._flush()

    def _flush(self) -> list[Piece]:
        """Everything that was growing, said for good as far as it came."""
        pieces: list[Piece] = []
        if thinking := self.live.thinking.strip():
            seconds = None if self._thinking_began is None else self._now() - self._thinking_began
            pieces.append(Thought(thinking, seconds))
        if self._stream is not None:
            pieces += map(Answered, self._stream.markdown.close())
        self._thinking_began = None
        self.live.answer = self.live.thinking = self.live.retrying = ""
        return pieces

    def _complete(self, payload: Complete) -> list[Piece]:
        shown = self._stream is not None and self._stream.shown
        pieces = self._flush()
        if not shown:
            pieces = _whole(payload)
        self._calls.asked(payload)
        self._stream = None
        self.live.drafted = None
        self.request_usage = Usage()
        return pieces

    def _restarted(self) -> list[Piece]:
        shown = self._stream is not None and self._stream.shown
        self._stream, self.live = None, Live(tools=self.live.tools)
        self._thinking_began = None
        self.request_usage = Usage()
        self.compactions.restarted()
        return [Noted("the session was restarted; the answer begins again", "warning")] if shown else []

    def _turn_ended(self, payload: TurnEnded) -> list[Piece]:
        pieces = self._flush()
        pieces += self._calls.live
        self._stream, self.live, self._calls = None, Live(), Calls()
        self.turn_id, self.state, self.request_usage = None, "idle", Usage()
        pieces += self._left_over(payload.turn_id)
        if payload.outcome == "failed":
            pieces.append(Noted(failure_text(payload.error), "error"))
        elif payload.outcome != "completed":
            text = _ENDINGS[payload.outcome]
            pieces.append(Noted(f"{text}; the turn was taken back" if payload.discarded else text, "warning"))
        return pieces

    def _left_over(self, turn_id: TurnId) -> list[Piece]:
        """Messages that were to steer the turn and came too late for it: they stay in the conversation."""
        late = [seq for seq, item in self.waiting.items() if item.turn_id == turn_id]
        said: list[Piece] = [UserSaid(self.waiting.pop(seq).text, steered=True) for seq in late]
        return [*said, Noted("the model sees this with the next message")] if said else []


def failure_text(error: ErrorInfo | None) -> str:
    """What is said of a failed turn, and what can be done about it."""
    if error is None:
        return "the turn failed; /retry tries it again"
    text = clean(error.message).strip() or error.kind
    return f"{text}\n/retry tries the turn again." if error.retryable else text


def retry_text(payload: Retrying) -> str:
    """What is said while a request waits to be made again."""
    # The advice at a message's end is for who has to act; here the request is made again by itself.
    reason = clean(payload.error.message).partition(". ")[0].rstrip(".")
    return f"trying again in {payload.delay:.1f} s: {reason}"


def ending_text(payload: TurnEnded) -> str:
    """What is said of a turn that did not complete, where there is no screen."""
    if payload.outcome == "failed":
        return clean(payload.error.message).strip() if payload.error else "the turn failed"
    return _ENDINGS.get(payload.outcome, "")


def _whole(payload: Complete) -> list[Piece]:
    """An answer of which no part was shown: its text and thinking at once."""
    pieces: list[Piece] = []
    for block in payload.message.content:
        match block:
            case TextBlock():
                pieces += answered(block.text)
            case ThinkingBlock() if block.thinking.strip():
                pieces.append(Thought(clean(block.thinking).strip()))
            case _:
                pass
    return pieces
