"""Pieces and the live part as terminal text: lines with colour codes, none wider than the terminal, none padded.

The rule here: the same piece looks the same whether it streams, has been said, or is shown again from the history.
Colours are the terminal's own sixteen, so that they fit a light screen as well as a dark one.
"""

import json
from collections.abc import Sequence
from typing import Any, assert_never

from rich.console import COLOR_SYSTEMS, Console, Group, RenderableType
from rich.markdown import CodeBlock, Heading, Markdown
from rich.padding import Padding
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from drivers.chatting.figures import duration
from drivers.chatting.markdown_stream import end_of, mended
from drivers.chatting.pieces import (
    Answered,
    Listed,
    Noted,
    Piece,
    Printed,
    Summarised,
    Thought,
    ToolUsed,
    UserSaid,
    clean,
)
from drivers.chatting.transcript import Live

# Longer lines of prose are hard to read, however wide the terminal is.
PROSE_WIDTH = 100
RESULT_LINES = 4
# Of what the user said, this much is shown.
SAID_LINES = 20
SAID_CHARACTERS = 1600
THOUGHT_LINES = 6
INPUT_CHARACTERS = 60

_THEME = Theme(
    {
        "markdown.code": Style(color="cyan"),
        "markdown.h1": Style(bold=True, underline=True),
        "markdown.h2": Style(bold=True),
        "markdown.h3": Style(bold=True),
        "markdown.h4": Style(bold=True, dim=True),
        "markdown.item.bullet": Style(dim=True),
        "markdown.item.number": Style(dim=True),
        "markdown.block_quote": Style(dim=True),
        "markdown.hr": Style(dim=True),
        "markdown.link": Style(underline=True),
        "markdown.link_url": Style(dim=True),
        "markdown.table.header": Style(bold=True),
        "markdown.table.border": Style(dim=True),
        "note.info": Style(dim=True),
        "note.good": Style(color="green"),
        "note.warning": Style(color="yellow"),
        "note.error": Style(color="red"),
    }
)


class _Heading(Heading):
    LEVEL_ALIGN = dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "left")


class _CodeBlock(CodeBlock):
    """Code without a box around it, so that it can be copied from the screen."""

    def __rich_console__(self, console: Console, options: Any) -> Any:
        code = Syntax(
            str(self.text).rstrip(), self.lexer_name, theme="ansi_dark", background_color="default", word_wrap=True
        )
        yield Padding(code, (0, 0, 0, 2), expand=False)


class _Markdown(Markdown):
    elements = Markdown.elements | {"heading_open": _Heading, "fence": _CodeBlock, "code_block": _CodeBlock}


class Renderer:
    """Makes text for one terminal. `colors`: none, or the colour system's name as rich knows it."""

    def __init__(self, *, colors: str | None = "256") -> None:
        self._colors = COLOR_SYSTEMS[colors] if colors else None
        self._console = Console(
            color_system=colors,  # type: ignore[arg-type]
            force_terminal=True,
            no_color=colors is None,
            theme=_THEME,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )

    def above(self, pieces: Sequence[Piece], width: int, before: Piece | None = None, *, whole: bool = False) -> str:
        """`pieces` for the scrollback, each line ended; an empty line parts one from the one `before` it.

        `whole` cuts nothing short: no thought, no pasted text, no result.
        """
        lines: list[str] = []
        for piece in pieces:
            if not _belongs_to(piece, before):
                lines.append("")
            lines += self.lines(self._renderable(piece, whole=whole), width)
            before = piece
        return "".join(f"{line}\r\n" for line in lines)

    def live(self, live: Live, width: int, rows: int) -> list[str]:
        """The last `rows` lines of what still grows. Its beginning is shown once it is whole."""
        lines: list[str] = []
        if thinking := live.thinking.strip():
            lines += [
                "",
                *self.lines(_thought_text(f"✻ {end_of(thinking, THOUGHT_LINES * 2)}"), width)[-THOUGHT_LINES:],
            ]
        for index, tool in enumerate(live.tools):
            lines += ["", *self.lines(_tool(tool), width)] if index == 0 else self.lines(_tool(tool), width)
        if live.answer.strip():
            lines += ["", *self.lines(_markdown(mended(end_of(live.answer, max(rows, 1)))), width)]
        if live.drafted is not None:
            name, text = live.drafted
            lines += ["", *self.lines(_cut(f"● {name}({text}", width - 1, style="dim"), width)]
        return lines[-rows:] if rows > 0 else []

    def lines(self, renderable: RenderableType, width: int) -> list[str]:
        """Lines of text with colour codes, nothing after the last visible character of each."""
        options = self._console.options.update(width=max(width, 20), height=None, highlight=False)
        rendered = self._console.render_lines(renderable, options, pad=False)
        lines = [self._line(segments) for segments in rendered]
        # Some blocks of Markdown bring empty lines of their own; what parts pieces is decided in one place.
        visible = [number for number, line in enumerate(lines) if line.strip()]
        return lines[visible[0] : visible[-1] + 1] if visible else []

    def _line(self, segments: Sequence[Any]) -> str:
        kept = list(segments)
        while kept and not kept[-1].text.strip() and not (kept[-1].style and kept[-1].style.underline):
            kept.pop()
        if kept and (last := kept[-1]).text != last.text.rstrip():
            kept[-1] = type(last)(last.text.rstrip(), last.style)
        return "".join(
            part.style.render(part.text, color_system=self._colors) if part.style and self._colors else part.text
            for part in kept
            if part.text and not part.control
        )

    def _renderable(self, piece: Piece, *, whole: bool) -> RenderableType:
        match piece:
            case UserSaid():
                return _user(piece, whole=whole)
            case Answered():
                return _markdown(piece.markdown)
            case Thought():
                return _thought(piece, whole=whole)
            case ToolUsed():
                return _tool(piece, whole=whole)
            case Summarised():
                return _summary(piece)
            case Noted():
                return _note(piece)
            case Listed():
                return _listed(piece)
            case Printed():
                return _prose(Text(f"│ {piece.text}", style="dim", overflow="fold"))
            case _:
                assert_never(piece)


def _belongs_to(piece: Piece, before: Piece | None) -> bool:
    """Whether a piece stands right under the one before it."""
    return isinstance(piece, ToolUsed | Printed) and type(piece) is type(before)


def _user(piece: UserSaid, *, whole: bool) -> RenderableType:
    table = Table.grid(padding=0)
    table.add_column(width=2)
    table.add_column()
    mark = Text("! " if piece.steered else "› ", style="bold cyan")
    said = Text(piece.text if whole else _beginning(piece.text), style="bold", overflow="fold")
    if hidden := len(piece.text) - len(said.plain):
        said.append(f" … {hidden:,} more characters", style="not bold dim")
    table.add_row(mark, said)
    return _prose(table)


def _beginning(text: str) -> str:
    """As much of a message as is shown: whoever pasted a book into the chat need not scroll past it."""
    if len(text) <= SAID_CHARACTERS and text.count("\n") < SAID_LINES:
        return text
    return "\n".join(text[:SAID_CHARACTERS].split("\n")[:SAID_LINES])


def _markdown(text: str) -> RenderableType:
    # A table or a wide line of code may use the whole terminal; prose may not.
    wide = text.lstrip().startswith(("|", "```", "~~~"))
    made = _Markdown(text, hyperlinks=False)
    return made if wide else _prose(made)


def _prose(renderable: RenderableType) -> RenderableType:
    return Constrained(renderable)


class Constrained:
    """A renderable no wider than prose should be."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: Any) -> Any:
        width = min(options.max_width, PROSE_WIDTH)
        yield from console.render(self._inner, options.update(width=width))


def _thought(piece: Thought, *, whole: bool) -> RenderableType:
    lines = piece.text.splitlines()
    took = f" for {duration(piece.seconds)}" if piece.seconds and piece.seconds >= 0.1 else ""
    shown = lines if whole else lines[:THOUGHT_LINES]
    parts: list[RenderableType] = [Text(f"✻ thought{took}", style="dim"), _thought_text("\n".join(shown))]
    if len(lines) > len(shown):
        parts.append(Text(f"  … {len(lines) - len(shown)} more lines, /thinking shows them", style="dim"))
    return Group(*parts)


def _thought_text(text: str) -> RenderableType:
    return _prose(Padding(Text(text, style="dim italic", overflow="fold"), (0, 0, 0, 2)))


def _tool(piece: ToolUsed, *, whole: bool = False) -> RenderableType:
    color = "red" if piece.is_error else "green" if piece.result is not None else "yellow"
    call = Text.assemble(
        ("● ", color), (piece.name, "bold"), (f"({_arguments(piece.input, whole=whole)})", "dim"), overflow="fold"
    )
    if piece.result is None:
        return _prose(call)
    return Group(_prose(call), _result(piece, whole=whole))


def _result(piece: ToolUsed, *, whole: bool) -> RenderableType:
    lines = [line.rstrip() for line in piece.result.strip("\n").splitlines()] if piece.result else []
    style = "red" if piece.is_error else "dim"
    shown = lines if whole else lines[:RESULT_LINES]
    body = Text("\n".join(shown) or "(nothing)", style=style, overflow="fold")
    if len(lines) > len(shown):
        body.append(f"\n… {len(lines) - len(shown)} more lines", style="dim")
    about = [piece.outcome.replace("_", " ")] if piece.outcome not in ("", "ok", "external") else []
    if piece.seconds is not None and piece.seconds >= 0.1:
        about.append(duration(piece.seconds))
    if about:
        body.append(f"  ({', '.join(about)})", style="dim")
    table = Table.grid(padding=0)
    table.add_column(width=4)
    table.add_column()
    table.add_row(Text("  ⎿ ", style="dim"), body)
    return _prose(table)


def _arguments(given: dict[str, Any], *, whole: bool) -> str:
    """A call's input, short: every name, and as much of each value as fits."""
    texts = {name: clean(json.dumps(value, ensure_ascii=False)) for name, value in given.items()}
    return ", ".join(f"{name}={text if whole else _cut_text(text)}" for name, text in texts.items())


def _cut_text(text: str) -> str:
    return text if len(text) <= INPUT_CHARACTERS else text[: INPUT_CHARACTERS - 1] + "…"


def _summary(piece: Summarised) -> RenderableType:
    text = Text(piece.text, style="dim", overflow="fold")
    if piece.hidden:
        text.append(f"\n… {piece.hidden} more lines, /history shows them", style="dim")
    covers = f"up to {piece.until}" if piece.until else "before"
    return Group(Text(f"≡ summary of what was said {covers}", style="dim bold"), _prose(Padding(text, (0, 0, 0, 2))))


def _cut(text: str, width: int, *, style: str) -> Text:
    made = Text(text.replace("\n", " "), style=style, no_wrap=True)
    made.truncate(width, overflow="ellipsis")
    return made


def _note(piece: Noted) -> RenderableType:
    mark = {"info": "· ", "good": "✓ ", "warning": "! ", "error": "✗ "}[piece.level]
    table = Table.grid(padding=0)
    table.add_column(width=2)
    table.add_column()
    table.add_row(
        Text(mark, style=f"note.{piece.level}"), Text(piece.text, style=f"note.{piece.level}", overflow="fold")
    )
    return _prose(table)


def _listed(piece: Listed) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in piece.rows:
        table.add_row(Text(f"  {name}", style="cyan"), Text(value))
    return _prose(Group(Text(piece.heading, style="bold"), table))
