"""Group commit: what waits together goes together, in order, and nobody waits for another group."""

import asyncio
from collections.abc import Sequence

import pytest

from agent_core.journals.batching import Batcher, Limits


class Slow:
    """Performs a group when it is told to, and remembers the groups."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.go = asyncio.Semaphore(0)
        self.begun = asyncio.Event()

    async def perform(self, items: Sequence[str]) -> Sequence[str]:
        self.groups.append(list(items))
        self.begun.set()
        await self.go.acquire()
        if "bad" in items:
            raise ValueError("bad")
        return [item.upper() for item in items]


def batcher(slow: Slow, limits: Limits | None = None) -> Batcher[str, str]:
    return Batcher(slow.perform, len, limits)


async def test_what_arrives_while_a_group_is_under_way_makes_the_next_one() -> None:
    slow = Slow()
    batch = batcher(slow)
    first = asyncio.ensure_future(batch.submit(["a"]))
    await slow.begun.wait()
    others = [asyncio.ensure_future(batch.submit([letter, letter])) for letter in "bcd"]
    await asyncio.sleep(0)
    slow.go.release()
    assert await first == ["A"]
    slow.go.release()
    assert await asyncio.gather(*others) == [["B", "B"], ["C", "C"], ["D", "D"]]
    assert slow.groups == [["a"], ["b", "b", "c", "c", "d", "d"]]


async def test_what_is_submitted_in_one_pass_of_the_loop_makes_one_group() -> None:
    slow = Slow()
    slow.go.release()
    batch = batcher(slow)
    await asyncio.gather(*(batch.submit([letter]) for letter in "abc"))
    assert slow.groups == [["a", "b", "c"]]


async def test_distance_gathers_those_who_come_at_the_same_time() -> None:
    slow = Slow()
    batch = batcher(slow, Limits(distance=100.0))
    batch._company = 1.0
    # The first caller finds nobody, so nine tenths of the distance are kept, and a fifth of a second is left of them.
    batch._begun = asyncio.get_running_loop().time() - 89.8
    slow.go.release()

    async def later(passes: int) -> None:
        for _ in range(passes):
            await asyncio.sleep(0)
        await batch.submit([str(passes)])

    await asyncio.gather(*(later(passes) for passes in range(5)))
    assert slow.groups == [["0", "1", "2", "3", "4"]]


async def test_caller_who_is_alone_never_waits_for_the_distance() -> None:
    slow = Slow()
    batch = batcher(slow, Limits(distance=3600.0))
    for turn in range(20):
        slow.go.release()
        await batch.submit([str(turn)])
    assert len(slow.groups) == 20


@pytest.mark.parametrize(("limits", "size"), [(Limits(items=2), 2), (Limits(weight=4), 2)])
async def test_group_is_bounded_and_a_caller_s_items_stay_together(limits: Limits, size: int) -> None:
    slow = Slow()
    for _ in range(9):
        slow.go.release()
    batch = batcher(slow, limits)
    answers = await asyncio.gather(*(batch.submit(["xx"]) for _ in range(5)), batch.submit(["aa", "bb", "cc"]))
    assert answers[-1] == ["AA", "BB", "CC"]
    assert [len(group) for group in slow.groups] == [size, size, 4]


async def test_failed_group_fails_its_own_callers_only() -> None:
    slow = Slow()
    batch = batcher(slow)
    bad = asyncio.ensure_future(batch.submit(["bad"]))
    await slow.begun.wait()
    good = asyncio.ensure_future(batch.submit(["good"]))
    slow.go.release()
    slow.go.release()
    with pytest.raises(ValueError, match="bad"):
        await bad
    assert await good == ["GOOD"]


async def test_drain_returns_when_everything_is_answered() -> None:
    slow = Slow()
    batch = batcher(slow)
    await batch.drain()
    answer = asyncio.ensure_future(batch.submit(["a"]))
    await slow.begun.wait()
    draining = asyncio.ensure_future(batch.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    slow.go.release()
    await draining
    assert answer.done()


async def test_cancelled_runner_cancels_the_callers_of_its_group() -> None:
    slow = Slow()
    batch = batcher(slow)
    waiting = asyncio.ensure_future(batch.submit(["a"]))
    await slow.begun.wait()
    assert batch._runner is not None
    batch._runner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
