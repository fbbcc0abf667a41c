"""`python -m drivers.nodes`: takes sessions off a node of a cluster, and moves a session from actor to actor.

The rule here: whoever uses the sessions notices nothing. It speaks to runtimes that other programs started, and starts
none.
"""

import sys

if __name__ == "__main__" and not __package__:
    # A file that is run finds none of the packages below.
    print("error: run it as: python -m drivers.nodes (from the root of the checkout)", file=sys.stderr)
    sys.exit(2)

from dataclasses import dataclass
from typing import Annotated

import typer

from agent_core.errors import ConfigError
from drivers.errors import run
from drivers.options import grouped

PROGRAM = "python -m drivers.nodes"

app = typer.Typer(
    name="nodes",
    help="Take sessions off a node, or move one. Their users notice nothing.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@dataclass(frozen=True)
class RuntimeOptions:
    """Which runtime is meant, and how long is waited for what its sessions are at."""

    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="The Ray cluster (HOST:PORT or auto). Without it: $RAY_ADDRESS, else one that runs here.",
            show_default=False,
        ),
    ] = None
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="The runtime; without it every one.", show_default=False),
    ] = None
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            metavar="SECONDS",
            help="So long answers and tool calls under way are waited for; then answers are made again elsewhere.",
        ),
    ] = 30.0
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False

    def check(self) -> None:
        """Raise ConfigError for a time that is none."""
        if not 0 <= self.patience < float("inf"):
            raise ConfigError(f"--patience {self.patience:g}: give seconds, 0 or more.")


NodeArgument = Annotated[
    str, typer.Argument(metavar="NODE", help="The beginning of its id, its address or host; or an actor's name.")
]
SessionArgument = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]
ToOption = Annotated[
    str,
    typer.Option(
        "--to", metavar="packed|dedicated|ACTOR", help="Where it shares an actor with others, has its own, or by name."
    ),
]


@app.command("drain")
@grouped
async def drain_command(node: NodeArgument, options: RuntimeOptions) -> None:
    """Have the session actors of a node go elsewhere with their sessions.

    When it returns, the node can be ended. No session actor is placed on it again. An actor that is named is only
    made anew. Nodes that Ray itself drains (`ray drain-node`, the autoscaler) are left without being asked to.
    """
    options.check()
    from actors import operating

    async with operating.joined(options.address):
        moved = await operating.drain(node, name=options.name, patience=options.patience)
    for name, actors in moved.items():
        for actor in actors:
            print(f"{name}\t{actor}")
    if not any(moved.values()):
        print("no session actor was there", file=sys.stderr)


@app.command("move")
@grouped
async def move_command(session: SessionArgument, options: RuntimeOptions, *, to: ToOption) -> None:
    """Move a session to another actor, and print which."""
    options.check()
    from actors import operating

    async with operating.joined(options.address):
        print(await operating.move(session, to, name=options.name, patience=options.patience))


def main() -> None:
    """Run the program and leave with its exit code."""
    sys.exit(run(app, program=PROGRAM))


if __name__ == "__main__":
    main()
