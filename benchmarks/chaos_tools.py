"""The tools of the chaos soak, and the ledger that they keep of their runs.

The rule here: a run is in the ledger, on the disk, before the tool does anything else. So a tool that ran is known to
have run whatever dies afterwards, and nobody else writes there.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent_core.tools import ToolContext, tool


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tool. `once` says that it must not run again for the same call."""

    session_id: str
    call_id: str
    tool: str
    once: bool


def enter(ledger: str, run: Run) -> None:
    """Append a line and wait until the disk has it."""
    # One write of an appended line is never mixed with another process's.
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(asdict(run)).encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)


def runs_in(ledger: Path) -> Iterator[Run]:
    """Every run that was entered, in order. None if there is no ledger yet."""
    if ledger.exists():
        for line in ledger.read_text().splitlines():
            fields: dict[str, Any] = json.loads(line)
            yield Run(**fields)


@tool(timeout=60)
async def charge(context: ToolContext, ledger: str, seconds: float) -> str:
    """Charge an account: must not happen twice."""
    await asyncio.to_thread(enter, ledger, Run(context.session_id, context.tool_use_id, "charge", once=True))
    await asyncio.sleep(seconds)
    return "charged"


@tool(timeout=60)
def post(context: ToolContext, ledger: str, seconds: float) -> str:
    """Post a letter, in a child process of the executor: must not happen twice."""
    enter(ledger, Run(context.session_id, context.tool_use_id, "post", once=True))
    time.sleep(seconds)
    return "posted"


@tool(timeout=60, idempotent=True)
async def look(context: ToolContext, ledger: str, seconds: float) -> str:
    """Look something up, which does no harm when it is done again."""
    await asyncio.to_thread(enter, ledger, Run(context.session_id, context.tool_use_id, "look", once=False))
    await asyncio.sleep(seconds)
    return "looked"


TOOLS = (charge, post, look)
