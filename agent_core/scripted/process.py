"""The scripted model server in a process of its own, for measurements and for tests of many processes.

The rule here: the process ends with its context, and with its parent, since it reads a pipe that the parent alone
holds open.
"""

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from agent_core.scripted.script import Script

_START_S = 30.0
_STOP_S = 5.0
_ROOT = Path(__file__).resolve().parents[2]


class ScriptedServerProcess:
    """`async with ScriptedServerProcess(script) as server: server.url` runs the server beside this process.

    Raises RuntimeError with the program's own message if it does not start within 30 seconds.
    """

    def __init__(self, script: Script | None = None, *, port: int = 0) -> None:
        self._script = script
        self._port = port
        self._directory: TemporaryDirectory[str] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        arguments = ["-m", "drivers.model_server", "--port", str(self._port), "--until-eof"]
        if self._script is not None:
            self._directory = TemporaryDirectory(prefix="scripted-model-")
            path = Path(self._directory.name) / "script.json"
            path.write_text(self._script.model_dump_json(exclude_unset=True), encoding="utf-8")
            arguments += ["--script", str(path)]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=_ROOT,
            env=dict(os.environ) | {"PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            self.url = await self._address(self._process)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    @property
    def pid(self) -> int:
        """The process id, 0 before the start."""
        return self._process.pid if self._process is not None else 0

    async def _address(self, process: asyncio.subprocess.Process) -> str:
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("The model server has no pipes. Start it through `async with`.")
        async with asyncio.timeout(_START_S):
            line = (await process.stdout.readline()).decode().strip()
        if not line.startswith("http://"):
            said = (await process.stderr.read()).decode().strip() or line
            raise RuntimeError(f"The model server did not start: {said}")
        return line

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(_STOP_S):
                    await process.communicate()
            except TimeoutError:
                process.kill()
                await process.communicate()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
