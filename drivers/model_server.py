"""Runs the scripted model server: `python -m drivers.model_server --port 8700 --script FILE`.

The rule here: the first line on standard output is the address and nothing else, so that a program can read it.
"""

import sys

if __name__ == "__main__" and not __package__:
    # A file that is run finds none of the packages below.
    print("error: run it as: python -m drivers.model_server (from the root of the checkout)", file=sys.stderr)
    sys.exit(2)

import asyncio
import errno
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from agent_core.errors import ConfigError
from agent_core.scripted.script import Script
from agent_core.scripted.server import ScriptedServer
from drivers.errors import run

PROGRAM = "python -m drivers.model_server"
_OF_THE_PORT = {errno.EADDRINUSE, errno.EACCES}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
async def serve(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8_700,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    script: Annotated[Path | None, typer.Option(help="JSON file that says what is answered; echoes without.")] = None,
    *,
    until_eof: Annotated[bool, typer.Option("--until-eof", help="End when standard input closes.")] = False,
) -> None:
    """Speak Anthropic Messages (`/v1/messages`), OpenAI Responses (`/v1/responses`) and Chat Completions.

    Asked to summarise a conversation as the compactors do, it writes a summary.

    Turn knobs with POST /scripted/knobs; read GET /scripted/requests and GET /scripted/stats.
    """
    loaded = Script.load(script) if script is not None else Script()
    try:
        await _serve(ScriptedServer(loaded, host=host, port=port), until_eof=until_eof)
    except OSError as error:
        # asyncio puts a sentence of its own where the reason stands.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        wrong = "another --port, or 0 for a free one" if number in _OF_THE_PORT else "another --host"
        raise ConfigError(f"Cannot listen on {host}:{port} ({reason}). Choose {wrong}.") from None


async def _serve(server: ScriptedServer, *, until_eof: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with server:
        typer.echo(server.url)
        sys.stdout.flush()
        if until_eof:
            loop.add_reader(sys.stdin, _on_input, stop)
        await stop.wait()


def _on_input(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4_096):
        asyncio.get_running_loop().remove_reader(sys.stdin)
        stop.set()


if __name__ == "__main__":
    sys.exit(run(app, program=PROGRAM))
