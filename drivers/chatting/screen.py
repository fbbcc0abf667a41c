"""The terminal: what is said goes into the scrollback; under it, live part, input and status line are redrawn in place.

The rule here: one writer. Everything on the screen goes through one output, and a change reaches the terminal in one
write, so nothing flickers. The screen knows nothing of sessions; it calls back with what the user does.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples
from prompt_toolkit.history import History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import BufferControl, ConditionalContainer, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.processors import AfterInput, ConditionalProcessor
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from drivers.chatting.devices import SteadyOutput
from drivers.chatting.resizing import ResizingApplication

INPUT_ROWS = 10
SUGGESTION_ROWS = 14

_STYLE = Style.from_dict(
    {
        "prompt": "bold ansicyan",
        "prompt.steer": "bold ansiyellow",
        "toolbar": "fg:ansibrightblack",
        "toolbar.model": "noinherit fg:ansibrightblack bold",
        "toolbar.busy": "noinherit fg:ansiyellow",
        "toolbar.hint": "noinherit fg:ansiyellow",
        "suggestion": "fg:ansicyan",
        "suggestion.about": "fg:ansibrightblack",
        "placeholder": "fg:ansibrightblack",
    }
)


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the screen asks of its owner. `live` gets columns and rows, and returns lines with colour codes."""

    live: Callable[[int, int], Sequence[str]]
    status: Callable[[int], StyleAndTextTuples]
    suggestions: Callable[[str], Sequence[tuple[str, str]]]
    placeholder: Callable[[], str]
    entered: Callable[[str], None]
    interrupt: Callable[[], None]
    leave: Callable[[], None]


class Screen:
    """A prompt that is always there, with a conversation growing above it."""

    def __init__(self, callbacks: Callbacks, *, input: Input, output: Output, history: History | None = None) -> None:  # noqa: A002 - prompt_toolkit's own word
        self._callbacks = callbacks
        self._output = output
        self.buffer = Buffer(multiline=True, history=history or InMemoryHistory())
        self._drawing, self._lines = -1, ()
        self._app = ResizingApplication(
            layout=Layout(self._container(), focused_element=self.buffer),
            key_bindings=self._keys(),
            style=_STYLE,
            include_default_pygments_style=False,
            erase_when_done=True,
            min_redraw_interval=0.03,
            input=input,
            output=output,
        )
        # Without it a lone Escape would be waited for half a second and more, and so would every Alt-Enter.
        self._app.ttimeoutlen = 0.05
        self._app.after_render += lambda _: self._release()

    async def run(self) -> int:
        """Show the screen until `close`, and return the exit code that was given there."""
        try:
            return await self._app.run_async(set_exception_handler=False)
        finally:
            self._release()

    def close(self, code: int) -> None:
        """Take the screen down; `run` returns `code`."""
        if self._app.is_running and not self._app.is_done:
            self._app.exit(result=code)

    def size(self) -> Size:
        """Rows and columns of the terminal now."""
        return self._output.get_size()

    def print(self, text: str) -> None:
        """Put whole lines (each with its end) into the scrollback, above live part and input."""
        if not text:
            return
        if self._app.is_running and not self._app.is_done:
            if isinstance(self._output, SteadyOutput):
                self._output.held = True
            self._app.renderer.erase(leave_alternate_screen=False)
            self._output.write_raw(text)
            self.redraw()
        else:
            self._output.write_raw(text)
            self._output.flush()

    def redraw(self) -> None:
        """Draw again soon; many calls are one drawing."""
        self._app.invalidate()

    def _release(self) -> None:
        if isinstance(self._output, SteadyOutput) and self._output.held:
            self._output.held = False
            self._output.flush()

    # --- layout -------------------------------------------------------------------------------------------------------

    def _container(self) -> HSplit:
        empty = Condition(lambda: not self.buffer.text)
        hint = ConditionalProcessor(AfterInput(self._callbacks.placeholder, style="class:placeholder"), empty)
        entry = Window(
            BufferControl(self.buffer, input_processors=[hint]),
            get_line_prefix=self._prefix,
            height=Dimension(min=1, max=INPUT_ROWS),
            wrap_lines=True,
            dont_extend_height=True,
        )
        suggestions = ConditionalContainer(
            Window(FormattedTextControl(self._suggestions), dont_extend_height=True),
            Condition(lambda: bool(self._suggested())),
        )
        return HSplit(
            [
                ConditionalContainer(
                    Window(FormattedTextControl(self._live), dont_extend_height=True),
                    Condition(lambda: bool(self._live_lines())),
                ),
                Window(height=1),
                entry,
                suggestions,
                Window(FormattedTextControl(lambda: self._callbacks.status(self.size().columns)), height=1),
            ]
        )

    def _prefix(self, line: int, wrap: int) -> StyleAndTextTuples:
        if line or wrap:
            return [("", "  ")]
        return [("class:prompt.steer" if self.buffer.text.startswith("!") else "class:prompt", "› ")]

    def _live(self) -> ANSI:
        return ANSI("\n".join(self._live_lines()))

    def _live_lines(self) -> Sequence[str]:
        """The live part, made once for each drawing."""
        if self._drawing != self._app.render_counter:
            self._drawing = self._app.render_counter
            size = self.size()
            below = min(self.buffer.document.line_count, INPUT_ROWS) + len(self._suggested()) + 3
            self._lines = self._callbacks.live(size.columns, size.rows - below)
        return self._lines

    def _suggested(self) -> Sequence[tuple[str, str]]:
        text = self.buffer.text
        if not text.startswith("/") or any(mark in text for mark in " \n"):
            return ()
        return self._callbacks.suggestions(text)[:SUGGESTION_ROWS]

    def _suggestions(self) -> StyleAndTextTuples:
        lines: StyleAndTextTuples = []
        suggested = self._suggested()
        widest = max((len(usage) for usage, _ in suggested), default=0)
        for number, (usage, about) in enumerate(suggested):
            lines += [
                ("", "\n" if number else ""),
                ("class:suggestion", f"  {usage:<{widest}}  "),
                ("class:suggestion.about", about[: max(self.size().columns - widest - 4, 0)]),
            ]
        return lines

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        keys.add("enter")(self._enter)
        keys.add("escape", "enter")(self._newline)
        keys.add("c-j")(self._newline)
        keys.add("tab")(self._complete)
        keys.add("c-c")(lambda _: self._callbacks.interrupt())
        keys.add(Keys.SIGINT)(lambda _: self._callbacks.interrupt())
        keys.add("c-d", filter=Condition(lambda: not self.buffer.text))(lambda _: self._callbacks.leave())
        keys.add("c-z")(lambda event: event.app.suspend_to_background())
        return keys

    def _enter(self, _event: KeyPressEvent) -> None:
        text = self.buffer.text
        if self.buffer.document.text_before_cursor.endswith("\\"):
            self.buffer.delete_before_cursor()
            self.buffer.newline(copy_margin=False)
        elif text.strip():
            # A full disk takes the memory of what was typed, and nothing else.
            with contextlib.suppress(OSError):
                self.buffer.append_to_history()
            self.buffer.reset()
            self._callbacks.entered(text)

    def _newline(self, _event: KeyPressEvent) -> None:
        self.buffer.newline(copy_margin=False)

    def _complete(self, _event: KeyPressEvent) -> None:
        """Write the command out, as far as what is written says which it is."""
        names = [usage.split()[0] for usage, _ in self._suggested()]
        common = os.path.commonprefix(names)  # noqa: RUF071 - of the characters, which are no paths
        if len(common) > len(self.buffer.text) or len(names) == 1:
            self.buffer.text = common + (" " if len(names) == 1 else "")
            self.buffer.cursor_position = len(self.buffer.text)
