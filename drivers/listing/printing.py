"""What the program says on stdout: drawn in a terminal, plain through a pipe.

The rule here: colour only where a person sees it and has not refused it (NO_COLOR).
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from drivers.chatting.pieces import Piece
from drivers.chatting.rendering import Renderer
from drivers.listing.table import Row, table


def print_list(rows: Sequence[Row], now: float, *, as_json: bool) -> None:
    """A list of sessions at the time `now` (seconds since the epoch)."""
    if as_json or not sys.stdout.isatty():
        for row in rows:
            print(row.data if as_json else row.plain)
    elif rows:
        console = Console(highlight=False, markup=False, emoji=False)
        for line in table(rows, now, console.width):
            console.print(line, overflow="ignore", crop=False, no_wrap=True)


async def print_pieces(parts: Iterator[Sequence[Piece]], *, whole: bool) -> None:
    """A conversation, part by part."""
    at_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    renderer = Renderer(colors="standard" if at_terminal and "NO_COLOR" not in os.environ else None)
    width = shutil.get_terminal_size().columns
    before: Piece | None = None
    for pieces in parts:
        if pieces:
            text = renderer.above(pieces, width, before, whole=whole).replace("\r\n", "\n")
            sys.stdout.write(text.removeprefix("\n") if before is None else text)
            before = pieces[-1]
        # Ctrl-C is heard between two turns.
        await asyncio.sleep(0)
    sys.stdout.flush()


def print_data(data: dict[str, Any]) -> None:
    """One JSON value."""
    print(json.dumps(data, ensure_ascii=False))
