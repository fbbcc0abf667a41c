"""Thousands of sessions lose their process in the middle of a turn: each comes back when it is wanted, none before."""

import asyncio

from agent_core.config import SessionConfig
from agent_core.entries import Accepted, Opened, TurnStarted
from agent_core.messages import SessionId, TurnId
from agent_core.payloads import UserInput
from agent_core.ports import Append, Claim, Record
from agent_core.testing import Says
from tests.core.stage import HeldJournal, Stage, quiet

SESSIONS = 2_000
WANTED = 40


class CountingJournal(HeldJournal):
    """Counts who is claimed."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[SessionId] = []

    async def claim(self, session_id: SessionId, owner: str, first: Record | None = None) -> Claim:
        self.claims.append(session_id)
        return await super().claim(session_id, owner, first)


async def test_of_thousands_of_sessions_with_open_turns_those_come_back_that_are_asked_for() -> None:
    stage = Stage(*[Says("Here I am.")] * WANTED)
    journal = CountingJournal()
    names = [SessionId(f"s{number}") for number in range(SESSIONS)]
    for name in names:
        await _leave_with_an_open_turn(journal, name)
    stage.journal, journal.claims, journal.appends = journal, [], []
    host = stage.another_host("after the storm", capacity=SESSIONS)
    await quiet()
    assert (journal.claims, journal.appends, stage.model.requests) == ([], [], [])
    wanted = names[:: SESSIONS // WANTED]
    # Many who want the same one activate it once.
    shells = await asyncio.gather(*(host.open(name) for name in (*wanted, *wanted, *wanted)))
    ended = await asyncio.gather(*(shell.result(TurnId("u1")) for shell in shells))
    assert {result.text for result in ended} == {"Here I am."}
    assert sorted(journal.claims) == sorted(wanted)
    assert sorted(host.active) == sorted(wanted)
    assert len(stage.model.requests) == WANTED
    assert {append.session_id for appends in journal.appends for append in appends} == set(wanted)


async def _leave_with_an_open_turn(journal: CountingJournal, name: SessionId) -> None:
    turn = TurnId("u1")
    opened = Opened(config=SessionConfig(model="local/fake", compaction=None))
    await journal.claim(name, "lost", Record(1, 1, 0.0, opened))
    accepted = Accepted(turn_id=turn, payload=UserInput.of("Are you there?"))
    started = TurnStarted(turn_id=turn)
    records = [Record(2, 1, 0.0, accepted), Record(3, 1, 0.0, started)]
    assert await journal.append([Append(name, 1, records)]) == [None]
