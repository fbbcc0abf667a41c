"""Which nodes session actors go to, and what is asked of an autoscaler for them: decided without any cluster."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand import QUIET, Bundles, Demand
from actors.nodes import ROLE_LABEL, SessionNode, for_sessions, misplaced, node_called, roomiest
from actors.settings import RuntimeSettings
from agent_core.errors import PlacementError

GB = 1e9
SMALL = SessionNode("aaaa1111", "10.0.0.1", "one", cpus=2, memory=4 * GB)
LARGE = SessionNode("bbbb2222", "10.0.0.2", "two", cpus=4, memory=12 * GB)
HEAD = SessionNode("cccc3333", "10.0.0.3", "head", cpus=0, memory=50 * GB)
TOOLS = SessionNode("dddd4444", "10.0.0.4", "four", role="tools", cpus=64, memory=90 * GB)
OURS = SessionNode("eeee5555", "10.0.0.4", "four", role="sessions", cpus=2, memory=4 * GB)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ([SMALL, LARGE, HEAD, TOOLS], [SMALL, LARGE]),
        ([SMALL, OURS, TOOLS], [OURS]),
        ([SMALL, replace(OURS, draining=True)], [SMALL]),
        ([HEAD, TOOLS], [TOOLS]),
        ([HEAD], [HEAD]),
        ([replace(HEAD, draining=True)], []),
    ],
)
def test_session_actors_go_to_nodes_of_theirs_and_else_to_those_that_have_room(
    there: list[SessionNode], taken: list[SessionNode]
) -> None:
    assert for_sessions(there) == taken


def test_each_actor_goes_where_it_has_the_most_memory() -> None:
    load: Counter[str] = Counter()
    for _ in range(8):
        node = roomiest([SMALL, LARGE], load)
        assert node is not None
        load[node.id] += 1
    assert load == {SMALL.id: 2, LARGE.id: 6}
    assert roomiest([], load) is None


@given(st.lists(st.integers(1, 64), min_size=1, max_size=6), st.integers(0, 30))
def test_moving_actors_one_by_one_comes_to_an_end_and_leaves_no_node_out(sizes: list[int], actors: int) -> None:
    nodes = [SessionNode(f"node{number}", memory=size * GB) for number, size in enumerate(sizes)]
    placed = {f"sessions/{number}": nodes[0].id for number in range(actors)}
    for _ in range(actors + 1):
        name = misplaced(nodes, placed)
        if name is None:
            break
        best = roomiest(nodes, Counter(placed.values()))
        assert best is not None
        placed[name] = best.id
    assert misplaced(nodes, placed) is None
    if len(set(sizes)) == 1 and actors >= len(nodes):
        load = Counter(placed.values())
        assert max(load.values()) - min(load[node.id] for node in nodes) <= 1


def test_a_node_is_found_by_the_beginning_of_its_id_its_address_or_its_host() -> None:
    nodes = [SMALL, LARGE, TOOLS, OURS]
    assert [node_called(word, nodes) for word in ("aaaa", "10.0.0.2", "one")] == [SMALL, LARGE, SMALL]
    with pytest.raises(PlacementError, match="is the name of 2 nodes"):
        node_called("four", nodes)
    with pytest.raises(PlacementError, match="'aaa' is no node"):
        node_called("aaa", nodes)


async def test_work_that_the_nodes_have_no_cpus_for_is_asked_for_once_and_given_back_when_it_is_over() -> None:
    asked: list[tuple[Bundles, list[dict[str, str]]]] = []
    settings = RuntimeSettings("rayconteur/x", "/x", session_actors=6, sessions_per_actor=1000)
    demand = Demand(settings, lambda bundles, selectors: asked.append((bundles, selectors)))
    await demand.follow(200, [OURS], 0.0)
    assert asked == []
    for now in (1.0, 2.0):
        await demand.follow(350, [OURS], now)
    assert asked == [([{"CPU": 1.0}] * 4, [{ROLE_LABEL: "sessions"}] * 4)]
    # However much there is to do, so many actors have no use for more.
    await demand.follow(5_000, [OURS], 3.0)
    assert len(asked[-1][0]) == 6
    three = [OURS, OURS, OURS]
    await demand.follow(600, three, 4.0)
    await demand.follow(10, three, 4.0 + QUIET)
    assert len(asked) == 2
    await demand.follow(10, three, 5.0 + QUIET)
    await demand.follow(10, three, 6.0 + QUIET)
    assert asked[2:] == [([], [])]
    await demand.follow(350, [SMALL], 7.0 + QUIET)
    assert asked[3] == ([{"CPU": 1.0}] * 4, [{}] * 4)
