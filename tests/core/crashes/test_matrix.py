"""A conversation whose process is lost at any moment ends as if nothing had happened."""

import asyncio
import gc
from collections.abc import Iterator, Sequence
from random import Random
from typing import get_args

import pytest

from agent_core import inputs
from agent_core.entries import Entry
from agent_core.garbage import settle_garbage
from agent_core.ports import Append, Record
from agent_core.simulation.loop import run
from agent_core.simulation.rules import check_journal, check_settled, check_view
from tests.core.crashes.checks import Uncrashed
from tests.core.crashes.play import Ending, play
from tests.core.crashes.points import Provider
from tests.core.crashes.world import SESSION, World, records_of

ALWAYS, NEVER = 1, 1_000_000
_LONG = 100.0


@pytest.fixture(scope="module", autouse=True)
def _little_garbage() -> Iterator[None]:
    """Each run makes and leaves a whole world; what lives before need not be looked through for each."""
    before = gc.get_threshold()
    settle_garbage()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
    # As it was found: what lives for the whole run is not looked through.
    gc.collect()
    gc.freeze()


def test_the_conversation_has_every_kind_of_entry() -> None:
    ending = play((), NEVER, Provider())
    kinds = {member.model_fields["kind"].default for member in get_args(get_args(Entry)[0])}
    assert {record.entry.kind for record in records_of(ending.world.store)} == kinds
    assert {getattr(record.entry, "strategy", None) for record in records_of(ending.world.store)} >= {
        "llm",
        "threshold",
    }


def test_the_conversation_ends_alike_wherever_its_process_is_lost() -> None:
    """Each claim is also compared with what it would be without the snapshot."""
    _lose_process_at_each(ALWAYS, step=1)


def test_the_conversation_ends_alike_without_any_snapshot() -> None:
    _lose_process_at_each(NEVER, step=7)


def _lose_process_at_each(snapshot_after: int, step: int) -> None:
    provider = Provider()
    uncrashed = Uncrashed(play((), snapshot_after, provider))
    uncrashed.check(uncrashed.ending)
    moments = uncrashed.ending.world.points.reached
    assert len(moments) > 400
    for moment in range(0, len(moments), step):
        ending = play((moment,), snapshot_after, provider)
        assert ending.world.points.reached[: moment + 1] == moments[: moment + 1], "it does not repeat itself"
        _check(uncrashed, ending, f"{moment} ({moments[moment]})")


def test_the_conversation_ends_alike_when_the_next_owner_is_lost_too() -> None:
    random, provider = Random(4), Provider()
    uncrashed = Uncrashed(play((), ALWAYS, provider))
    moments = uncrashed.ending.world.points.reached
    for moment in range(0, len(moments), 5):
        # The next owner is lost within its recovery, or soon after; and so is the one after it.
        second = moment + random.randrange(1, 9)
        third = second + random.randrange(1, 9)
        _check(uncrashed, play((moment, second, third), ALWAYS, provider), f"{moment}, {second} and {third}")


def _check(uncrashed: Uncrashed, ending: Ending, where: str) -> None:
    try:
        uncrashed.check(ending)
    except AssertionError as error:
        error.add_note(f"The process was lost at moment {where}.")
        raise


def test_whatever_entry_is_the_last_a_new_owner_brings_the_session_to_rest() -> None:
    """A journal that ends at any entry, within what was written at once too: nothing that may have run runs again."""
    provider = Provider()
    records = records_of(play((), NEVER, provider).world.store)
    for end in range(1, len(records) + 1):
        run(lambda end=end: _take_up(records[:end], provider))


async def _take_up(records: Sequence[Record], provider: Provider) -> None:
    world = World((), NEVER, provider)
    for epoch in range(1, records[-1].epoch + 1):
        await world.store.claim(SESSION, "lost")
        own = [record for record in records if record.epoch == epoch]
        assert await world.store.append([Append(SESSION, epoch, own)]) == [None]
    may_have_run = world.open_calls()
    shell = await world.host.open(SESSION, reopen=True)
    for _ in range(5):
        # What waits for ever, for a result from outside or for an answer that stalls, is interrupted.
        await asyncio.sleep(_LONG)
        await shell.perform(inputs.Interrupt("keep"))
    await shell.settled()
    assert not provider.broken, provider.broken
    assert world.ledger.wrong == []
    assert not {key.rpartition("/")[2] for key in world.ledger.runs} & may_have_run
    check_journal(SESSION, records_of(world.store))
    check_settled(SESSION, shell.conversation)
    check_view(SESSION, shell.conversation, records_of(world.store))
