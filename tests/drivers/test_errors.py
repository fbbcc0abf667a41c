"""How every program ends: by its exit code, and by one screen that says what to do."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from agent_core.errors import (
    ConfigError,
    JournalError,
    PlacementError,
    ProviderError,
    SessionError,
    ToolError,
)
from drivers.errors import ending_of, run


class RemoteError(Exception):
    """An error as another process hands it on."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__("a page of remote traceback")
        self.cause = cause


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("Bad name. Choose another."), 2, "error: Bad name. Choose another."),
        (ToolError("tool 'x': no type hint."), 2, "error: tool 'x': no type hint."),
        (ProviderError("Refused. Check the key.", "authentication"), 1, "error: Refused. Check the key."),
        (JournalError("Cannot be opened."), 1, "error: Cannot be opened."),
        (PlacementError("No room."), 1, "error: No room."),
        (SessionError("It is closed."), 1, "error: It is closed."),
        (KeyboardInterrupt(), 130, "interrupted"),
        (asyncio.CancelledError(), 130, "interrupted"),
        (BrokenPipeError(), 141, ""),
        (typer.Exit(3), 3, ""),
        (RemoteError(ConfigError("Bad name.")), 2, "error: Bad name."),
        (ExceptionGroup("", [ExceptionGroup("", [PlacementError("No room.")])]), 1, "error: No room."),
        (BaseExceptionGroup("", [asyncio.CancelledError(), ConfigError("Bad.")]), 2, "error: Bad."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_each_error_has_its_code_and_its_own_words(error: BaseException, code: int, text: str) -> None:
    assert ending_of(error) == (code, text)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free some"),
        (errno.EROFS, "--data-dir"),
        (errno.EACCES, "--data-dir"),
        (errno.EADDRINUSE, "choose another port"),
        (errno.ENOENT, "Check the path"),
        (errno.EIO, "--debug"),
    ],
)
def test_an_error_of_the_system_names_the_file_and_says_what_to_do(number: int, advice: str) -> None:
    code, text = ending_of(OSError(number, os.strerror(number), "/some/file"))
    assert code == 1
    assert text.startswith(f"error: /some/file: {os.strerror(number)}. ")
    assert advice in text


def test_an_error_that_nobody_expected_is_named_and_says_how_to_see_more() -> None:
    code, text = ending_of(ZeroDivisionError("division by zero"))
    assert (code, text.splitlines()[0]) == (1, "error: unexpected ZeroDivisionError: division by zero")
    assert "--debug" in text


def program(action: Callable[[], Any]) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    async def main(number: int = 0, debug: bool = typer.Option(default=False)) -> Any:
        return action()

    return app


def test_a_command_is_run_to_its_end_and_gives_the_exit_code() -> None:
    assert run(program(lambda: 7), program="p", arguments=[]) == 7
    assert run(program(lambda: None), program="p", arguments=[]) == 0


def test_a_wrong_option_is_a_mistake_that_names_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(program(lambda: 0), program="python -m p", arguments=["--number", "many"]) == 2
    said = capsys.readouterr().err
    assert "--number" in said
    assert "See python -m p --help." in said


def test_nothing_is_a_traceback_unless_debug_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    def fall() -> None:
        raise ConfigError("Bad name.")

    assert run(program(fall), program="p", arguments=[]) == 2
    assert capsys.readouterr().err == "error: Bad name.\n"
    assert run(program(fall), program="p", arguments=["--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_long_error_is_cut_to_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    def fall() -> None:
        raise ConfigError("line\n" * 200)

    assert run(program(fall), program="p", arguments=[]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 17
    assert "--debug" in lines[-1]


PROGRAM = """
import asyncio, sys, typer
from drivers.errors import run
app = typer.Typer()
@app.command()
async def main() -> None:
    try:
        print("ready", flush=True)
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0)
        print("put away", flush=True)
sys.exit(run(app, program="p"))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_program_put_away_what_it_holds(number: int, code: int, repository: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "put away\n")
    assert "Traceback" not in err
