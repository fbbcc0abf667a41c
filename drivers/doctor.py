"""`python -m drivers.doctor`: looks at all that sessions need, and says what to mend.

The rule here: it looks and changes nothing. It takes the options of `chat`, so that a command that does not work
can be handed to it word for word.
"""

import sys

if __name__ == "__main__" and not __package__:
    # A file that is run finds none of the packages below.
    print("error: run it as: python -m drivers.doctor (from the root of the checkout)", file=sys.stderr)
    sys.exit(2)

import dataclasses
import os
import shutil
from typing import Annotated, TextIO

import typer

from agent_core.errors import ConfigError
from drivers import errors
from drivers.options import ModelOptions, PlaceOptions, grouped

PROGRAM = "python -m drivers.doctor"
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclasses.dataclass(frozen=True)
class DoctorOptions:
    """How the findings are shown."""

    json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False


@app.command()
@grouped
async def doctor(shown: DoctorOptions, model: ModelOptions, place: PlaceOptions) -> int:
    """Look at versions, keys, journal, cluster, ports and disks, and say what to mend.

    Takes the options of chat. Changes nothing, and starts no cluster unless --address is local. --model asks that
    model one tiny question. Exit code: 0 no problem, 1 a problem, 2 asked for wrongly.
    """
    from drivers.chatting.quiet import Quiet

    _check(model, place)
    with Quiet(lambda line: quiet.stderr.write(f"{line}\n"), everything=place.debug) as quiet:
        return await _examine(shown, model, place, quiet.stdout)


def _check(model: ModelOptions, place: PlaceOptions) -> None:
    """Raise ConfigError for words that were never right, whatever the machine is like."""
    if place.in_process and (place.address or place.name):
        other = "--address" if place.address else "--name"
        raise ConfigError(f"--in-process and {other} exclude each other: there is no cluster in this process.")
    if place.journal is not None:
        from agent_core.journals.address import PostgresAddress

        if place.data_dir is not None:
            raise ConfigError("--journal and --data-dir exclude each other: a database, or a file in a directory.")
        try:
            PostgresAddress.of(place.journal)
        except ConfigError as error:
            raise ConfigError(f"--{error.message}", error.kind) from None
    if place.address:
        # Ray comes along, which takes a second that is needed anyway.
        from actors.reaching import check_form

        check_form(place.address, "--address")
    model.fields()


async def _examine(shown: DoctorOptions, model: ModelOptions, place: PlaceOptions, out: TextIO) -> int:
    from drivers.doctoring import registry
    from drivers.doctoring.checks import Result, make
    from drivers.doctoring.findings import Mark
    from drivers.doctoring.printing import WIDTH, as_json, lines_of, total
    from drivers.doctoring.subject import Subject

    subject = Subject(model, place, asks_model=model.model is not None)
    width = min(shutil.get_terminal_size().columns, 120) if out.isatty() else WIDTH
    coloured = out.isatty() and "NO_COLOR" not in os.environ
    checks, results = registry.of(place), list[Result]()
    try:
        async for result in make(checks, subject):
            results.append(result)
            if shown.json or (len(results) < len(checks) and checks[len(results)].area == result.check.area):
                continue
            area = [made for made in results if made.check.area == result.check.area]
            print("\n".join(lines_of(area, width=width, coloured=coloured)), file=out, flush=True)
    finally:
        await subject.aclose()
    print(as_json(results) if shown.json else f"\n{total(results)}", file=out, flush=True)
    return errors.FAILURE if any(result.finding.mark is Mark.PROBLEM for result in results) else 0


def main() -> None:
    """Run the program and leave with its exit code."""
    errors.leave(errors.run(app, program=PROGRAM))


if __name__ == "__main__":
    main()
