"""Whether a model server answers: `GET /health`, as llama.cpp's server has it.

The rule here: a probe opens a connection of its own, so that it learns whether new callers get through.
"""

import asyncio
import contextlib


async def is_healthy(host: str, port: int, seconds: float) -> bool:
    """Whether the server says within that many seconds that it is ready."""
    try:
        async with asyncio.timeout(seconds):
            return await _probe(host, port)
    except (OSError, TimeoutError):
        return False


async def _probe(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /health HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        status = await reader.readline()
        return status.split()[1:2] == [b"200"]
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
