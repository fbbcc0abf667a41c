"""The results of a run at an address: written to a directory of this machine, and sent there as they grow.

The rule here: who wrote last has the newest copy, and says so at the address (`writer.json`). A copy that is behind is
brought up to date before it is used; one that has what the address does not is set aside, never thrown away. Whoever
finds that another has taken over sends nothing more.
"""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from agent_core.errors import ConfigError
from agent_core.evaluation.remote import Remote, copy_of, plain_url

STATE_NAME, WRITER_NAME = ".mirror.json", "writer.json"
TAKEN = "taken_over"
# What can be made again, and what is no longer there when it is looked for.
_LEFT_HERE = (".sqlite", ".sqlite-journal", ".new")
PERIOD = 5.0
# Sending takes at most a tenth of the time, however large the files grow: each goes whole.
SHARE = 0.1
# A writer that does not renew its word for so long is gone.
LEASE = 30.0

Stat = tuple[int, int]


class Mirror:
    """A directory here that stands for the one at `url`. It may be pickled, and used where the same directory is."""

    def __init__(
        self, url: str, directory: Path | None = None, *, period: float = PERIOD, lease: float = LEASE
    ) -> None:
        """Raises ConfigError for an address of no known form. `period` and `lease` are in seconds."""
        self.url = plain_url(url)
        self.period, self.lease = period, lease
        self.directory = copy_of(url) if directory is None else directory
        self._full = url
        self._open()

    def _open(self) -> None:
        self._remote = Remote(self._full)
        self._lock = threading.Lock()
        self._number = 0
        self.claimed = self.handed_over = False

    def __getstate__(self) -> dict[str, Any]:
        names = ("url", "period", "lease", "directory", "_full")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def fetch(self) -> str | None:
        """Bring the copy up to date. Returns what is to be said of it, if anything. Raises ConfigError, OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        sizes, writer = self._remote.sizes(), self._writer()
        state = self._state()
        if not sizes or (writer is not None and writer.get("id") == state["id"]):
            # Somebody may have taken files away there.
            self._keep(state | {"sent": {name: stat for name, stat in state.get("sent", {}).items() if name in sizes}})
            return None
        seen = [writer and writer.get("id"), writer and writer.get("number"), sorted(sizes.items())]
        if state.get("seen") == json.loads(json.dumps(seen)):
            return None
        aside = self._set_aside() if self.changed() else None
        for name in sizes.keys() - {WRITER_NAME}:
            self._remote.fetch(name, self.directory / name)
        for name in self._stats().keys() - sizes.keys():
            (self.directory / name).unlink(missing_ok=True)
        self._keep(self._state() | {"seen": seen, "sent": self._stats()})
        return aside and f"What this machine had of {self.url}, and another went on with, is kept in {aside}"

    def claim(self) -> None:
        """Be the one who writes. Waits for another that may be gone; raises ConfigError if it is not, or OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        mine, first = self._state()["id"], self._writer()
        until = time.monotonic() + self.lease
        while (writer := self._writer()) is not None and writer.get("open") and writer.get("id") != mine:
            if writer != first:
                raise ConfigError(
                    f"{self.url} is being written by a run on {writer.get('host')}. Wait for its end, or choose another"
                    " --out.",
                    TAKEN,
                )
            if time.monotonic() > until:
                break
            time.sleep(min(1.0, self.lease / 10))
        self._say(is_open=True)
        self.claimed = True

    def changed(self) -> bool:
        """Whether something here is not at the address."""
        return {name: list(stat) for name, stat in self._stats().items()} != self._state().get("sent", {})

    def push(self, *, last: bool = False) -> None:
        """Send what has changed; the `last` time, say that this copy is no longer written.

        Raises ConfigError if the address is not reached or another has taken over, OSError.
        """
        with self._lock:
            writer = self._writer()
            if writer is not None and writer.get("id") != self._state()["id"]:
                raise ConfigError(
                    f"Another program, on {writer.get('host')}, writes to {self.url} now. What this one had is kept in"
                    f" {self.directory}.",
                    TAKEN,
                )
            state = self._state()
            sent: dict[str, list[int]] = state.setdefault("sent", {})
            stats = self._stats()
            for name in sorted(stats):
                if sent.get(name) != list(stats[name]):
                    with contextlib.suppress(FileNotFoundError):
                        self._remote.put(name, self.directory / name)
                        sent[name] = list(stats[name])
                        self._keep(state)
            for name in sent.keys() - stats.keys():
                self._remote.delete(name)
                del sent[name]
            self._keep(state)
            self._say(is_open=not last)
            self.claimed = self.claimed and not last

    def _say(self, *, is_open: bool) -> None:
        self._number += 1
        # A number that comes again would be taken for silence.
        said = {"id": self._state()["id"], "host": socket.gethostname(), "open": is_open}
        said |= {"number": f"{self._number}-{secrets.token_hex(3)}"}
        self._remote.write(WRITER_NAME, json.dumps(said).encode())

    def _writer(self) -> dict[str, Any] | None:
        content = self._remote.read(WRITER_NAME)
        try:
            said: Any = json.loads(content or b"null")
        except ValueError:
            return None
        return cast("dict[str, Any]", said) if isinstance(said, dict) else None

    def _stats(self) -> dict[str, Stat]:
        """The files here that belong to the address, with their size and the moment of their last change."""
        found: dict[str, Stat] = {}
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.is_file() and not entry.name.startswith(".") and not entry.name.endswith(_LEFT_HERE):
                    with contextlib.suppress(FileNotFoundError):
                        stat = entry.stat()
                        found[entry.name] = (stat.st_size, stat.st_mtime_ns)
        return found

    def _state(self) -> dict[str, Any]:
        try:
            return json.loads((self.directory / STATE_NAME).read_bytes())
        except (FileNotFoundError, ValueError):
            state = {"id": secrets.token_hex(8)}
            self._keep(state)
            return state

    def _keep(self, state: dict[str, Any]) -> None:
        beginning = self.directory / f"{STATE_NAME}.new"
        beginning.write_text(json.dumps(state))
        beginning.replace(self.directory / STATE_NAME)

    def _set_aside(self) -> Path:
        aside = self.directory.with_name(f"{self.directory.name}-aside-{time.strftime('%Y%m%d-%H%M%S')}")
        self.directory.rename(aside)
        self.directory.mkdir()
        return aside


@asynccontextmanager
async def kept_up(
    mirror: Mirror | None, troubled: Callable[[ConfigError | OSError | None], None]
) -> AsyncGenerator[None]:
    """Send what grows now and then while entered. `troubled` hears what keeps it from that, then None when it is over.

    The last push is left to whoever finishes the files.
    """
    if mirror is None:
        yield
        return
    keeping = asyncio.create_task(_keep_up(mirror, troubled))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep_up(mirror: Mirror, troubled: Callable[[ConfigError | OSError | None], None]) -> None:
    failed, pause = False, mirror.period
    while True:
        await asyncio.sleep(pause)
        began = time.monotonic()
        try:
            await asyncio.to_thread(mirror.push)
        except (ConfigError, OSError) as error:
            if not failed:
                troubled(error)
            failed = True
        else:
            if failed:
                troubled(None)
            failed = False
        pause = max(mirror.period, (time.monotonic() - began) / SHARE)
