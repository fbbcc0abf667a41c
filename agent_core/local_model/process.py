"""One run of the server's program, from its start to its end.

The rule here: this process alone holds the program's standard input open, so that the program ends when this process
does, be it by kill -9.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self
from urllib.parse import urlsplit

_ROOT = Path(__file__).resolve().parents[2]
_LAST_WORDS = 2000
"""Characters of what the program wrote on standard error that are kept for an error's text."""


class StartFailed(Exception):
    """The program ended, or said nothing, before it had an address."""


class ServerProcess:
    """A running server. `port` is where it listens."""

    def __init__(self, process: asyncio.subprocess.Process, errors: IO[bytes], port: int) -> None:
        self._process, self._errors = process, errors
        self.port = port

    @classmethod
    async def start(cls, command: Sequence[str], patience: float) -> Self:
        """Run the program and wait until it writes its address, `patience` seconds at most. Raises StartFailed."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=_environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                # Ctrl-C at a terminal is for us: the server ends after those who use it.
                start_new_session=True,
            )
        except OSError as error:
            errors.close()
            raise StartFailed(f"{command[0]} cannot be run ({error.strerror})") from None
        started = cls(process, errors, 0)
        try:
            started.port = await started._listening(patience)
        except BaseException:
            await started.end()
            raise
        return started

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def wait(self) -> str:
        """Wait until the program has ended, and say how."""
        code = await self._process.wait()
        if code < 0:
            return f"it was killed by signal {-code} ({signal.Signals(-code).name})"
        return f"it ended with exit code {code}"

    def last_words(self) -> str:
        """The end of what the program wrote on standard error."""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _LAST_WORDS))
        return self._errors.read().decode(errors="replace").strip()

    async def end(self) -> None:
        """Kill the program, which has nothing to save, and wait until it is gone."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()
        self._errors.close()

    async def _listening(self, patience: float) -> int:
        if self._process.stdout is None:
            raise StartFailed("its output cannot be read")
        try:
            async with asyncio.timeout(patience):
                line = (await self._process.stdout.readline()).decode(errors="replace").strip()
        except TimeoutError:
            raise StartFailed(f"it did not say its address within {patience:g} seconds") from None
        port = urlsplit(line).port if line.startswith("http://") else None
        if port is None:
            how = await self.wait() if not line else f"it said '{line[:100]}' instead of its address"
            raise StartFailed(": ".join(filter(None, [how, self.last_words()])))
        return port


def _environment() -> dict[str, str]:
    """This process's own, with the checkout first on the module path wherever the program is started."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}
