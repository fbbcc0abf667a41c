"""How a session's records become what a person reads: what stands, what a summary covers, what is still open."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent_core.config import SessionConfig
from agent_core.entries import Cleared, Compacted, Complete, Opened, ToolSettled, TurnEnded
from agent_core.journals.info import SessionInfo
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId
from agent_core.overlays import Summary
from agent_core.ports import Record
from agent_core.seeding import regular
from agent_core.testing import Says
from drivers.chatting.pieces import Listed, Noted, Piece, Summarised, ToolUsed, UserSaid
from drivers.listing.figures import age
from drivers.listing.telling import as_data, told
from tests.core.playbook import LOOKUP
from tests.core.said_before import BEFORE
from tests.core.stage import Stage, until

ID = SessionId("s")


async def records_of_two_turns() -> Sequence[Record]:
    stage = Stage(
        Says("One."), Says("I look.", calls=[("lookup", {})]), Says("Two."), functions={"lookup": lambda _: "found"}
    )
    session = await stage.session(ID, LOOKUP)
    await session.ask("First?")
    await session.ask("Second?")
    return await stage.journal.read(ID)


def summarised_through(records: Sequence[Record], kind: type, number: int) -> list[Record]:
    """The records, and a summary of everything up to the message that the entry of that kind and number made."""
    through = [record for record in records if isinstance(record.entry, kind)][number]
    summary = Summary(job_id="1.1", through=f"s/{through.seq}", text="Much was said.")
    entry = Compacted(strategy="llm", overlays=(summary,), tokens_before=9, tokens_after=5)
    return [*records, replace(records[-1], seq=records[-1].seq + 1, entry=entry)]


def pieces_of(records: Sequence[Record], *, full: bool = False) -> list[Piece]:
    info = SessionInfo(ID, "x", 1, len(records), 0.0, 0.0)
    return [piece for part in told(info, records, full=full) for piece in part]


def said(pieces: Sequence[Piece]) -> list[str]:
    return [piece.text for piece in pieces if isinstance(piece, UserSaid)]


async def test_everything_is_shown_where_nothing_was_compacted() -> None:
    records = await records_of_two_turns()
    pieces = pieces_of(records)
    assert pieces == pieces_of(records, full=True)
    assert isinstance(pieces[0], Listed)
    assert said(pieces) == ["First?", "Second?"]
    assert [piece.result for piece in pieces if isinstance(piece, ToolUsed)] == ["found"]


@pytest.mark.parametrize(
    ("kind", "number", "shown", "until"),
    [(Complete, 0, ["Second?"], "u1"), (Complete, 1, ["Second?"], "u2"), (Complete, 2, [], "u2")],
    ids=["between turns", "in the middle of a turn", "at the end"],
)
async def test_a_turn_that_a_summary_covers_in_part_is_shown_whole(
    kind: type, number: int, shown: list[str], until: str
) -> None:
    records = summarised_through(await records_of_two_turns(), kind, number)
    pieces = pieces_of(records)
    assert said(pieces) == shown
    assert Summarised("Much was said.", until=until) in pieces
    full = pieces_of(records, full=True)
    assert said(full) == ["First?", "Second?"]
    assert full.count(Summarised("Much was said.", until=until)) == 1


async def test_a_summary_that_ends_with_a_tools_result_leaves_its_turn_standing() -> None:
    records = summarised_through(await records_of_two_turns(), ToolSettled, 0)
    assert said(pieces_of(records)) == ["Second?"]


async def records_behind_a_history() -> Sequence[Record]:
    stage = Stage(Says("Here."))
    opened = Opened(config=SessionConfig(model="local/fake"), history=regular(BEFORE))
    session = LocalSession(await stage.host.open(ID, opened), stage.host)
    await session.ask("And now?")
    return await stage.journal.read(ID)


async def test_what_a_session_began_with_is_shown_first() -> None:
    pieces = pieces_of(await records_behind_a_history())
    assert said(pieces) == ["Where is my parcel?", "And the other one?", "And now?"]
    assert pieces[1] == Noted("said before the session was opened")
    assert [piece.result for piece in pieces if isinstance(piece, ToolUsed)] == ["not here", "found"]


@pytest.mark.parametrize(
    ("through", "shown", "before", "until"),
    [
        ("s/1.4", ["And the other one?", "And now?"], "1 earlier turn", "u1"),
        ("s/1.6", ["And now?"], "2 earlier turns", "u2"),
        ("s/4", [], "3 earlier turns", "u3"),
    ],
)
async def test_a_summary_may_end_within_what_a_session_began_with(
    through: str, shown: list[str], before: str, until: str
) -> None:
    records = await records_behind_a_history()
    summary = Summary(job_id="1.1", through=through, text="Much was said.")
    entry = Compacted(strategy="llm", overlays=(summary,), tokens_before=9, tokens_after=5)
    records = [*records, replace(records[-1], seq=records[-1].seq + 1, entry=entry)]
    pieces = pieces_of(records)
    assert said(pieces) == shown
    assert Summarised("Much was said.", until=until) in pieces
    assert any(isinstance(piece, Noted) and piece.text.startswith(f"{before}, of which") for piece in pieces)
    assert said(pieces_of(records, full=True)) == ["Where is my parcel?", "And the other one?", "And now?"]


async def test_what_a_session_began_with_is_gone_with_what_was_cleared() -> None:
    records = await records_behind_a_history()
    records = [*records, replace(records[-1], seq=records[-1].seq + 1, entry=Cleared())]
    assert said(pieces_of(records)) == []
    noted = [piece.text for piece in pieces_of(records) if isinstance(piece, Noted)]
    assert noted[0].startswith("3 earlier turns cleared")


async def test_a_turn_that_is_open_and_messages_that_wait_are_shown_as_such() -> None:
    stage = Stage(Says("", calls=[("lookup", {})]), held=True)
    session = await stage.session(ID, LOOKUP)
    await session.submit("First?")
    await until(lambda: stage.tools.waiting)
    await session.submit("Second?")
    records = await stage.journal.read(ID)
    pieces = pieces_of(records)
    assert pieces[-2:] == [Noted("the turn is open", "warning"), Noted("waits: Second?", "warning")]
    assert [piece.result for piece in pieces if isinstance(piece, ToolUsed)] == [None]
    info = SessionInfo(ID, "x", 1, len(records), 0.0, 0.0)
    assert as_data(info, records, full=False)["open_turn"] == "u1"


async def test_how_a_turn_ended_is_shown() -> None:
    stage = Stage(Says("Half an answer."))
    stage.model.gate = asyncio.Event()
    session = await stage.session(ID)
    await session.submit("First?")
    await session.interrupt("discard")
    records = await stage.journal.read(ID)
    assert isinstance(records[-1].entry, TurnEnded)
    assert pieces_of(records)[-1] == Noted("interrupted; the turn was taken back", "warning")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (7_199, "1 h"), (90_000, "1 d"), (89 * 86_400, "89 d"), (4e7, "15 mo")],
)
def test_an_age_is_one_number(seconds: float, shown: str) -> None:
    assert age(seconds) == shown
