"""Gates: what passes by the value and what by its interval, and that the unknown never passes."""

import pytest

from agent_core.errors import ConfigError
from agent_core.evaluation.statistics.collected import Collected, Planned
from agent_core.evaluation.statistics.gating import Allowed, Conditions, Judging, Threshold, hold, verdict
from agent_core.evaluation.statistics.intervals import Interval
from tests.core.evaluation.statistics.results import head, run

AROUND = Interval(low=0.7, high=0.9, method="wilson")


@pytest.mark.parametrize(
    ("bound", "judging", "least", "most"),
    [
        (0.75, "point", True, False),
        (0.85, "point", False, True),
        (0.8, "point", True, True),
        (0.85, "significant", True, True),
        (0.95, "significant", False, True),
        (0.65, "significant", True, False),
        (0.75, "proven", False, False),
        (0.65, "proven", True, False),
        (0.95, "proven", False, True),
    ],
)
def test_value_or_interval_decides(bound: float, judging: Judging, least: bool, most: bool) -> None:
    assert verdict(0.8, AROUND, ">=", bound, judging) == least
    assert verdict(0.8, AROUND, "<=", bound, judging) == most


def test_a_bound_that_is_met_exactly_is_met_in_spite_of_rounding() -> None:
    assert 0.8 - 0.78 > 0.02
    assert verdict(0.8 - 0.78, None, "<=", 0.02, "point")


def test_every_condition_is_held_and_one_that_fails_fails_the_gate() -> None:
    scores: dict[str, list[float | None]] = {f"q{number}": [float(number < 8)] for number in range(10)}
    this = run(scores, planned=Planned(10, 1))
    fine = Conditions(minimum=(Threshold(0.8, "accuracy"),), maximum=(Threshold(0.9, "accuracy"),), coverage=1.0)
    assert [check.passed for check in hold(this, fine).checks] == [True, True, True]
    gate = hold(this, Conditions(minimum=(Threshold(0.8, "accuracy"), Threshold(0.81, "accuracy"))))
    assert [(check.value, check.passed) for check in gate.checks] == [(0.8, True), (0.8, False)]
    assert not gate.passed


def test_a_score_that_nobody_has_fails_any_bound() -> None:
    gate = hold(run({"a": [None]}), Conditions(maximum=(Threshold(1.0, "accuracy"),)))
    assert (gate.checks[0].value, gate.checks[0].passed) == (None, False)


def test_a_drop_is_judged_on_the_same_samples() -> None:
    before: dict[str, list[float | None]] = {f"q{number}": [float(number < 16)] for number in range(20)}
    after: dict[str, list[float | None]] = {f"q{number}": [float(number < 15)] for number in range(25)}
    conditions = Conditions(drops=(Threshold(0.02),))
    gate = hold(run(after), conditions, baseline=run(before, name="baseline"))
    (check,) = gate.checks
    assert check.value == pytest.approx(0.05)
    assert not check.passed
    significant = Conditions(drops=(Threshold(0.02, "accuracy"),), judging="significant")
    assert hold(run(after), significant, baseline=run(before)).passed
    assert hold(run(before), conditions, baseline=run(after)).checks[0].value == pytest.approx(-0.05)
    with pytest.raises(ConfigError, match="--against"):
        hold(run(after), conditions)


def test_a_scorer_that_only_the_baseline_has_fails_the_drop_of_all() -> None:
    baseline, this = run({"a": [1.0]}), run({"a": [1.0]})
    baseline.add(head("b", scores={"f1": {"value": 1.0}}))
    gate = hold(this, Conditions(drops=(Threshold(0.1),)), baseline=baseline)
    assert [(check.condition, check.passed) for check in gate.checks] == [
        ("accuracy drop <= 0.1", True),
        ("f1 drop <= 0.1", False),
    ]


def test_coverage_counts_what_has_no_result_and_answers_where_nothing_scores() -> None:
    this = run({"a": [1.0], "b": [None]}, planned=Planned(4, 1))
    assert hold(this, Conditions(coverage=0.25)).passed
    assert not hold(this, Conditions(coverage=0.26)).passed
    answers = Collected("run", planned=Planned(2, 1))
    answers.add(head("a", outcome="completed"))
    (check,) = hold(answers, Conditions(coverage=0.9)).checks
    assert (check.condition, check.value, check.passed) == ("coverage of answers >= 0.9", 0.5, False)


@pytest.mark.parametrize(
    ("allowed", "passed"),
    [(Allowed(1), True), (Allowed(0), False), (Allowed(0.25, True), True), (Allowed(0.2, True), False)],
)
def test_infrastructure_failures_are_a_count_or_a_share_of_what_was_planned(allowed: Allowed, passed: bool) -> None:
    this = run({"a": [1.0], "b": [0.0]}, planned=Planned(4, 1))
    this.add(head("c", outcome="infrastructure_failed"))
    assert hold(this, Conditions(infrastructure_failures=allowed)).passed == passed
