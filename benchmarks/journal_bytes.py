"""What a journal is given to keep for 100 tool calls of 5 KB on a history of 200,000 tokens, in bytes.

The rule here: the same session is written three times in one run: to SQLite and to PostgreSQL as sessions write it, and
by a naive writer that keeps the whole history after every step, as checkpointers do, on the same SQLite settings. The
history is there before the count begins. What is counted is what the system took of the journal's processes for its
disk, logs included, and beside it the bytes of the entries alone.
"""

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agent_core.config import SessionConfig
from agent_core.content import TextBlock, ToolResultBlock, ToolUseBlock
from agent_core.entries import Accepted, Complete, Entry, Opened, ToolBatch, ToolCall, ToolSettled, encode
from agent_core.journals.catalog import FullJournal
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.sqlite import SqliteJournal
from agent_core.messages import AssistantMessage, SessionId, TurnId, Usage
from agent_core.payloads import UserInput
from agent_core.ports import Append, Record
from benchmarks.figures import Figure, figure, show
from tests.postgres import PostgresCluster, binaries, running

SESSION, TURN = SessionId("session-000000"), TurnId("turn-1")
CHARACTERS_A_TOKEN = 4


def history(tokens: int) -> list[Entry]:
    """The entries of a conversation of about so many tokens, in messages of a thousand each."""
    chance, entries = random.Random(1), list[Entry]()
    for number in range(tokens // 2000):
        entries.append(Accepted(turn_id=TURN, payload=UserInput.of(_words(chance, 1000 * CHARACTERS_A_TOKEN))))
        entries.append(_answer(number, TextBlock(text=_words(chance, 1000 * CHARACTERS_A_TOKEN))))
    return entries


def _words(chance: random.Random, size: int) -> str:
    """So many characters that do not compress better than text does: PostgreSQL compresses long values."""
    words = [f"{chance.getrandbits(24):06x}" for _ in range(997)]
    return " ".join(chance.choices(words, k=size // 7 + 1))[:size]


def _answer(number: int, block: TextBlock | ToolUseBlock) -> Complete:
    message = AssistantMessage(
        id=f"m{number}",
        session_id=SESSION,
        turn_id=TURN,
        created_at=1.7e9,
        completed_at=1.7e9,
        provider="anthropic",
        model="claude-sonnet-5-5",
        usage=Usage(input_tokens=200_000, output_tokens=60),
        finish_reason="tool_use",
        content=(block,),
    )
    return Complete(turn_id=TURN, message=message, stop_reason="tool_use")


def steps(calls: int, size: int) -> list[list[Entry]]:
    """What a turn appends, as it commits it: an answer with its call in one append, the call's result in another."""
    chance, made = random.Random(2), list[list[Entry]]()
    for number in range(calls):
        id, given = f"call_{number}", {"path": f"src/module_{number}.py"}
        result = ToolResultBlock(tool_use_id=id, content=_words(chance, size))
        answer = _answer(number, ToolUseBlock(id=id, name="read", input=given))
        call = ToolCall(id=id, name="read", input=given)
        made.append([answer, ToolBatch(turn_id=TURN, message_id=f"m{number}", calls=(call,))])
        made.append([ToolSettled(turn_id=TURN, result=result, outcome="ok")])
    return made


@dataclass(frozen=True, slots=True)
class Bytes:
    """`kept` is by how much the database grew, `given` what went to its files and logs on the way."""

    kept: int
    given: int


def _written() -> int:
    """What this process has passed to the system's calls for writing so far, whatever the disk does with it."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def _size(path: Path) -> int:
    return path.stat().st_size


async def _write(journal: FullJournal, groups: Sequence[Sequence[Entry]], first: int) -> int:
    """Append the groups one after the other, as one session does; the number after the last record."""
    for entries in groups:
        records = [Record(first + place, 1, 1.7e9, entry) for place, entry in enumerate(entries)]
        outcomes = await journal.append([Append(SESSION, 1, records)])
        if outcomes != [None]:
            raise outcomes[0] or RuntimeError("no outcome")
        first += len(entries)
    return first


async def _begin(journal: FullJournal, before: Sequence[Entry]) -> int:
    await journal.claim(SESSION, "benchmark", Record(1, 1, 1.7e9, Opened(config=SessionConfig(model="local/smollm2"))))
    return await _write(journal, [before], 2)


async def on_sqlite(path: Path, before: Sequence[Entry], groups: Sequence[Sequence[Entry]]) -> Bytes:
    """The file, and everything that was written to it and its log."""
    async with SqliteJournal(path) as journal:
        first = await _begin(journal, before)
    start, written = _size(path), _written()
    async with SqliteJournal(path) as journal:
        await _write(journal, groups, first)
    # Closing has copied the log into the file.
    return Bytes(_size(path) - start, _written() - written)


async def on_postgres(server: PostgresCluster, before: Sequence[Entry], groups: Sequence[Sequence[Entry]]) -> Bytes:
    """The relations of the database, and the write-ahead log, which is what a commit writes."""
    database = server.create_database()

    def look() -> tuple[int, int]:
        server.ask("CHECKPOINT")
        sizes = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relkind = 'r'"
        [(kept,)] = server.ask(f"{sizes} AND relnamespace = 'public'::regnamespace", database)
        [(log,)] = server.ask("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
        return kept, log

    async with PostgresJournal(server.owner_dsn(database)) as journal:
        first = await _begin(journal, before)
        kept, log = look()
        await _write(journal, groups, first)
        later_kept, later_log = look()
    return Bytes(later_kept - kept, later_log - log)


def naive(path: Path, before: Sequence[Entry], groups: Sequence[Sequence[Entry]]) -> Bytes:
    """A table with a row for each step that holds the whole history up to it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE checkpoints (session TEXT, step INTEGER, state BLOB, PRIMARY KEY (session, step))")
    state = [encode(entry) for entry in before]
    connection.execute("INSERT INTO checkpoints VALUES (?, 0, ?)", (SESSION, b"\n".join(state)))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    start, written = path.stat().st_size, _written()
    for step, entries in enumerate(groups, start=1):
        state += [encode(entry) for entry in entries]
        connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", (SESSION, step, b"\n".join(state)))
    connection.close()
    return Bytes(path.stat().st_size - start, _written() - written)


async def measure(calls: int, size: int, tokens: int) -> list[Figure]:
    """All three on the same entries."""
    before, groups = history(tokens), steps(calls, size)
    alone = sum(len(encode(entry)) for entries in groups for entry in entries)
    goal = f"<= {2.0 * calls * size / 500_000:g}"
    with tempfile.TemporaryDirectory(prefix="journal-bytes-") as directory:
        ours = await on_sqlite(Path(directory, "journal.sqlite"), before, groups)
        theirs = naive(Path(directory, "naive.sqlite"), before, groups)
    found = [
        figure("F6", "SQLite: the file grew by", ours.kept / 1e6, "MB", goal),
        figure("F6", "SQLite: written to file and log", ours.given / 1e6, "MB"),
        figure("F6", "the entries alone", alone / 1e6, "MB"),
        figure("F6", "whole history at each step: the file grew by", theirs.kept / 1e6, "MB"),
        figure("F6", "whole history at each step: written to file and log", theirs.given / 1e6, "MB"),
        figure("F6", "that is so many times as much in the file", theirs.kept / ours.kept, "x"),
    ]
    if binaries() is not None:
        with running(sync=True) as server:
            database = await on_postgres(server, before, groups)
        found.append(figure("F6", "PostgreSQL: the tables grew by", database.kept / 1e6, "MB", goal))
        found.append(figure("F6", "PostgreSQL: written to the log", database.given / 1e6, "MB"))
    return found


def main(
    calls: Annotated[int, typer.Option(help="How many tool calls.")] = 100,
    size: Annotated[int, typer.Option(help="Characters of each result.")] = 5000,
    tokens: Annotated[int, typer.Option(help="Tokens of history before them.")] = 200_000,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the bytes that a turn with many tool calls has a journal keep."""
    show(f"{calls} tool calls on {tokens:,} tokens", asyncio.run(measure(calls, size, tokens)), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
