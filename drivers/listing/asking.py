"""A question on the terminal that has to be answered before something is lost.

The rule here: only a person answers it. Where there is none, the command has to say `--yes`.
"""

import asyncio
import os
import sys

from agent_core.errors import ConfigError


async def confirmed(question: str, what: str) -> bool:
    """Whether the answer is yes. Raises ConfigError where nobody can be asked, with `what` to do instead."""
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise ConfigError(f"{question} There is no terminal to ask on. {what}")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = await _line(sys.stdin.fileno())
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip().lower() in ("y", "yes")


async def _line(descriptor: int) -> str:
    """A line of the terminal. The loop goes on meanwhile, so that Ctrl-C is heard."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    # A terminal gives what was typed line by line.
    return os.read(descriptor, 4_096).decode(errors="replace")
