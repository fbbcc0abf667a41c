"""How every program here ends: exit code 0, 2 for a user's mistake, 1 for a failure, 130 for Ctrl-C. Never a traceback.

The rule here: a command only parses in typer; what it has to do is a coroutine that `run` runs, so this one place
decides what an exception becomes: one screen of text that says what to do next. `--debug` shows the traceback as well.
"""

import asyncio
import atexit
import contextlib
import errno
import inspect
import os
import shutil
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, NoReturn

import typer

from agent_core.errors import ConfigError, RayconteurError, ToolError

USER_MISTAKE = 2
FAILURE = 1
INTERRUPTED = 130
# What a shell reports for a program whose reader went away (128 + SIGPIPE), as for `cat FILE | head -1`.
READER_LEFT = 141

MAX_LINES = 16
MAX_USAGE_LINES = 40
MAX_CHARACTERS = 2000

_ADVICE = {
    errno.ENOSPC: "Free some space, or choose another place; what was finished is kept.",
    errno.EDQUOT: "Free some space, or choose another place; what was finished is kept.",
    errno.EFBIG: "No file may be as large here: raise the limit (ulimit -f). What was finished is kept.",
    errno.EROFS: "Choose another place (--data-dir for what the sessions keep).",
    errno.EACCES: "Choose another place (--data-dir for what the sessions keep).",
    errno.EPERM: "Choose another place (--data-dir for what the sessions keep).",
    errno.EADDRINUSE: "Stop the program that has it, or choose another port.",
    errno.EMFILE: "Too many files are open. Raise the limit (ulimit -n 65536) and run again.",
    errno.ENOENT: "Check the path.",
}


class _Ended:
    """The signal that ended this program, if one did: it says the exit code, however the program then gets out."""

    by: int | None = None


class Ending(NamedTuple):
    """How a program ends: its exit code, and what it says on stderr (nothing when empty)."""

    code: int
    text: str = ""


def run(app: typer.Typer, *, program: str, arguments: Sequence[str] | None = None) -> int:
    """Parse `arguments` (sys.argv without one), run the coroutine that the command returns, and return the exit code.

    A command may be `async def`, or return a coroutine, or be done at once; a whole number that comes of it is the exit
    code. `program` is how the user started it (`python -m drivers.chat`). Nothing but the exit code comes out of here.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _fill_closed_streams()
    before = _leave_on_signals()
    try:
        result = app(args=given, prog_name=program, standalone_mode=False)
        if isinstance(result, Coroutine):
            result = _run_to_end(result)
        sys.stdout.flush()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else FAILURE
    except BaseException as error:  # noqa: BLE001 - the outermost boundary of every program
        return report(error, program=program, debug="--debug" in given)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return _code_of(result)


def ending_signals() -> list[signal.Signals]:
    """The signals besides Ctrl-C that end a program here; under nohup a terminal that is closed is none of them."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGTERM] if ignored else [signal.SIGTERM, signal.SIGHUP]


def _leave_on_signals() -> dict[signal.Signals, Any]:
    """Let these signals end the program the way out that puts everything away; returns what they did before."""
    before: dict[signal.Signals, Any] = {}
    _Ended.by = None

    def leave(received: int, _frame: object) -> NoReturn:
        _Ended.by = received
        sys.exit(128 + received)

    for number in ending_signals():
        handler = signal.signal(number, leave)
        if handler is not None:
            before[number] = handler
    return before


def _code_of(result: object) -> int:
    return result if isinstance(result, int) else 0


def run_main(main: Callable[..., Coroutine[Any, Any, Any]], about: str) -> int:
    """Run `main` with the words of the command line as its arguments, and return the exit code as `run` does.

    `about` is what --help prints, and what is said of words that `main` does not take.
    """
    words = [word for word in sys.argv[1:] if word != "--debug"]

    async def command() -> Any:
        try:
            inspect.signature(main).bind(*words)
        except TypeError:
            raise ConfigError(f"These words are not understood: {' '.join(words)}. {about.strip()}") from None
        return await main(*words)

    _fill_closed_streams()
    if any(word in ("-h", "--help") for word in words):
        print(about.strip())
        return 0
    try:
        return _code_of(_run_to_end(command()))
    except BaseException as error:  # noqa: BLE001 - the outermost boundary of every program
        return report(error, debug="--debug" in sys.argv)


def _fill_closed_streams() -> None:
    """Put /dev/null where stdout or stderr is closed, or a file that is opened next would be written to in its place.

    A closed stdin is left to the program: it may want to say that it is.
    """
    for descriptor, name in ((0, ""), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
        if name and getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.dup(descriptor), "w", encoding="utf-8"))


def report(error: BaseException, *, program: str = "", debug: bool = False) -> int:
    """Say on stderr what became of `error`, and return the exit code that goes with it."""
    ending = ending_of(error, program=program)
    if ending.code == READER_LEFT:
        # The interpreter flushes stdout once more as it ends; into nothing, that is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return ending.code
    try:
        if debug and ending.code != INTERRUPTED:
            traceback.print_exception(error)
        if ending.text:
            print(_on_one_screen(ending.text), file=sys.stderr, flush=True)
    except OSError:
        pass  # stderr is gone too: the exit code says it
    return ending.code


def leave(code: int) -> NoReturn:
    """End this process with that code, as `sys.exit` does at the end of a program, but for the interpreter's last part.

    Ray's own threads go on while an interpreter takes itself apart, and now and then abort the whole process.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public name
    os._exit(code)


def leave_now(code: int, text: str = "") -> NoReturn:
    """End this process and every process that came of it, waiting for no thread.

    For work that nobody can call back and nobody wants any more, such as a cluster that is still being started. After a
    signal the code is that of the signal, which is not commented on.
    """
    import psutil

    if _Ended.by is not None:
        code, text = 128 + _Ended.by, ""
    if text:
        print(text, file=sys.stderr)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(code)


def ending_of(error: BaseException, *, program: str = "") -> Ending:
    """What a program says and returns for `error`; of a group the first error that says something."""
    error = _the_one_that_counts(error)
    match error:
        case KeyboardInterrupt() | asyncio.CancelledError() | typer.Abort():
            return Ending(INTERRUPTED, "interrupted")
        case typer.Exit():
            return Ending(error.exit_code)
        case BrokenPipeError():
            return Ending(READER_LEFT)
        case ConfigError() | ToolError():
            return Ending(USER_MISTAKE, f"error: {error}")
        case RayconteurError():
            return Ending(FAILURE, f"error: {error}")
        case UnicodeEncodeError() if "surrogates" in error.reason:
            text = "the command line holds bytes that are no text in this locale. Write UTF-8, with LC_ALL=C.UTF-8."
            return Ending(USER_MISTAKE, f"error: {text}")
        case OSError():
            return Ending(FAILURE, f"error: {_os_error_text(error)}")
        case _ if hasattr(error, "format_message"):
            # Typer's own usage errors; their class is not public.
            text = error.format_message().rstrip(".")  # type: ignore[attr-defined]
            if type(error).__name__ == "NoArgsIsHelpError":
                # With rich the help was shown already; without it, it is the message.
                return Ending(USER_MISTAKE, text)
            return Ending(USER_MISTAKE, f"error: {text}. See {program or 'the program'} --help.")
        case _:
            what = f"{type(error).__name__}: {error}".strip(": ")
            return Ending(FAILURE, f"error: unexpected {what}\nRun it again with --debug to see where it happened.")


def _run_to_end(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` to its end; a first Ctrl-C cancels it, so that it can put away what it holds."""
    with asyncio.Runner() as runner:
        return runner.run(work)


def _the_one_that_counts(error: BaseException) -> BaseException:
    """The first error of a group that is no mere cancellation; of an error from another process, its cause."""
    while isinstance(error, BaseExceptionGroup):
        told = [inner for inner in error.exceptions if not isinstance(inner, asyncio.CancelledError)]
        error = (told or list(error.exceptions))[0]
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, RayconteurError) else error


def _os_error_text(error: OSError) -> str:
    where = error.filename if error.filename is not None else ""
    where = os.fsdecode(where) if isinstance(where, bytes) else str(where)
    what = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    advice = _ADVICE.get(error.errno or 0, "Run it again with --debug to see where it happened.")
    return f"{where}: {what}. {advice}" if where else f"{what}. {advice}"


def _on_one_screen(text: str) -> str:
    """`text` wrapped for the terminal and cut where it would fill more than a screen."""
    on_terminal = sys.stderr.isatty()
    width = min(shutil.get_terminal_size().columns, 120)
    lines: list[str] = []
    for line in text[:MAX_CHARACTERS].rstrip().splitlines():
        wrapped = textwrap.wrap(line, width, break_on_hyphens=False, break_long_words=False) if on_terminal else [line]
        lines += wrapped or [""]
    # A program that was told nothing says all that it can be told.
    most = MAX_USAGE_LINES if text.startswith("Usage: ") else MAX_LINES
    if len(text) > MAX_CHARACTERS or len(lines) > most:
        lines = [*lines[: most - 1], "… (more was said; --debug shows everything)"]
    if on_terminal and "NO_COLOR" not in os.environ and lines and lines[0].startswith("error:"):
        lines[0] = "\x1b[1;31merror:\x1b[0m" + lines[0].removeprefix("error:")
    return "\n".join(lines)
