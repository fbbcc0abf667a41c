"""A glance counts every session, tells no more of them than were asked for, and leaves them as they are."""

import asyncio
import os
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from agent_core.config import SessionConfig
from agent_core.cursor import Cursor
from agent_core.entries import Opened
from agent_core.glance import GlanceRequest, HostGlance, SessionOrder, first_of, glance
from agent_core.hosting import SessionHost
from agent_core.messages import SessionId
from agent_core.stream import Subscription
from agent_core.tally import Totals
from agent_core.testing import Says
from tests.core.stage import Stage, until


def seen(host: SessionHost, asked: GlanceRequest | None = None, **fields: object) -> HostGlance:
    """What a host shows of these."""
    return glance(host.shells, asked or GlanceRequest.model_validate(fields), Totals(turns=3))


def ids(told: HostGlance) -> Sequence[str]:
    return [line.session_id for line in told.lines]


async def stage_of(*names: str) -> Stage:
    """A stage with these sessions, the first of them opened first."""
    stage = Stage()
    for name in names:
        stage.clock.advance(1)
        opened = Opened(config=SessionConfig(model="local/fake", compaction=None), labels={"team": name})
        await stage.host.open(SessionId(name), opened)
    return stage


async def test_all_are_counted_and_a_page_is_told_the_last_used_first() -> None:
    stage = await stage_of(*(f"s{number:03d}" for number in range(60)))
    told = seen(stage.host, limit=3)
    assert (told.states, told.matching, told.totals.turns) == ({"idle": 60}, 60, 3)
    assert ids(told) == ["s059", "s058", "s057"]
    assert told.process.pid == os.getpid()
    assert told.process.memory > 0


async def test_nothing_is_told_where_no_line_is_wanted_and_too_many_cannot_be_asked_for() -> None:
    stage = await stage_of("a", "b")
    assert (ids(seen(stage.host, limit=0)), seen(stage.host, limit=0).matching) == ([], 2)
    with pytest.raises(ValidationError):
        GlanceRequest(limit=1_000_000)


@pytest.mark.parametrize(
    ("search", "found"), [("ab", ["ab-1", "abc"]), ("team=x", ["other"]), ("xy", ["other"]), ("b-1", [])]
)
async def test_the_search_is_for_how_an_id_or_a_label_begins(search: str, found: list[str]) -> None:
    stage = await stage_of("ab-1", "abc", "other")
    stage.shell("other").conversation.labels["team"] = "xyz"
    told = seen(stage.host, search=search, order="id")
    assert (ids(told), told.matching, sum(told.states.values())) == (found, len(found), 3)


async def test_only_those_of_a_state_are_told_and_each_says_what_it_does() -> None:
    stage = Stage(Says("never"))
    stage.model.gate = asyncio.Event()
    await stage.session("quiet")
    busy = await stage.session("busy")
    await busy.submit("q")
    await busy.submit("and then")
    told = seen(stage.host, states=("running",))
    (line,) = told.lines
    assert told.states == {"idle": 1, "running": 1}
    assert (line.session_id, line.state, line.queued, line.turns, line.model) == ("busy", "running", 1, 2, "local/fake")
    await busy.interrupt("keep")


async def test_one_that_is_open_elsewhere_is_told_whatever_is_searched_for() -> None:
    stage = await stage_of("a", "b")
    told = seen(stage.host, search="nothing", also="b")
    assert (ids(told), told.also and told.also.session_id) == ([], "b")
    assert seen(stage.host, also="unknown").also is None


@pytest.mark.parametrize("order", ["recent", "id", "context", "tokens", "queued"])
async def test_pages_of_several_processes_make_the_page_that_one_would_have_told(order: SessionOrder) -> None:
    stage = Stage(*(Says("answer " * number) for number in (3, 1, 2, 5)))
    for name in "dbac":
        stage.clock.advance(1)
        await (await stage.session(name)).ask("q" * ord(name))
    whole, asked = seen(stage.host, order=order), GlanceRequest(order=order, limit=2)
    halves = [glance(part, asked, Totals()) for part in (stage.host.shells[:2], stage.host.shells[2:])]
    assert first_of([line for half in halves for line in half.lines], asked) == whole.lines[:2]


async def test_an_onlooker_sees_a_turn_and_keeps_its_session_from_nothing() -> None:
    stage = Stage(Says("fine"))
    session = await stage.session("s")
    stream, shell = stage.shell("s").stream, stage.shell("s")
    watching = Subscription(stream, lambda seq: stage.journal.read(SessionId("s"), seq), Cursor(0, 1), onlooker=True)
    kinds: list[str] = []

    async def look() -> None:
        kinds.extend([event.payload.kind async for event in watching])

    looking = asyncio.create_task(look())
    await session.ask("q")
    assert shell.idle_since is not None
    used = shell.used_at
    seen(stage.host)
    assert shell.used_at == used
    assert await stage.host.put_away() == 1
    await looking
    assert (kinds[0], kinds[-1]) == ("opened", "turn_ended")
    assert not stream.is_read


async def test_a_reader_keeps_its_session_though_an_onlooker_leaves() -> None:
    stage = Stage()
    await stage.session("s")
    shell = stage.shell("s")
    reader, onlooker = (
        Subscription(shell.stream, lambda seq: stage.journal.read(SessionId("s"), seq), onlooker=is_onlooker)
        for is_onlooker in (False, True)
    )
    await until(lambda: shell.stream.is_read)
    onlooker.close()
    assert shell.idle_since is None
    reader.close()
    assert shell.idle_since is not None
