"""One session, watched: what it says as it says it, and the keys that interrupt or compact it.

The rule here: it looks on. A session that is put away, moves or dies while it is watched is said to have done so, and
is looked for again with every snapshot.
"""

import textwrap
from contextlib import aclosing
from functools import partial
from typing import Any, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Footer, RichLog, Static
from textual.worker import Worker

from agent_core.cluster_snapshot import ClusterSnapshot
from agent_core.errors import RayconteurError
from agent_core.glance import SessionLine
from agent_core.payloads import InterruptMode
from drivers.chatting.figures import count
from drivers.watching.asking import AskInterrupt
from drivers.watching.figures import STATE_WORDS, on_one_line
from drivers.watching.narration import Line, Narration
from drivers.watching.source import Source

_LIVE_LINES = 8
_MOST_LINES = 5000


class SessionScreen(Screen[None]):
    """A session's events, live."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back"),
        Binding("i", "interrupt", "Interrupt"),
        Binding("c", "compact", "Compact"),
        Binding("end", "newest", "Newest"),
    ]

    def __init__(self, source: Source, line: SessionLine) -> None:
        super().__init__()
        self._source, self._line = source, line
        self._narration = Narration()
        self._watch_under_way: Worker[None] | None = None
        self._resting = False
        self._note = ""

    @property
    def line(self) -> SessionLine:
        """The session as it was seen last."""
        return self._line

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="about")
        with Vertical():
            yield RichLog(id="told", wrap=True, markup=False, highlight=False, max_lines=_MOST_LINES, min_width=20)
            yield Static(id="live", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self._describe()
        if self._watch_under_way is None:
            self._begin()

    def refreshed(self, snapshot: ClusterSnapshot) -> None:
        """A new snapshot has come: it may have the session elsewhere, or not at all."""
        if not self.query("#live"):
            return
        found = next((line for line in snapshot.also if _same(line, self._line)), None)
        self._resting = found is None
        if found is not None:
            moved = found.actor != self._line.actor
            self._line = found
            if moved or self._watch_under_way is None or self._watch_under_way.is_finished:
                self._begin()
        self._describe()

    def _describe(self) -> None:
        line = self._line
        state = "at rest, or its actor does not answer" if self._resting else STATE_WORDS[line.state]
        self.query_one("#title", Static).update(
            Text(f"session {on_one_line(line.session_id, 50)}  {state}", no_wrap=True)
        )
        used = count(line.context_used)
        share = f"{used} of {count(line.context_limit)}" if line.context_limit else used
        figures = f"turns {line.turns}  messages {line.messages}  queue {line.queued}  context {share}"
        about = [
            f"{line.model}  in {line.actor} of {line.runtime}",
            f"{figures}  compactions {line.compactions}",
            *([" ".join(f"{name}={value}" for name, value in line.labels.items())] if line.labels else []),
        ]
        self.query_one("#about", Static).update(Text("\n".join(on_one_line(text, 200) for text in about), no_wrap=True))

    # --- what it says -----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._watch_under_way = self.run_worker(self._watch, group="watch", exclusive=True, exit_on_error=False)

    async def _watch(self) -> None:
        """Tell what comes until it ends. It is told from some records before; so the log begins anew with the first."""
        self._narration, first = Narration(), True
        try:
            async with aclosing(cast("Any", self._source.watch(self._line))) as events:
                async for event in events:
                    if first and self.is_mounted:
                        self.query_one("#told", RichLog).clear()
                    first, self._note = False, ""
                    self._tell(self._narration.tell(event.payload))
            self._say_once(Line("· at rest: whoever sends it a message wakes it", "dim"))
        except RayconteurError as error:
            self._say_once(Line(f"! {on_one_line(error.message, 300)}", "red"))

    def _say_once(self, line: Line) -> None:
        """Say how a watch ended, once though it is tried again and again."""
        if line.text != self._note:
            self._note = line.text
            self._tell([line])

    def _tell(self, lines: list[Line]) -> None:
        if not self.is_mounted:
            return
        log = self.query_one("#told", RichLog)
        at_end = log.is_vertical_scroll_end
        for text, style in lines:
            log.write(Text(text, style=style), expand=True, scroll_end=at_end)
        width = max(20, self.size.width - 2)
        said = self._narration.live[-2 * _LIVE_LINES * width :].splitlines()
        live = [piece for line in said for piece in (textwrap.wrap(line, width) or [""])][-_LIVE_LINES:]
        self.query_one("#live", Static).update(Text("\n".join(live)))
        if at_end:
            # What is said now takes room from what was said before.
            self.call_after_refresh(log.scroll_end, animate=False)

    def action_newest(self) -> None:
        self.query_one("#told", RichLog).scroll_end(animate=False)

    # --- what it is told --------------------------------------------------------------------------------------------

    def action_back(self) -> None:
        self.workers.cancel_node(self)
        self.dismiss()

    def action_interrupt(self) -> None:
        self.app.push_screen(AskInterrupt(self._line.session_id), self._interrupt)

    def _interrupt(self, mode: InterruptMode | None) -> None:
        if mode is not None:
            self.run_worker(partial(self._interrupted, mode), group="told", exit_on_error=False)

    async def _interrupted(self, mode: InterruptMode) -> None:
        try:
            was_open = await self._source.interrupt(self._line, mode)
        except RayconteurError as error:
            self.notify(on_one_line(error.message, 200), severity="error", markup=False)
        else:
            self.notify("interrupted" if was_open else "there was no turn to interrupt")

    def action_compact(self) -> None:
        self.notify("compacting")
        self.run_worker(self._compacted, group="told", exit_on_error=False)

    async def _compacted(self) -> None:
        try:
            result = await self._source.compact(self._line)
        except RayconteurError as error:
            self.notify(on_one_line(error.message, 200), severity="error", markup=False)
            return
        if result.compacted:
            self.notify(f"compacted: {count(result.tokens_before)} to {count(result.tokens_after)} tokens")
        else:
            why = result.error or result.reason or "there is nothing to compact"
            self.notify(f"not compacted: {on_one_line(why, 150)}", severity="warning", markup=False)


def _same(one: SessionLine, other: SessionLine) -> bool:
    return (one.runtime, one.session_id) == (other.runtime, other.session_id)
