"""Messages from standard input, whatever it is: a pipe, a file, a terminal.

The rule here: reading holds nobody up. A program that is told to end does not wait for one that never writes, and a
writer that never ends fills no memory.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator

from agent_core.errors import ConfigError

STDIN = 0
CHUNK_BYTES = 65536


async def read_messages(*, lines: bool, descriptor: int = STDIN) -> AsyncIterator[str]:
    """The whole input as one message, or each line that says something. Raises ConfigError for what is no UTF-8."""
    pending = b""
    async for chunk in _chunks(descriptor):
        pending += chunk
        if lines and b"\n" in chunk:
            *whole, pending = pending.split(b"\n")
            for line in whole:
                if text := _decoded(line):
                    yield text
    if text := _decoded(pending):
        yield text


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    """What is read, one chunk at a time: the next one is read when this one is done with."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    wanted = threading.Semaphore(1)

    def read() -> None:
        data: bytes | OSError = b"more"
        # The loop may be gone before the next chunk comes; then nobody wants it.
        with contextlib.suppress(RuntimeError):
            while data and not isinstance(data, OSError):
                wanted.acquire()
                try:
                    data = os.read(descriptor, CHUNK_BYTES)
                except OSError as error:
                    data = error
                loop.call_soon_threadsafe(chunks.put_nowait, data)

    # A daemon: it may sit in a read that never ends, which no thread can be called back from.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    while data := await chunks.get():
        if isinstance(data, OSError):
            raise ConfigError(f"stdin cannot be read ({data.strerror}). Write to it: echo hi | python -m drivers.chat")
        yield data
        wanted.release()


def _decoded(part: bytes) -> str:
    try:
        return part.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"stdin is not UTF-8 text (byte {part[error.start]:#04x} at {error.start}). Convert it first, for example"
            " with: iconv -f latin1 -t utf-8"
        ) from None
