"""The screen of `python -m drivers.top`: figures, and tables of sessions, actors and nodes, drawn again and again.

The rule here: it draws what the source says and decides nothing. What goes wrong while asking is said on the screen,
with how old the figures are, and asked again.
"""

import asyncio
import textwrap
import time
from collections import deque
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import ContentSwitcher, DataTable, Footer, Input, Static

from agent_core.cluster_snapshot import ClusterSnapshot, Rates, rates
from agent_core.errors import RayconteurError
from agent_core.glance import GlanceRequest, SessionLine, SessionOrder
from agent_core.payloads import SessionState
from drivers.errors import INTERRUPTED
from drivers.watching.asking import Help
from drivers.watching.figures import STATE_WORDS, course, figure_lines, on_one_line, rate, runtimes_text
from drivers.watching.session_screen import SessionScreen
from drivers.watching.source import Source
from drivers.watching.tables import TABLES, columns, head_of, rows_of

_WINDOW = 10.0
# Longer than an actor is waited for.
_LATE = 5.0
_ORDERS: tuple[SessionOrder, ...] = ("recent", "id", "context", "tokens", "queued")
_STATES: tuple[SessionState | None, ...] = (None, *STATE_WORDS)
_COURSE = 20


# What the keys of the first screen do; over another one they do nothing.
_OF_TABLES = {"search", "sort", "filter", "runtime", "pause", "show", "unsearch"}


class Table(DataTable[Text]):
    """A table whose footer says that Enter opens a row."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select_cursor", "Open")]


class Top(App[int]):
    """The screen. `asked` is what is looked for at first, `runtime` the one that is shown, None for all."""

    TITLE = "rayconteur top"
    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = "top.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "interrupted", show=False, priority=True),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("f", "filter", "State"),
        Binding("r", "runtime", "Runtime"),
        Binding("p", "pause", "Pause", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("1", "show('sessions')", show=False),
        Binding("2", "show('actors')", show=False),
        Binding("3", "show('nodes')", show=False),
        Binding("escape", "unsearch", show=False),
    ]

    def __init__(
        self, source: Source, *, interval: float = 1.0, asked: GlanceRequest | None = None, runtime: str | None = None
    ) -> None:
        super().__init__()
        self._source, self._interval = source, interval
        self._asked, self._runtime = asked or GlanceRequest(), runtime
        self._seen: deque[ClusterSnapshot] = deque()
        self._turns: deque[float] = deque(maxlen=_COURSE)
        self._lines: dict[str, SessionLine] = {}
        self._trouble = ""
        self._paused = False
        self._waits_since: float | None = None
        self._wake = asyncio.Event()

    @property
    def failure(self) -> Exception | None:
        """What ended the screen, if it was a fault of ours: Textual keeps it, and only prints it."""
        return self._exception

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="figures")
        yield Static(id="tabs")
        yield Input(id="search", placeholder="how an id or a label begins", compact=True)
        with ContentSwitcher(initial="sessions", id="tables"):
            for name in TABLES:
                yield Table(id=name, cursor_type="row", zebra_stripes=True)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self.query_one("#search", Input).display = False
        self._table().focus()
        self._draw()
        self.run_worker(self._follow, group="follow", exit_on_error=True)
        self.set_interval(1.0, self._say_that_it_waits)

    def _say_that_it_waits(self) -> None:
        """An answer that is late is late because of somebody: say so before it is given up."""
        if self._waits_since is not None and (waited := time.monotonic() - self._waits_since) > _LATE:
            self._trouble = f"The cluster has not answered for {waited:.0f} s."
            self._draw()

    # --- what comes -------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Ask again and again, at once when something else is asked for."""
        while True:
            self._wake.clear()
            if not self._paused:
                await self._ask()
            try:
                async with asyncio.timeout(self._interval):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def look_now(self) -> None:
        """Ask at once."""
        self._wake.set()

    async def _ask(self) -> None:
        asked, runtime = self._asked, self._runtime
        opened = next((screen.line for screen in self.screen_stack if isinstance(screen, SessionScreen)), None)
        more = asked.model_copy(update={"also": opened.session_id if opened else None})
        self._waits_since = time.monotonic()
        try:
            snapshot = await self._source.snapshot(more, runtime)
        except RayconteurError as error:
            self._trouble = error.message
        except Exception as error:  # noqa: BLE001 - whatever Ray raises when its cluster ends under it
            self._trouble = f"{type(error).__name__}: {error}"
        else:
            self._trouble = ""
            if (asked, runtime) == (self._asked, self._runtime):
                self._take(snapshot, more.also)
        finally:
            self._waits_since = None
        self._draw()

    def _take(self, snapshot: ClusterSnapshot, opened: str | None) -> None:
        self._seen.append(snapshot)
        while len(self._seen) > 2 and snapshot.at - self._seen[1].at >= _WINDOW:
            self._seen.popleft()
        if len(self._seen) > 1:
            self._turns.append(rates((self._seen[-2], snapshot)).turns)
        self._fill()
        for screen in self.screen_stack:
            if isinstance(screen, SessionScreen) and opened == screen.line.session_id:
                screen.refreshed(snapshot)

    @property
    def _now(self) -> Rates | None:
        return rates(self._seen) if len(self._seen) > 1 else None

    # --- what is drawn ----------------------------------------------------------------------------------------------

    def _table(self, name: str | None = None) -> DataTable[Any]:
        shown = name or self.screen_stack[0].query_one("#tables", ContentSwitcher).current or "sessions"
        return self.screen_stack[0].query_one(f"#{shown}", DataTable)

    def _fill(self) -> None:
        """Fill the tables anew; the row that was chosen stays so, wherever it is now."""
        if not self._is_there:
            return
        snapshot, width = self._seen[-1], self.size.width
        self._lines = {f"{line.runtime}/{line.session_id}": line for line in snapshot.sessions}
        for name in TABLES:
            table = self._table(name)
            at = table.cursor_row
            known = [key.value for key in table.rows]
            chosen = known[at] if 0 <= at < len(known) else None
            table.clear(columns=True)
            for head, wide in columns(name, width):
                table.add_column(head_of(head), width=wide)
            for key, cells in rows_of(name, snapshot, self._now, width):
                table.add_row(*cells, key=key)
            keys = [key.value for key in table.rows]
            # Who has not moved down sees the first rows, whichever they are.
            row = keys.index(chosen) if at and chosen in keys else min(at, max(0, len(keys) - 1))
            table.move_cursor(row=row, animate=False)

    @property
    def _is_there(self) -> bool:
        """Whether there is something to draw on: not before it was composed, nor once the screen is left."""
        return bool(self.screen_stack) and len(self.screen_stack[0].query("#tables DataTable")) == len(TABLES)

    def _draw(self) -> None:
        if not self._is_there:
            return
        base = self.screen_stack[0]
        snapshot = self._seen[-1] if self._seen else None
        where = snapshot.address if snapshot else "…"
        told = runtimes_text(snapshot, self._runtime) if snapshot else "joining the cluster"
        more = "  (r: one of them)" if snapshot and self._runtime is None and len(snapshot.runtimes) > 1 else ""
        base.query_one("#title", Static).update(Text(f"rayconteur top  {where}  {told}{more}", no_wrap=True))
        base.query_one("#figures", Static).update(self._figures(snapshot))
        base.query_one("#tabs", Static).update(self._tabs(snapshot))

    def _figures(self, snapshot: ClusterSnapshot | None) -> Text:
        lines = figure_lines(snapshot, self._now) if snapshot else ["", "", ""]
        if self._now is not None and len(lines[0]) + _COURSE + 14 < self.size.width:
            said = f"{course(self._turns, _COURSE)} turns/s {rate(self._turns[-1] if self._turns else 0)}"
            lines[0] = lines[0].ljust(self.size.width - len(said) - 3) + said
        if self._trouble:
            old = f"as of {max(0, time.time() - snapshot.at):.0f} s ago. " if snapshot else ""
            said = on_one_line(f"! {old}{self._trouble}", 2 * self.size.width - 12)
            lines[1:] = textwrap.wrap(said, max(20, self.size.width - 2))[:2]
        return Text("\n".join(lines), no_wrap=True, style="bold red" if self._trouble else "")

    def _tabs(self, snapshot: ClusterSnapshot | None) -> Text:
        counts = {
            "sessions": snapshot.matching if snapshot else 0,
            "actors": len(snapshot.actors) if snapshot else 0,
            "nodes": sum(node.alive for node in snapshot.nodes) if snapshot else 0,
        }
        shown = self.screen_stack[0].query_one("#tables", ContentSwitcher).current
        text = Text(no_wrap=True)
        for number, name in enumerate(TABLES, 1):
            text.append(f" {number} {name} {counts[name]:,} ", style="reverse" if name == shown else "")
        text.append(f"  sort {self._asked.order}")
        if self._asked.states:
            text.append(f"  state {STATE_WORDS[self._asked.states[0]]}")
        if self._asked.search:
            text.append(f"  search {on_one_line(self._asked.search, 24)}")
        if snapshot and snapshot.silent:
            text.append(f"  {len(snapshot.silent)} silent", style="bold red")
        if self._paused:
            text.append("  PAUSED", style="bold")
        return text

    def on_resize(self) -> None:
        if self._seen:
            self._fill()
        self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        return action not in _OF_TABLES or len(self.screen_stack) == 1

    # --- keys -------------------------------------------------------------------------------------------------------

    def _look_for(self, **changes: Any) -> None:
        self._asked = self._asked.model_copy(update=changes)
        self._draw()
        self._wake.set()

    def action_sort(self) -> None:
        self._look_for(order=_ORDERS[(_ORDERS.index(self._asked.order) + 1) % len(_ORDERS)])

    def action_filter(self) -> None:
        shown = self._asked.states[0] if self._asked.states else None
        state = _STATES[(_STATES.index(shown) + 1) % len(_STATES)]
        self._look_for(states=(state,) if state else ())

    def action_runtime(self) -> None:
        names: list[str | None] = [None, *(self._seen[-1].runtimes if self._seen else ())]
        at = names.index(self._runtime) if self._runtime in names else -1
        self._runtime = names[(at + 1) % len(names)]
        self._seen.clear()
        self._turns.clear()
        self._draw()
        self._wake.set()

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._draw()

    def action_show(self, name: str) -> None:
        self.query_one("#tables", ContentSwitcher).current = name
        self._table().focus()
        self._draw()

    def action_search(self) -> None:
        search = self.query_one("#search", Input)
        search.display = True
        search.value = self._asked.search
        search.focus()

    def action_unsearch(self) -> None:
        self.query_one("#search", Input).display = False
        self._table().focus()
        if self._asked.search:
            self._look_for(search="")

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.display and event.value != self._asked.search:
            self._look_for(search=event.value)

    def on_input_submitted(self) -> None:
        self.query_one("#search", Input).display = False
        self._table().focus()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        line = self._lines.get(event.row_key.value or "")
        if event.data_table.id == "sessions" and line is not None:
            self.push_screen(SessionScreen(self._source, line))

    def action_help(self) -> None:
        self.push_screen(Help())

    def action_interrupted(self) -> None:
        self.exit(INTERRUPTED, return_code=INTERRUPTED)
