"""Places are few; the most urgent who waits longest comes first, and no place is lost."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import ConfigError
from agent_core.providers.permit import LocalPermit
from tests.core.providers.making import settle

CLASSES = ("interactive", "batch", "summary")


async def test_as_many_as_allowed_hold_at_once() -> None:
    permit = LocalPermit(2)
    async with permit.hold("batch", 1):
        assert permit.free
        async with permit.hold("batch", 1):
            assert not permit.free
        assert permit.free


async def test_interactive_comes_before_batch_before_summary_and_each_in_its_order() -> None:
    permit = LocalPermit(1)
    order: list[str] = []

    async def wait(request_class: Any, name: str) -> None:
        async with permit.hold(request_class, 1):
            order.append(name)

    async with permit.hold("batch", 1), asyncio.TaskGroup() as tasks:
        for place in range(2):
            for request_class in reversed(CLASSES):
                tasks.create_task(wait(request_class, f"{request_class} {place}"))
        await settle()
        assert permit.waiting == 6
        permit.give_back()
        await settle()
        # Balanced by the context that this block leaves.
        await permit.take("summary")
    assert order == [f"{request_class} {place}" for request_class in CLASSES for place in range(2)]


async def test_a_place_given_to_someone_who_left_in_that_moment_goes_to_the_next() -> None:
    permit = LocalPermit(1)
    await permit.take("batch")
    first = asyncio.create_task(permit.take("batch"))
    second = asyncio.create_task(permit.take("batch"))
    await settle()
    permit.give_back()
    first.cancel()
    await second
    assert first.cancelled()
    assert not permit.free
    permit.give_back()
    assert permit.free


@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(["run", "leave"])), max_size=12))
def test_whoever_leaves_when_all_places_come_back(allowed: int, callers: list[tuple[Any, str]]) -> None:
    async def play() -> None:
        permit = LocalPermit(allowed)
        holding = most = 0

        async def run(request_class: Any) -> None:
            nonlocal holding, most
            async with permit.hold(request_class, 1):
                holding += 1
                most = max(most, holding)
                try:
                    await asyncio.sleep(0)
                finally:
                    holding -= 1

        tasks = [asyncio.create_task(run(request_class)) for request_class, _ in callers]
        for number, (_, fate) in enumerate(callers):
            await asyncio.sleep(0)
            if fate == "leave":
                tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= allowed
        assert permit.waiting == 0
        for _ in range(allowed):
            assert permit.free
            await permit.take("batch")
        assert not permit.free

    asyncio.run(play())


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_concurrent_requests: 0"):
        LocalPermit(0)
