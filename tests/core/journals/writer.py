"""Appends from several sessions for ever and prints each append once it is answered. It is there to be killed."""

import asyncio
import os
import sys

from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.sqlite import SqliteJournal
from agent_core.messages import SessionId
from agent_core.ports import Journal
from tests.core.journals.making import append, said

SESSIONS = 12


async def talk(journal: Journal, name: str) -> None:
    claim = await journal.claim(SessionId(name), f"process {os.getpid()}")
    seq = len(claim.records)
    while True:
        seq += 1
        assert await journal.append([append(name, claim.epoch, seq, said(f"{name} {seq}"))]) == [None]
        os.write(1, f"{name} {seq}\n".encode())


async def main(path: str) -> None:
    async with PostgresJournal(path) if "://" in path else SqliteJournal(path) as journal:
        await asyncio.gather(*(talk(journal, f"s{number}") for number in range(SESSIONS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
