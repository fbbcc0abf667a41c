"""`LocalModelServer`: the local model as something that is simply there, for as long as its context is open.

The rule here: one task owns the server's process. It starts it, watches it, and starts it again when it dies or stops
answering, with longer pauses while that does not help. Everybody else waits for `ready`.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from agent_core.clock import SystemClock
from agent_core.errors import ConfigError, PlacementError
from agent_core.local_model.health import is_healthy
from agent_core.local_model.installed import check_installed
from agent_core.local_model.options import LocalModelOptions
from agent_core.local_model.process import ServerProcess, StartFailed
from agent_core.ports import Clock

log = logging.getLogger("rayconteur.local_model")


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a server's owner is. Everything but `misses` and `attempts` is in seconds.

    A start may take `start`. Every `interval` the server is asked for its health, each time for `probe`; after `misses`
    answers that did not come it is replaced. Pauses between starts double from `first_pause` to `longest_pause`, and
    begin anew once a server has lived for `longest_pause`. Those who wait hear of a failure after `attempts` failed
    starts in a row.
    """

    start: float = 60.0
    interval: float = 10.0
    probe: float = 5.0
    misses: int = 3
    first_pause: float = 0.1
    longest_pause: float = 10.0
    attempts: int = 3


def command(options: LocalModelOptions) -> Sequence[str]:
    """The program that serves. Raises ConfigError if the model is not installed."""
    check_installed()
    given = options.model_dump(exclude_none=True)
    # -P: a file in the current directory must not stand in for a module.
    return (
        *(sys.executable, "-P", "-m", "agent_core.local_model"),
        *(f"--{name}={value}" for name, value in given.items()),
    )


class _Life:
    """What those who wait are told of: that the server answers (its URL) or cannot be started, and that it is over."""

    def __init__(self) -> None:
        self.up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    def fail(self, error: PlacementError) -> None:
        if not self.up.done():
            self.up.set_exception(error)
            # Retrieved, so that nothing is logged if nobody waits.
            self.up.exception()


class LocalModelServer:
    """`async with LocalModelServer() as server: server.url` serves the local model from a process of its own.

    `url` is a base URL for either SDK. It stays the same when the server is started again, as long as its port is free.
    Opening raises ConfigError if the model is not installed, PlacementError if it does not start.
    """

    def __init__(
        self,
        options: LocalModelOptions | None = None,
        pace: Pace | None = None,
        program: Callable[[LocalModelOptions], Sequence[str]] = command,
        clock: Clock | None = None,
    ) -> None:
        self._options, self._pace, self._program = options or LocalModelOptions(), pace or Pace(), program
        self._clock = clock or SystemClock()
        self._port = self._options.port
        self._process: ServerProcess | None = None
        self._life: _Life | None = None
        self._owner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._program(self._options)
        self._life = _Life()
        self._owner = asyncio.create_task(self._own(), name="local model server")
        try:
            await self.ready()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    @property
    def url(self) -> str:
        """The base URL: of the server that runs, else of the last one."""
        return f"http://{self._options.host}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process id of the server, None while there is none."""
        return self._process.pid if self._process else None

    async def ready(self) -> str:
        """Wait until the server answers, and return its base URL.

        Raises PlacementError once several starts have failed in a row, or if the context is not open. A later call
        waits for the starts that come after.
        """
        while self._life is not None:
            life = self._life
            url = await asyncio.shield(life.up)
            if await self._answers():
                return url
            # It may be gone without its owner knowing yet.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.interval):
                    await life.over.wait()
        raise PlacementError("The local model is not being served. Use it as: async with LocalModelServer() as ...")

    # --- the task that owns the process ---

    async def _own(self) -> None:
        failures, pause = 0, self._pace.first_pause
        life = self._life or _Life()
        while True:
            began = self._clock.now()
            reason, answered = await self._live(life)
            log.warning("the local model server is started again: %s", reason)
            if answered:
                failures = 0
            else:
                failures += 1
                # Somebody may have the port: another one is better than none.
                self._port = self._options.port
                if failures % self._pace.attempts == 0:
                    life.fail(self._hopeless(reason))
            if life.up.done():
                life.over.set()
                life = self._life = _Life()
            if self._clock.now() - began >= self._pace.longest_pause:
                pause = self._pace.first_pause
            await self._clock.sleep(pause)
            pause = min(2 * pause, self._pace.longest_pause)

    async def _live(self, life: _Life) -> tuple[str, bool]:
        """Run the server until it ends: why it did, and whether it had answered before."""
        try:
            program = self._program(self._options.model_copy(update={"port": self._port}))
            process = await ServerProcess.start(program, self._pace.start)
        except (StartFailed, ConfigError) as error:
            return str(error), False
        self._process, self._port = process, process.port
        try:
            if not await self._answers():
                return f"it does not answer at {self.url}", False
            life.up.set_result(self.url)
            return await self._watch(process), True
        finally:
            self._process = None
            await process.end()

    async def _watch(self, process: ServerProcess) -> str:
        """Return once the server has died or answers no more, with the reason."""
        misses = 0
        ended = asyncio.create_task(process.wait())
        try:
            while misses < self._pace.misses:
                done, _ = await asyncio.wait([ended], timeout=self._pace.interval)
                if done:
                    return ": ".join(filter(None, [ended.result(), process.last_words()]))
                misses = 0 if await self._answers() else misses + 1
            return f"it did not answer {misses} times in a row"
        finally:
            ended.cancel()

    async def _answers(self) -> bool:
        return await is_healthy(self._options.host, self._port, self._pace.probe)

    def _hopeless(self, reason: str) -> PlacementError:
        return PlacementError(
            f"The local model could not be started {self._pace.attempts} times in a row, the last time because"
            f" {reason}. See whether this machine has 1 GB of memory free; it is tried again meanwhile.",
            "local_model",
        )

    async def _close(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await owner
        life, self._life = self._life, None
        if life is not None:
            life.fail(PlacementError("The local model is no longer served. Open another LocalModelServer."))
            life.over.set()
