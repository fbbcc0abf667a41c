"""Checks, and how they are made: all at once, each within its time.

The rule here: a check never ends another. One that raises, or does not answer in time, has that for its finding; one
that blocks does so in a thread that nobody waits for at the end.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from agent_core.errors import RayconteurError
from drivers.doctoring.findings import Finding, NotChecked, of_error, problem, skipped

if TYPE_CHECKING:
    from drivers.doctoring.subject import Subject

Found = TypeVar("Found")
Given = ParamSpec("Given")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at, within so many `seconds`. `area` and `name` stand before its finding."""

    area: str
    name: str
    look: "Callable[[Subject], Awaitable[Finding]]"
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """A check that was made, and how many seconds that took."""

    check: Check
    finding: Finding
    seconds: float


async def make(checks: "Sequence[Check]", subject: "Subject") -> AsyncIterator[Result]:
    """Make all of the checks at once; yields their results in the order of the checks, each as soon as it is there."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_made(check, subject)) for check in checks]
        for task in tasks:
            yield await task


async def _made(check: Check, subject: "Subject") -> Result:
    began = time.perf_counter()
    finding = await _finding(check, subject)
    return Result(check, finding, time.perf_counter() - began)


async def _finding(check: Check, subject: "Subject") -> Finding:
    try:
        async with asyncio.timeout(check.seconds):
            return await check.look(subject)
    except TimeoutError:
        return problem(
            f"it did not answer within {check.seconds:.0f} s", "See what keeps this machine busy, and run it again."
        )
    except NotChecked as reason:
        return skipped(str(reason))
    except RayconteurError as error:
        return of_error(error)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        return problem(what, "Check the path and the rights of this user.")
    except Exception as error:  # noqa: BLE001 - a check never ends the others
        what = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        return skipped(f"it failed itself ({what})", "Run it with --debug to see where.")


class Once(Generic[Found]):
    """Something that several checks look at and one of them finds out; a failure is one for all of them."""

    def __init__(self, find: Callable[[], Awaitable[Found]]) -> None:
        self._find = find
        self._task: asyncio.Future[Found] | None = None

    async def __call__(self) -> Found:
        """What was found. Raises what finding it raised."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._find())
        # One check that runs out of time must not take it from the others.
        return await asyncio.shield(self._task)

    async def needed(self, why: str) -> Found:
        """The same for a check that stands on it. Raises NotChecked where another check tells what is wrong."""
        try:
            return await self()
        except (RayconteurError, OSError):
            raise NotChecked(why) from None


async def blocking(function: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found:
    """What the function returns or raises, in a thread that is left behind if this is cancelled."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Found] = loop.create_future()

    def settle(outcome: "Future[Found]") -> None:
        if answer.done():
            return
        if (error := outcome.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(outcome.result())

    def work() -> None:
        outcome: Future[Found] = Future()
        try:
            outcome.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it is the caller's, who gets it
            outcome.set_exception(error)
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=work, name="check", daemon=True).start()
    return await answer
