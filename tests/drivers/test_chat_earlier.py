"""What a chat shows of a conversation that goes on: its end, and what became of the rest."""

import asyncio
from typing import Any

from agent_core.compaction.settings import LLMCompaction
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId
from agent_core.testing import Says
from drivers.chatting.earlier import SHOWN_MESSAGES, SHOWN_TURNS, SUMMARY_LINES, earlier
from drivers.chatting.pieces import Answered, Noted, Piece, Summarised, ToolUsed, UserSaid, pieces_of
from tests.core.playbook import LOOKUP
from tests.core.stage import Stage, until

NO_LONGER_SEEN = Noted("the model no longer sees what is above: it was cleared or left out")


async def shown(session: LocalSession) -> list[Piece]:
    return earlier(await session.history(full=True), await session.history())


def said(pieces: list[Piece]) -> list[str]:
    return [piece.text for piece in pieces if isinstance(piece, UserSaid)]


async def compacted(stage: Stage, session: LocalSession, summary: str) -> None:
    asking = asyncio.create_task(session.compact())
    await until(lambda: stage.compactor.jobs)
    stage.compactor.finish(stage.compactor.jobs[-1], summary)
    assert (await asking).compacted


async def talk(turns: int, **settings: Any) -> tuple[Stage, LocalSession]:
    stage = Stage(*(Says(f"Answer {number}.") for number in range(turns + 1)))
    session = await stage.session(SessionId("s"), LOOKUP, **settings)
    for number in range(turns):
        await session.ask(f"Question {number}. " + "words " * 60)
    return stage, session


async def test_a_short_conversation_is_shown_whole() -> None:
    _, session = await talk(SHOWN_TURNS)
    assert await shown(session) == pieces_of(await session.history())


async def test_a_new_session_shows_nothing() -> None:
    _, session = await talk(0)
    assert await shown(session) == []


async def test_of_a_long_conversation_the_last_turns_are_shown_and_how_many_came_before() -> None:
    _, session = await talk(SHOWN_TURNS + 2)
    pieces = await shown(session)
    assert pieces[0] == Noted("2 earlier turns: /history full shows them")
    assert len(said(pieces)) == SHOWN_TURNS
    assert said(pieces)[0].startswith("Question 2.")


async def test_of_a_turn_with_very_many_calls_the_end_is_shown() -> None:
    calls = [Says("", calls=[("lookup", {"n": number})]) for number in range(SHOWN_MESSAGES)]
    stage = Stage(*calls, Says("Done."), functions={"lookup": lambda _: "found"})
    session = await stage.session(SessionId("s"), LOOKUP)
    await session.ask("Look twenty times.")
    pieces = await shown(session)
    assert sum(isinstance(piece, ToolUsed) for piece in pieces) <= SHOWN_MESSAGES / 2
    assert isinstance(pieces[0], Noted)
    assert pieces[-1] == Answered("Done.")


async def test_a_summary_stands_where_what_the_model_sees_begins() -> None:
    stage, session = await talk(4, compaction=LLMCompaction(keep_recent_turns=1, mechanical=None))
    lines = [f"line {number}" for number in range(SUMMARY_LINES + 3)]
    await compacted(stage, session, "\n".join(lines))
    pieces = await shown(session)
    (place,) = [number for number, piece in enumerate(pieces) if isinstance(piece, Summarised)]
    assert pieces[place] == Summarised("\n".join(lines[:SUMMARY_LINES]), until="here", hidden=3)
    assert [text[:11] for text in said(pieces[:place])] == ["Question 1.", "Question 2."]
    assert [text[:11] for text in said(pieces[place:])] == ["Question 3."]
    whole = pieces_of(await session.history())[0]
    assert whole == Summarised("\n".join(lines))


async def test_what_was_cleared_is_told_apart_from_what_the_model_sees() -> None:
    _, session = await talk(2)
    await session.clear()
    assert (await shown(session))[-1] == NO_LONGER_SEEN
    await session.ask("Anew.")
    pieces = await shown(session)
    assert said(pieces[pieces.index(NO_LONGER_SEEN) :]) == ["Anew."]
