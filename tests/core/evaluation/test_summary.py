"""Counting: sums are exact, quantiles within one per cent, and what is not known is not said."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import ConfigError, ErrorInfo, ProviderError, SessionError
from agent_core.evaluation.result import OUTCOMES, Limit, ResultHead, SampleOutcome, Timings
from agent_core.evaluation.summary import Spread, Tally
from agent_core.evaluation.verdict import judge
from agent_core.messages import Usage
from agent_core.models import cost


def head(number: int, outcome: SampleOutcome = "completed", **fields: object) -> ResultHead:
    values = {"input": "q", "timings": Timings(queued=0, started=1, ended=2), "configuration": "c", "attempts": 1}
    return ResultHead(id=f"q{number}", epoch=1, outcome=outcome, **{**values, **fields})


@given(st.lists(st.floats(0.001, 1e6), min_size=1), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_a_quantile_is_within_one_per_cent_of_the_exact_one(values: list[float], share: float) -> None:
    spread = Spread()
    for value in values:
        spread.add(value)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert spread.quantile(share) == pytest.approx(exact, rel=0.0101)


@given(st.lists(st.sampled_from(OUTCOMES[:-1]), max_size=30), st.integers(0, 10))
def test_outcomes_add_up_to_what_was_planned(outcomes: list[SampleOutcome], unfinished: int) -> None:
    tally = Tally(len(outcomes) + unfinished)
    for number, outcome in enumerate(outcomes):
        tally.add(head(number, outcome))
    summary = tally.summary()
    assert sum(summary.outcomes.values()) == summary.planned
    assert summary.outcomes["missing"] == unfinished
    assert summary.whole == (unfinished == 0 and set(outcomes) <= {"completed", "scored"})


def test_unknown_usage_and_price_are_not_counted_as_zero() -> None:
    tally = Tally(3)
    tally.add(head(1))
    assert tally.summary().cost is None
    tally.add(head(2, usage=Usage(input_tokens=3, output_tokens=4), cost=0.5))
    summary = tally.summary()
    assert (summary.cost, summary.unpriced, summary.usage.output_tokens) == (0.5, 1, 4)
    assert Tally(3).summary().latency_p50 is None


def test_what_summaries_took_is_summed_apart() -> None:
    tally = Tally(2)
    tally.add(head(1, usage=Usage(output_tokens=4)))
    tally.add(head(2, usage=Usage(output_tokens=5), summariser=Usage(input_tokens=700, output_tokens=30)))
    summary = tally.summary()
    assert (summary.usage, summary.summariser) == (Usage(output_tokens=9), Usage(input_tokens=700, output_tokens=30))


def test_earlier_results_count_but_not_towards_the_rate() -> None:
    tally = Tally(3)
    tally.add(head(1, timings=Timings(queued=0, started=0, ended=1)), earlier=True)
    tally.add(head(2, timings=Timings(queued=1000, started=1000, ended=1001)))
    tally.add(head(3, timings=Timings(queued=1000, started=1001, ended=1002)))
    summary = tally.summary()
    assert (summary.earlier, summary.seconds, summary.samples_per_second) == (1, 2.0, 1.0)
    assert summary.outcomes["completed"] == 3


def test_failures_are_counted_by_kind_and_the_first_of_each_is_shown() -> None:
    tally = Tally(100)
    slow = ErrorInfo(boundary="provider", kind="timeout", message="slow")
    for number in range(60):
        tally.add(head(number, "infrastructure_failed", error=slow))
    tally.add(head(60, "limit_hit", limit="max_tokens"))
    summary = tally.summary()
    assert summary.failure_kinds == {"timeout": 60, "max_tokens": 1}
    assert [failure.id for failure in summary.failures] == ["q0", "q1", "q60"]


@pytest.mark.parametrize(
    ("error", "outcome", "limit", "again"),
    [
        (ProviderError("x", "rate_limit"), "infrastructure_failed", None, True),
        (ProviderError("x", "connection"), "infrastructure_failed", None, True),
        (ProviderError("x", "authentication"), "infrastructure_failed", None, False),
        (ProviderError("x", "bad_request"), "model_failed", None, False),
        (ProviderError("x", "context_too_long"), "limit_hit", "context", False),
        (SessionError("x", "refused"), "model_failed", None, False),
        (SessionError("x", "max_tokens"), "limit_hit", "max_tokens", False),
        (SessionError("x", "max_steps"), "limit_hit", "max_steps", False),
        (SessionError("x", "context_exceeded"), "limit_hit", "context", False),
        (SessionError("x", "interrupted"), "infrastructure_failed", None, True),
        (ConfigError("x"), "infrastructure_failed", None, False),
        (OSError("gone"), "infrastructure_failed", None, True),
    ],
)
def test_every_error_has_its_outcome(
    error: Exception, outcome: SampleOutcome, limit: Limit | None, again: bool
) -> None:
    verdict = judge(error)
    assert (verdict.outcome, verdict.limit, verdict.again) == (outcome, limit, again)
    assert verdict.error is not None


def test_an_error_from_another_process_is_judged_by_its_cause() -> None:
    class Wrapped(Exception):
        cause = ProviderError("too many", "rate_limit", 429)

    verdict = judge(Wrapped("a long remote traceback"))
    assert verdict.error is not None
    assert (verdict.error.kind, verdict.error.message) == ("rate_limit", "too many")
    assert verdict.again


def test_what_the_prompt_cache_has_saved_is_told_where_prices_are_known() -> None:
    tally = Tally(1, "anthropic/claude-sonnet-5-5")
    tally.add(head(0, "completed", usage=Usage(cache_read_tokens=1_000_000, cache_write_tokens=100_000)))
    read, written = (
        cost("anthropic/claude-sonnet-5-5", usage) or 0.0
        for usage in (Usage(cache_read_tokens=1_000_000), Usage(cache_write_tokens=100_000))
    )
    anew = cost("anthropic/claude-sonnet-5-5", Usage(input_tokens=1_100_000)) or 0.0
    assert tally.summary().cache_saving == pytest.approx(anew - read - written)
    unknown = Tally(1, "openai/nobody-knows")
    unknown.add(head(0, "completed", usage=Usage(cache_read_tokens=5)))
    assert unknown.summary().cache_saving is None
