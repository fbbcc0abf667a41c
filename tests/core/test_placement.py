"""Placement is computed alike by everybody, spreads evenly, and moves as little as can be."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.placement import rendezvous, shard_of

NAMES = [f"actor-{number}" for number in range(8)]


def test_a_lost_actor_moves_only_the_sessions_that_were_its() -> None:
    keys = [f"s-{number}" for number in range(500)]
    before = {key: rendezvous(key, NAMES) for key in keys}
    after = {key: rendezvous(key, NAMES[1:]) for key in keys}
    assert {key for key in keys if before[key] != after[key]} == {key for key in keys if before[key] == NAMES[0]}


def test_sessions_are_spread_over_actors_and_shards() -> None:
    keys = [f"s-{number}" for number in range(4_000)]
    assert min(Counter(rendezvous(key, NAMES) for key in keys).values()) > 350
    assert min(Counter(shard_of(key, 8) for key in keys).values()) > 350


@given(st.text(), st.permutations(NAMES))
def test_the_order_of_names_does_not_matter(key: str, names: list[str]) -> None:
    assert rendezvous(key, names) == rendezvous(key, NAMES)


@given(st.text(), st.integers(1, 50))
def test_a_shard_is_one_of_those_there_are(key: str, shards: int) -> None:
    assert 0 <= shard_of(key, shards) < shards


def test_placement_is_the_same_in_every_process_and_release() -> None:
    assert [rendezvous(key, NAMES) for key in ("a", "b", "s-1")] == ["actor-3", "actor-1", "actor-4"]
    assert [shard_of(key, 4) for key in ("a", "b", "s-1")] == [3, 1, 2]


def test_without_actors_there_is_no_place() -> None:
    with pytest.raises(ValueError, match="empty"):
        rendezvous("s-1", [])
