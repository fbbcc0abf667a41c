"""`python -m drivers.top`: a live view of a Rayconteur cluster in the terminal, or one snapshot of it for scripts.

The rule here: it looks, and changes nothing but what a key asks for. It never starts a cluster.
"""

import sys

if __name__ == "__main__" and not __package__:
    # A file that is run finds none of the packages below.
    print("error: run it as: python -m drivers.top (from the root of the checkout)", file=sys.stderr)
    sys.exit(2)

import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from agent_core.errors import ConfigError, PlacementError
from drivers.errors import leave, run
from drivers.options import grouped

if TYPE_CHECKING:
    from agent_core.cluster_snapshot import ClusterSnapshot
    from agent_core.glance import GlanceRequest
    from drivers.watching.source import ClusterSource

PROGRAM = "python -m drivers.top"
STATES = ("idle", "running", "awaiting_tools", "awaiting_permit", "compacting", "closed")
ORDERS = ("recent", "id", "context", "tokens", "queued")
SHORTEST_INTERVAL = 0.2

app = typer.Typer(
    name="top",
    help="See what a cluster does: nodes, actors, sessions, turns, tokens. Open a session to watch it.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _option(name: str, help: str, metavar: str | None = None) -> Any:  # noqa: A002 - typer's own word
    return typer.Option(name, help=help, metavar=metavar, show_default=False)


@dataclass(frozen=True)
class Where:
    """Which cluster, and which runtime on it."""

    address: Annotated[
        str | None,
        _option(
            "--address",
            "The Ray cluster (HOST:PORT or auto). Without it: $RAY_ADDRESS, else one that runs here.",
            "ADDRESS",
        ),
    ] = None
    name: Annotated[str | None, _option("--name", "This runtime alone. Without it: all of the cluster.", "NAME")] = None
    debug: Annotated[bool, _option("--debug", "Show tracebacks.")] = False


@dataclass(frozen=True)
class Shown:
    """What is shown of it."""

    once: Annotated[bool, _option("--once", "One snapshot as text, and no screen.")] = False
    json: Annotated[bool, _option("--json", "With --once: as JSON on one line.")] = False
    interval: Annotated[
        float, _option("--interval", f"So often the figures are asked for (1; {SHORTEST_INTERVAL} or more).", "SECONDS")
    ] = 1.0
    search: Annotated[
        str, _option("--search", "Sessions whose id, or one of whose labels (NAME=VALUE), begins so.", "TEXT")
    ] = ""
    state: Annotated[list[str] | None, _option("--state", "Sessions in this state; again for more.", "STATE")] = None
    sort: Annotated[str, _option("--sort", f"One of {', '.join(ORDERS)} (recent without it).", "ORDER")] = "recent"
    limit: Annotated[int, _option("--limit", "At most so many sessions (100 without it, 1000 at most).", "COUNT")] = 100

    def asked(self) -> "GlanceRequest":
        """What is asked of the actors. Raises ConfigError for a state or order that is none."""
        from agent_core.glance import MOST_LINES, GlanceRequest

        for state in self.state or ():
            if state not in STATES:
                raise ConfigError(f"--state {state}: there is no such state. There are: {', '.join(STATES)}.")
        if self.sort not in ORDERS:
            raise ConfigError(f"--sort {self.sort}: sessions cannot be sorted so. Choose one of {', '.join(ORDERS)}.")
        if not 0 <= self.limit <= MOST_LINES:
            raise ConfigError(f"--limit {self.limit}: give a number from 0 to {MOST_LINES}.")
        if not self.interval >= SHORTEST_INTERVAL:
            raise ConfigError(f"--interval {self.interval:g}: give {SHORTEST_INTERVAL} seconds or more.")
        if self.json and not self.once:
            raise ConfigError("--json goes with --once: one snapshot for a script.")
        states = cast("Any", tuple(self.state or ()))
        return GlanceRequest(search=self.search, states=states, order=cast("Any", self.sort), limit=self.limit)


@app.command()
@grouped
def top(where: Where, shown: Shown) -> Coroutine[Any, Any, int]:
    """See what a cluster does: nodes, actors, sessions, turns, tokens. Open a session to watch it."""
    asked = shown.asked()
    if not shown.once:
        from drivers.watching import terminal

        terminal.check()
    return _once(where, shown, asked) if shown.once else _live(where, shown, asked)


async def _once(where: Where, shown: Shown, asked: "GlanceRequest") -> int:
    from drivers.watching.plain import as_json, as_text
    from drivers.watching.source import ClusterSource

    source = ClusterSource(_address(where))
    try:
        await _join(source, where)
        snapshot = await source.snapshot(asked, where.name)
    finally:
        await source.close()
    _check_name(where.name, snapshot)
    print(as_json(snapshot) if shown.json else as_text(snapshot, where.name))
    return 0


async def _live(where: Where, shown: Shown, asked: "GlanceRequest") -> int:
    from drivers.watching import terminal
    from drivers.watching.app import Top
    from drivers.watching.source import ClusterSource

    source = ClusterSource(_address(where))
    try:
        await _join(source, where)
        with terminal.ours():
            screen = Top(source, interval=shown.interval, asked=asked, runtime=where.name)
            await screen.run_async()
        if screen.failure is not None:
            raise screen.failure
    finally:
        await source.close()
    return screen.return_code or 0


def _address(where: Where) -> str | None:
    return where.address or os.environ.get("RAY_ADDRESS")


async def _join(source: "ClusterSource", where: Where) -> None:
    """Join the cluster. Raises ConfigError if there is none: which one to look at is for the user to say."""
    try:
        await source.join()
    except ConfigError as error:
        named = "--address: " if where.address else "RAY_ADDRESS: "
        raise ConfigError(error.message.replace("address: ", named, 1), error.kind) from None
    except PlacementError as error:
        if error.kind != "unreachable":
            raise
        first = error.message.partition(". ")[0]
        raise ConfigError(
            f"{first}. Say which cluster to look at: --address HOST:PORT (a program that started one says its address),"
            " or run this on a machine of the cluster.",
            "unreachable",
        ) from None


def _check_name(name: str | None, snapshot: "ClusterSnapshot") -> None:
    if name is not None and name not in snapshot.runtimes:
        others = ", ".join(snapshot.runtimes) or "none"
        raise ConfigError(f"--name {name}: no such runtime is on {snapshot.address}. There are: {others}.")


def main() -> None:
    """Run the program and leave with its exit code."""
    leave(run(app, program=PROGRAM))


if __name__ == "__main__":
    main()
