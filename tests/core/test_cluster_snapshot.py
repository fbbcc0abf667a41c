"""What two looks at a cluster say of the time between them, and what one says of all its actors."""

import pytest

from agent_core.cluster_snapshot import ActorLine, ClusterSnapshot, kind_of, rates
from agent_core.process_figures import ProcessFigures
from agent_core.tally import Totals


def actor(
    name: str = "sessions/0", *, pid: int = 1, cpu: float = 0.0, turns: int = 0, answering: bool = True
) -> ActorLine:
    """An actor that has made so many turns, in so many seconds of CPU time."""
    return ActorLine(
        name=name, runtime="r", kind=kind_of(name), state="alive", pid=pid, answering=answering,
        process=ProcessFigures(pid=pid, cpu_seconds=cpu),
        totals=Totals(since=pid, turns=turns, output_tokens=10 * turns),
    )  # fmt: skip


def at(seconds: float, *actors: ActorLine) -> ClusterSnapshot:
    return ClusterSnapshot(at=seconds, actors=actors)


def test_rates_are_differences_by_the_second() -> None:
    now = rates((at(10, actor(cpu=1, turns=5)), at(12, actor(cpu=2, turns=9))))
    assert (now.seconds, now.turns, now.output_tokens, now.cpu) == (2, 2, 20, {("r", "sessions/0"): 50})


def test_one_look_tells_no_rate() -> None:
    assert rates((at(10, actor(turns=5)),)) == rates(()) == rates((at(1, actor()), at(1, actor(turns=9))))


def test_a_process_that_started_again_or_is_new_counts_from_when_it_was_first_seen() -> None:
    looks = [
        at(0, actor(turns=90)),
        at(1, actor(pid=2, turns=3)),
        at(2, actor(pid=2, turns=7), actor("sessions/1", turns=50)),
    ]
    assert rates(looks).turns == pytest.approx(2)


def test_what_an_actor_did_before_it_fell_silent_still_counts() -> None:
    looks = [at(0, actor(turns=0)), at(1, actor(turns=6)), at(2, actor(answering=False))]
    assert rates(looks).turns == pytest.approx(3)
    assert [silent.name for silent in looks[-1].silent] == ["sessions/0"]


def test_totals_are_those_of_all_actors_since_the_first() -> None:
    totals = at(9, actor(pid=4, turns=2), actor("sessions/1", pid=3, turns=5)).totals
    assert (totals.since, totals.turns, totals.output_tokens, totals.retries) == (3, 7, 70, 0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("router/0", "router"),
        ("session/3", "session"),
        ("tools/ab12/0", "tools"),
        ("local-model", "local model"),
        ("x", "other"),
    ],
)
def test_an_actor_is_known_by_its_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind
