"""What the screen draws in place: the live part, messages that wait, the status line.

The rule here: plain state and pure drawing; whoever changes the state asks the screen to draw again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from agent_core.messages import Usage
from agent_core.payloads import When
from agent_core.status import SessionStatus
from drivers.chatting.compactions import MAKING_ROOM
from drivers.chatting.pieces import Piece
from drivers.chatting.status_line import Facts, status_line
from drivers.chatting.transcript import Transcript

if TYPE_CHECKING:
    from drivers.chatting.rendering import Renderer

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
WAITING_SHOWN = 5
_DIM, _YELLOW, _PLAIN = "\x1b[2m", "\x1b[33m", "\x1b[0m"
_WAITS: dict[When, str] = {
    "after": "waits for the end of the turn",
    "next_step": "steers at the next model call",
    "interrupt": "interrupts",
    "reject": "is sent",
}


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message that the session has not accepted yet."""

    text: str
    when: When


class View:
    """The drawing of one chat. `model` is named until the session names its own."""

    def __init__(self, transcript: Transcript, model: str, colors: str | None = "256") -> None:
        self._transcript = transcript
        self._model = model
        self._colors = colors
        self._made: Renderer | None = None
        self._frame = 0
        self._last: Piece | None = None
        self.status: SessionStatus | None = None
        self.unsent: dict[str, Unsent] = {}
        # A first Ctrl-C was pressed: the next one leaves.
        self.leaving = False

    @property
    def _renderer(self) -> "Renderer":
        if self._made is None:
            # Rich is a fifth of a second of import that the prompt does not wait for.
            from drivers.chatting.rendering import Renderer

            self._made = Renderer(colors=self._colors)
        return self._made

    @property
    def moves(self) -> bool:
        """Whether something in the drawing changes with time alone."""
        transcript = self._transcript
        return self.status is None or transcript.turn_id is not None or transcript.compactions.asked > 0

    def tick(self) -> None:
        """Move the spinner on."""
        self._frame += 1

    def count(self, usage: Usage) -> None:
        """A request is done; its tokens belong to the totals before the session says so itself."""
        if self.status is None:
            return
        counted = self.status.usage.model_copy(update={"total": self.status.usage.total + usage, "last": usage})
        used = usage.context_tokens or self.status.context_used
        self.status = self.status.model_copy(update={"usage": counted, "context_used": used})

    def above(self, pieces: Sequence[Piece], width: int, *, whole: bool = False) -> str:
        """Pieces for the scrollback; `whole` cuts none of them short."""
        before, self._last = self._last, pieces[-1]
        return self._renderer.above(pieces, width, before, whole=whole)

    def placeholder(self) -> str:
        """What stands in an empty input."""
        if self.status is None:
            return "type already, it is sent once connected"
        return "" if self._transcript.turn_id is not None or self.status.messages else "say something, or /help"

    def live(self, columns: int, rows: int) -> Sequence[str]:
        """Everything between the scrollback and the input, at most `rows` lines."""
        below = self._activity(columns) + self._waiting(columns)
        below = below[-max(rows, 0) :]
        transcript = self._transcript
        if not (transcript.live.answer or transcript.live.thinking or transcript.live.tools or transcript.live.drafted):
            return below
        return [*self._renderer.live(transcript.live, columns, rows - len(below)), *below]

    def _activity(self, columns: int) -> list[str]:
        """What is waited for, where no growing text shows it."""
        transcript, live = self._transcript, self._transcript.live
        if live.answer or live.thinking:
            return []
        if transcript.turn_id is None:
            waits = f"{transcript.compactions.doing} (Ctrl-C leaves it to the background)"
            return self._busy(waits, columns) if transcript.compactions.asked else []
        running = sum(tool.result is None for tool in live.tools)
        if live.retrying:
            text = live.retrying
        elif running:
            text = f"{running} tools are running" if running > 1 else "the tool is running"
        elif transcript.state == "awaiting_permit":
            text = "waiting for a free place among the requests"
        elif transcript.state == "compacting":
            text = MAKING_ROOM
        elif live.drafted:
            return []
        else:
            text = "waiting for the model"
        return self._busy(text, columns)

    def _busy(self, text: str, columns: int) -> list[str]:
        spinner = SPINNER[self._frame % len(SPINNER)]
        return ["", f"{_YELLOW}{spinner}{_PLAIN} {_DIM}{_cut(text, columns - 3)}{_PLAIN}"]

    def _waiting(self, columns: int) -> list[str]:
        """Messages that have not entered the conversation, the oldest first."""
        items = [(item.text, item.when) for item in self._transcript.waiting.values()]
        items += [(item.text, item.when) for item in self.unsent.values()]
        lines = [self._waiting_line(text, when, columns) for text, when in items[:WAITING_SHOWN]]
        if len(items) > WAITING_SHOWN:
            lines.append(f"{_DIM}  and {len(items) - WAITING_SHOWN} more{_PLAIN}")
        return ["", *lines] if lines else []

    def _waiting_line(self, text: str, when: str, columns: int) -> str:
        about = "is sent once connected" if self.status is None else _WAITS[when]  # type: ignore[index]
        return f"{_DIM}› {_cut(text, columns - len(about) - 8)}  ({about}){_PLAIN}"

    def status_line(self, width: int) -> StyleAndTextTuples:
        """The line under the input."""
        transcript = self._transcript
        facts = Facts(
            model=self._model,
            status=self.status,
            state=transcript.state,
            request=transcript.request_usage,
            elapsed=transcript.elapsed,
            summarising=transcript.compactions.summarising,
            hint="Ctrl-C again leaves" if self.leaving else "",
            connecting="" if self.status else "connecting…",
        )
        return list(status_line(facts, width))


def _cut(text: str, columns: int) -> str:
    """`text` on one line, cut where it would be wider than so many columns."""
    words, room = " ".join(text.split()), max(columns, 8)
    if get_cwidth(words) <= room:
        return words
    while get_cwidth(words) >= room:
        words = words[:-1]
    return f"{words}…"
