"""`evaluate score`: scores the results of a run again, without asking its model anything.

The rule here: answers stay as they are. The results are replaced whole or not at all, and a log that lies beside them
is made anew from them.
"""

import asyncio
import shutil
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent_core.errors import ConfigError

if TYPE_CHECKING:
    from agent_core.evaluation.result import Result
    from agent_core.evaluation.results_file import Places
    from agent_core.evaluation.score import Scorer
    from agent_core.evaluation.scoring.rescoring import Rescoring


def score_command(  # noqa: PLR0913, PLR0917 - the options of one command
    run: Annotated[str, typer.Argument(metavar="RUN", help="What --out of the run named: a directory or a file.")],
    scorer: Annotated[
        list[str] | None,
        typer.Option("--scorer", metavar="SCORER", help="What judges the answers; again for more.", show_default=False),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="TASK", help="Score by the scorers of this task, as it is now.", show_default=False
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", help="Write a run of its own there, and leave this one.", show_default=False
        ),
    ] = None,
    keep: Annotated[  # noqa: FBT002 - typer's way to say a flag
        bool, typer.Option("--keep", help="Keep the scores of other scorers.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="How long a scorer has for one answer.")
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,  # noqa: FBT002
) -> Coroutine[Any, Any, int]:
    """Score a run again, without new answers.

    Samples that were not answered stay as they are. Exit code: 0 if every answer was scored, 1 if a scorer failed.
    """
    from agent_core.evaluation.scoring.rescoring import Rescoring
    from drivers.evaluating.results_reading import places_of

    scorers = _scorers(scorer, task)
    how = Rescoring(keep="others" if keep else "none", timeout=timeout)
    return _score(places_of(run), to, scorers, how, as_json=as_json)


def _scorers(named: list[str] | None, task: str | None) -> "tuple[Scorer, ...]":
    """The scorers that are asked for. Raises ConfigError if there are none."""
    if named and task:
        raise ConfigError("--scorer and --task exclude each other: leave one of them out.")
    if task is not None:
        from drivers.evaluating.limit_options import SampleLimitOptions
        from drivers.evaluating.task_options import SampleOptions, TaskOptions
        from drivers.evaluating.tasks import resolve

        scorers = resolve(task, SampleOptions(), TaskOptions(), SampleLimitOptions()).program.load().scorers
    else:
        from agent_core.evaluation.scoring.specs import scorers_of

        scorers = scorers_of(named or ())
    if not scorers:
        raise ConfigError(
            "Say what judges the answers: --scorer NAME (includes, exact, numeric, ...) or --task FILE.py."
        )
    return scorers


async def _score(
    places: "Places", to: Path | None, scorers: "tuple[Scorer, ...]", how: "Rescoring", *, as_json: bool
) -> int:
    from agent_core.evaluation.result import FINAL
    from agent_core.evaluation.results_file import ResultsFile
    from drivers.evaluating.ending import show, standing
    from drivers.evaluating.exporting import in_place, write_eval

    if to is not None:
        target = _made(places, to)
        await _write(places, target.results, scorers, how)
    else:
        target = places
        # Whoever writes results holds this file: two at a time would lose what one of them wrote.
        beginning = places.results.with_name(f".{places.results.name}.scored")
        with ResultsFile(places, "append") as held:
            await _write(places, beginning, scorers, how)
            held.become(beginning)
    if places.log.exists():
        await asyncio.to_thread(in_place, target.log, lambda path: write_eval(target, path))
    summary = standing(target)
    show(summary, target, as_json=as_json)
    if left := sum(number for outcome, number in summary.outcomes.items() if outcome not in FINAL):
        print(f"{left:,} without an answer: resume scores them as the run did. Then score it again.", file=sys.stderr)
    return 1 if summary.outcomes.get("unscored") else 0


def _made(places: "Places", to: Path) -> "Places":
    """A place for the scored run, with the record of the other. Raises ConfigError if one is there."""
    from agent_core.evaluation.results_file import Places

    to.mkdir(parents=True, exist_ok=True)
    target = Places.of(f"{to}/")
    if target.results.exists():
        raise ConfigError(f"{target.results} is there already. Choose another --to.")
    if places.record.exists():
        shutil.copyfile(places.record, target.record)
    return target


async def _write(places: "Places", target: Path, scorers: "tuple[Scorer, ...]", how: "Rescoring") -> None:
    from agent_core.clock import SystemClock
    from agent_core.evaluation.result import encode
    from agent_core.evaluation.scoring.rescoring import rescored

    async with AsyncExitStack() as stack:
        how = replace(how, grader=_LazyGrader(stack))
        try:
            with target.open("wb") as file:
                async with aclosing(rescored(_results(places), scorers, how, SystemClock())) as results:
                    async for result in results:
                        file.write(encode(result))
        except BaseException as error:
            await asyncio.to_thread(target.unlink, missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:
                raise OSError(error.errno, error.strerror, str(target)) from None
            raise


class _LazyGrader:
    """Asks grading models in this process; nothing is opened before one is asked."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack, self._opening = stack, asyncio.Lock()
        self._grader: Any = None

    async def __call__(self, question: Any) -> Any:
        async with self._opening:
            if self._grader is None:
                from agent_core.local_runtime import LocalRuntime

                runtime = await self._stack.enter_async_context(LocalRuntime())
                self._grader = runtime.grader("rescoring")
        return await self._grader(question)


def _results(places: "Places") -> "Iterator[Result]":
    from pydantic import ValidationError

    from agent_core.evaluation.result import decode
    from drivers.evaluating.exporting import lines_of

    for number, line in lines_of(places):
        try:
            yield decode(line)
        except ValidationError:
            raise ConfigError(f"{places.results} line {number} is no result. Name the results of a run.") from None
