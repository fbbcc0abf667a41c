"""`python -m drivers.sessions`: lists, shows, forks, exports, fences and deletes sessions of a journal.

The rule here: it needs no cluster. It works on the journal itself, also while a runtime uses it, and what only looks
changes nothing.
"""

import sys

if __name__ == "__main__" and not __package__:
    # A file that is run finds none of the packages below.
    print("error: run it as: python -m drivers.sessions (from the root of the checkout)", file=sys.stderr)
    sys.exit(2)

import shlex
import time

import typer

from drivers.ages import seconds_of
from drivers.errors import FAILURE, run
from drivers.listing.options import (
    ExportOptions,
    ForkOptions,
    IdArgument,
    IdsArgument,
    JournalOptions,
    ListOptions,
    PruneOptions,
    ShowOptions,
    SomeIdsArgument,
    YesOption,
    labels_of,
)
from drivers.options import grouped

PROGRAM = "python -m drivers.sessions"

app = typer.Typer(
    name="sessions",
    help="Look at the sessions that are kept, fork, export and delete them. Needs no cluster.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("list")
@grouped
async def list_command(shown: ListOptions, place: JournalOptions) -> None:
    """List sessions, the newest first.

    Through a pipe: one line for each, with tabs between id, turns, when it was begun and last used, model, labels and
    the user's first words.
    """
    from drivers.listing.journals import reading
    from drivers.listing.printing import print_list
    from drivers.listing.table import rows_of

    labels = labels_of(shown.label)
    async with reading(place) as journal:
        found = await journal.list_sessions(shown.limit + 1, None, labels)
        rows = rows_of(found, await journal.overviews([info.session_id for info in found]))
    print_list(rows[: shown.limit], time.time(), as_json=shown.json)
    if len(rows) > shown.limit:
        print(f"there are more: --limit COUNT lists more than {shown.limit}", file=sys.stderr)
    elif not rows:
        print("no session" + (" has these labels" if labels else " was kept yet"), file=sys.stderr)


@app.command("show")
@grouped
async def show_command(id: IdArgument, shown: ShowOptions, place: JournalOptions) -> None:
    """Show a conversation as it was in the chat.

    What was said, tool calls, how turns ended, and the summary of what the model no longer sees as it was said.
    """
    from drivers.listing.journals import known, reading
    from drivers.listing.printing import print_data, print_pieces
    from drivers.listing.telling import as_data, told

    async with reading(place) as journal:
        (info,) = await known(journal, [id])
        records = await journal.read(info.session_id)
    if shown.json:
        print_data(as_data(info, records, full=shown.full))
    else:
        await print_pieces(told(info, records, full=shown.full), whole=shown.full)


@app.command("fork")
@grouped
async def fork_command(id: IdArgument, fork: ForkOptions, place: JournalOptions) -> None:
    """Fork a session at a turn, and print the new id.

    The fork is what the session was when the turn ended; it goes its own way from there. The label
    forked_from says where it comes from. A turn that is open is not in it.
    """
    from agent_core import archive
    from agent_core.messages import TurnId
    from agent_core.opening import check_session_id, new_session_id
    from drivers.listing.journals import known, writing

    target = new_session_id() if fork.new_id is None else check_session_id(fork.new_id)
    async with writing(place) as journal:
        (info,) = await known(journal, [id])
        turn = TurnId(fork.turn) if fork.turn is not None else None
        await archive.fork(journal, info.session_id, target, turn)
    print(target)
    where = f" --data-dir {shlex.quote(str(place.data_dir))}" if place.data_dir else ""
    print(f"Go on with it: python -m drivers.chat --session {target}{where}", file=sys.stderr)


@app.command("export")
@grouped
async def export_command(what: ExportOptions, place: JournalOptions, ids: SomeIdsArgument = None) -> None:
    """Write sessions out as lines of JSON.

    The first line of each says whose it is, then comes one for each record. With --as-dataset, recorded turns become
    the samples of a dataset: evaluate asks the same again, of another model or with other settings.
    """
    from drivers.chatting.figures import several
    from drivers.listing import as_dataset, writing_out
    from drivers.listing.journals import reading

    named, labels = ids or [], labels_of(what.label)
    writing_out.check(named, labels, what.out, everything=what.everything)
    turns = as_dataset.check(what, named)
    async with reading(place) as journal:
        sessions = writing_out.chosen(journal, named, labels, everything=what.everything)
        if turns is not None:
            written = await as_dataset.export(journal, sessions, what.out, turns)
            print(as_dataset.told(written, what.out), file=sys.stderr)
            return
        number = await writing_out.export(journal, sessions, what.out)
    if what.out != writing_out.STDOUT:
        print(f"{several(number, 'session')} in {what.out}", file=sys.stderr)


@app.command("delete")
@grouped
async def delete_command(ids: IdsArgument, place: JournalOptions, *, yes: YesOption = False) -> int:
    """Delete sessions with all that was said in them.

    They are gone for good. A program that has one open is told with its next message.
    """
    from drivers.listing import removing
    from drivers.listing.journals import known, reading, writing

    async with reading(place) as journal:
        sessions = await known(journal, ids)
    if not await removing.agreed(sessions, yes=yes):
        return FAILURE
    async with writing(place) as journal:
        await removing.delete(journal, sessions)
    return 0


@app.command("prune")
@grouped
async def prune_command(what: PruneOptions, place: JournalOptions) -> int:
    """Delete the sessions that nobody has used for long."""
    from drivers.chatting.figures import several
    from drivers.listing import removing
    from drivers.listing.journals import reading, writing

    before, labels = time.time() - seconds_of(what.older_than, "--older-than"), labels_of(what.label)
    async with reading(place) as journal:
        sessions = await removing.old(journal, before, labels)
    if what.dry_run:
        for info in sessions:
            print(info.session_id)
    if what.dry_run or not sessions:
        print(
            f"{several(len(sessions), 'session')} would be deleted" if sessions else "no session is that old",
            file=sys.stderr,
        )
        return 0
    if not await removing.agreed(sessions, yes=what.yes):
        return FAILURE
    async with writing(place) as journal:
        number = await removing.delete(journal, sessions, before)
    print(f"{several(number, 'session')} deleted", file=sys.stderr)
    return 0


@app.command("fence")
@grouped
async def fence_command(place: JournalOptions, *, yes: YesOption = False) -> int:
    """Let no program write that has a session open now: for a journal that was restored from a copy.

    Every session goes on with whoever opens it next. A program that has one open is told with its next message.
    """
    from drivers.chatting.figures import several
    from drivers.listing.asking import confirmed
    from drivers.listing.journals import writing

    question = "Every program that has a session of this journal open will lose it. Go on?"
    if not yes and not await confirmed(question, "Write --yes to fence without being asked."):
        print("nothing was changed", file=sys.stderr)
        return FAILURE
    async with writing(place) as journal:
        number = await journal.fence()
    print(f"{several(number, 'session')} fenced: whoever had one open before is refused", file=sys.stderr)
    return 0


def main() -> None:
    """Run the program and leave with its exit code."""
    sys.exit(run(app, program=PROGRAM))


if __name__ == "__main__":
    main()
