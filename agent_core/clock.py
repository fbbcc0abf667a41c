"""The real clock, the one implementation of `Clock` that reads the time."""

import asyncio
import time


class SystemClock:
    """Wall-clock time and real waiting."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
