"""Results that are no file: taken from the one that the run writes, line by line, to where they belong.

The rule here: a line goes on whole, once, and in the order in which it was written.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from agent_core.evaluation.results_file import ResultsFile

PERIOD = 0.1


@asynccontextmanager
async def pumped(source: Path, target: ResultsFile) -> AsyncGenerator[None]:
    """Write the lines of `source` to the target while entered, unless they are one and the same file.

    Raises OSError if the target cannot be written.
    """
    if target.regular:
        yield
        return
    pump = _Pump(source, target)
    pumping = asyncio.create_task(pump.keep_on())
    try:
        yield
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)
    pump.move()


class _Pump:
    def __init__(self, source: Path, target: ResultsFile) -> None:
        self._source, self._target, self._at = source, target, 0

    async def keep_on(self) -> None:
        while True:
            self.move()
            await asyncio.sleep(PERIOD)

    def move(self) -> None:
        if not self._source.exists():
            return
        with self._source.open("rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._target.write(line)
                self._at += len(line)
