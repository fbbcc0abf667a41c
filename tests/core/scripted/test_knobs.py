"""Faults and delays are drawn from the seed and from counters alone."""

import random

import pytest
from pydantic import ValidationError

from agent_core.scripted import Engine, Fault, FaultKind, Knobs, Match, Reply, Rule, Script, Wire, WireError
from agent_core.scripted.knobs import FaultDraw, first_byte_delay
from tests.core.scripted.bodies import messages_body, user


def drawn(faults: dict[FaultKind, Fault], count: int, seed: int = 0) -> list[FaultKind | None]:
    draw = FaultDraw(faults, random.Random(seed))
    return [draw.draw() for _ in range(count)]


def test_every_nth_and_the_next_n() -> None:
    assert drawn({"cut": Fault(every=3)}, 6) == [None, None, "cut", None, None, "cut"]
    assert drawn({"cut": Fault(next=2)}, 4) == ["cut", "cut", None, None]


def test_a_probability_is_seeded() -> None:
    once = drawn({"cut": Fault(probability=0.5)}, 200, seed=1)
    assert once == drawn({"cut": Fault(probability=0.5)}, 200, seed=1)
    assert once != drawn({"cut": Fault(probability=0.5)}, 200, seed=2)
    assert 60 < once.count("cut") < 140


def test_where_two_faults_fall_the_graver_wins_and_the_other_stays_due() -> None:
    assert drawn({"cut": Fault(next=1), "rate_limited": Fault(next=1)}, 3) == ["rate_limited", "cut", None]


def test_the_delay_is_fixed_or_log_normal_around_its_median() -> None:
    rng = random.Random(0)
    assert first_byte_delay(Knobs(first_byte_s=0.5), None, rng) == 0.5
    delays = sorted(first_byte_delay(Knobs(first_byte_s=0.5, first_byte_sigma=0.5), None, rng) for _ in range(999))
    assert 0.4 < delays[499] < 0.6
    assert delays[0] < 0.3
    assert delays[-1] > 0.8
    assert first_byte_delay(Knobs(slow_first_byte_s=7), "slow_first_byte", rng) == 7


def test_a_spread_needs_a_median() -> None:
    with pytest.raises(ValidationError, match="set first_byte_s"):
        Knobs(first_byte_sigma=1)


def outcome(engine: Engine, text: str = "hi") -> int:
    try:
        engine.answer(Wire.ANTHROPIC, messages_body(user(text)))
    except WireError as error:
        return error.status
    return 200


def test_a_rule_has_knobs_and_fault_counters_of_its_own() -> None:
    flaky = Rule(
        match=Match(text="flaky"),
        replies=(Reply(text="x"),),
        knobs=Knobs(faults={"overloaded": Fault(every=2)}),
    )
    engine = Engine(Script(rules=(flaky,)))
    assert [outcome(engine, text) for text in ("flaky", "hi", "flaky", "hi", "flaky")] == [200, 200, 529, 200, 200]


def test_a_rule_without_faults_keeps_the_global_ones_and_overrides_the_rest() -> None:
    rule = Rule(replies=(Reply(text="x"),), knobs=Knobs(chunk_chars=3))
    engine = Engine(Script(rules=(rule,), knobs=Knobs(faults={"overloaded": Fault(every=2)}, tokens_per_second=9)))
    knobs = engine.answer(Wire.ANTHROPIC, messages_body()).knobs
    assert (knobs.chunk_chars, knobs.tokens_per_second) == (3, 9)
    assert outcome(engine) == 529


def test_one_reply_of_many_may_fail() -> None:
    rule = Rule(replies=(Reply(fault="server_error"), Reply(text="x", knobs=Knobs(chunk_chars=1))))
    engine = Engine(Script(rules=(rule,)))
    assert [outcome(engine) for _ in range(4)] == [500, 200, 500, 200]


def test_knobs_that_are_turned_start_the_counters_anew() -> None:
    engine = Engine()
    engine.set_knobs(Knobs(faults={"rate_limited": Fault(next=1)}))
    assert [outcome(engine) for _ in range(2)] == [429, 200]
    engine.set_knobs(Knobs(faults={"rate_limited": Fault(next=1)}))
    assert outcome(engine) == 429


def test_a_callables_knobs_count_for_its_reply_alone() -> None:
    engine = Engine(brain=lambda r: Reply(knobs=Knobs(faults={"overloaded": Fault(next=1)}) if "x" in r.text else None))
    assert [outcome(engine, text) for text in ("x", "y", "x")] == [529, 200, 529]


def test_the_window_may_be_narrowed_at_run_time() -> None:
    engine = Engine()
    engine.set_knobs(Knobs(context_window=10))
    assert outcome(engine, "x" * 100) == 400
