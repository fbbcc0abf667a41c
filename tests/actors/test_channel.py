"""A session actor's side of a client, by itself: what its readers leave behind. No cluster is asked."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from actors.channel import Channel, Reader
from agent_core.cursor import Cursor
from agent_core.ports import Record
from agent_core.session import Shell
from agent_core.stream import EventStream


class Session:
    """As much of a session as a reader looks at."""

    lost = None

    def __init__(self) -> None:
        self.stream = EventStream(1, 5)


async def nothing(seq: int) -> Sequence[Record]:
    del seq
    await asyncio.sleep(0.01)
    return ()


@pytest.mark.parametrize("steps", [0, 1, 2, 20])
@pytest.mark.parametrize("onlooker", [False, True])
async def test_a_reader_that_leaves_while_it_catches_up_leaves_nothing_behind(steps: int, onlooker: bool) -> None:
    session, channel = Session(), Channel("job", 60.0)
    reader = Reader(channel, 7, cast("Shell", session))
    reader.resume(Cursor(1, 1), nothing, onlooker=onlooker)
    assert session.stream.is_read != onlooker
    for _ in range(steps):
        await asyncio.sleep(0.001)
    reader.leave()
    await asyncio.sleep(0)
    assert not channel.readers
    assert listeners_of(session.stream) == ()


async def test_a_channel_that_closes_lets_go_of_readers_that_have_just_begun() -> None:
    session, channel = Session(), Channel("job", 60.0)
    Reader(channel, 7, cast("Shell", session)).resume(Cursor(1, 1), nothing)
    channel.close()
    assert not session.stream.is_read


def listeners_of(stream: EventStream) -> Any:
    """Who listens, onlookers too."""
    return stream._listeners
