"""Tools that a module holds, as a user would write them, and what tests need of them in other processes."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agent_core.content import ImageBlock, TextBlock
from agent_core.tools import ToolContext, tool


class Point(BaseModel):
    """A place."""

    x: int
    y: int = 0


@tool
async def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@tool(compact_summary="{a} minus {b} is {output}")
def subtract(a: int, b: int = 0) -> int:
    """Subtract two numbers."""
    return a - b


@tool
def process_id() -> int:
    """Say which process this is."""
    return os.getpid()


@tool
def echo(text: str, note: Path | None = None) -> str:
    """Give the text back, and leave a line in the file `note`."""
    if note is not None:
        with note.open("a") as file:
            file.write("ran\n")
    return text


@tool
async def describe(context: ToolContext, point: Point) -> dict[str, Any]:
    """Say what was given, and in which call."""
    assert isinstance(point, Point)
    return {"x": point.x, "key": context.dedupe_key, "attempt": context.attempt, "session": context.session_id}


@tool
def shout(words: str) -> None:
    """Print to both outputs, from Python and from below it."""
    print(words)
    print(words, file=sys.stderr)
    os.write(1, words.encode())
    subprocess.run([sys.executable, "-c", f"print({words!r})"], check=True)


@tool
def fail(message: str) -> str:
    """Raise."""
    raise ValueError(message)


@tool
def leave(code: int) -> str:
    """End the process without a word."""
    os._exit(code)


@tool
def leave_politely() -> str:
    """Call sys.exit."""
    sys.exit("enough")


@tool
def crash() -> str:
    """Die of a segmentation fault."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return "not reached"


@tool(timeout=0.05)
def hang(started: Path | None = None) -> str:
    """Never return."""
    if started is not None:
        started.write_text(str(os.getpid()))
    threading.Event().wait()
    return "not reached"


@tool
def wait_for_ever(started: Path, *, grandchild: bool = False) -> str:
    """Say where it runs, and never return."""
    if grandchild:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        started.write_text(f"{os.getpid()} {process.pid}")
        process.wait()
    started.write_text(str(os.getpid()))
    threading.Event().wait()
    return "not reached"


@tool(timeout=0.05, idempotent=True, retries=2)
def hang_until_third(note: Path) -> str:
    """Hang twice, then answer."""
    with note.open("a") as file:
        file.write("ran\n")
    if len(note.read_text().splitlines()) < 3:
        threading.Event().wait()
    return "third"


@tool(timeout=0.02)
async def sleep_for_ever() -> str:
    """Wait, and end when cancelled."""
    await asyncio.Event().wait()
    return "not reached"


@tool(timeout=0.02)
async def block_the_loop(seconds: float) -> str:
    """Block the event loop, which an asynchronous tool must not."""
    time.sleep(seconds)  # noqa: ASYNC251 - that is the point
    return "awake"


@tool
def picture() -> list[Any]:
    """Show a picture."""
    return [TextBlock(text="look"), ImageBlock(media_type="image/png", data="aGk="), "and", {"more": 1}]


@tool(output_limit=30)
def count_to(number: int) -> str:
    """Count."""
    return "".join(str(digit % 10) for digit in range(number))


NOT_A_TOOL = 3


def plain(text: str) -> str:
    """A typed function without the decorator."""
    return text


def untyped(text) -> str:
    """A function that no schema can be made of."""
    return text


SET = [add, plain]
TWINS = [tool(plain, name="same"), tool(plain, name="same")]
