"""Two runs on the same samples: tests, pairs, and what could have been seen."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agent_core.errors import ConfigError
from agent_core.evaluation.score import Score
from agent_core.evaluation.statistics.collected import Collected
from agent_core.evaluation.statistics.comparing import Asked, compare
from agent_core.evaluation.statistics.paired import detectable_difference, difference, holm, mcnemar
from agent_core.evaluation.statistics.resampling import Resampling
from tests.core.evaluation.statistics.results import head, run, scored

QUICK = Resampling(resamples=199)
pairs = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=60)


@given(pairs)
@settings(max_examples=60)
def test_mcnemar_is_the_binomial_test_of_the_pairs_that_changed_and_equals_the_permutation_test(
    those: list[tuple[float, float]],
) -> None:
    before, after = (np.array(side) for side in zip(*those, strict=True))
    found = mcnemar(before, after)
    assert (found.gained, found.lost) == (those.count((0.0, 1.0)), those.count((1.0, 0.0)))
    changed = found.gained + found.lost
    assert found.p == pytest.approx(stats.binomtest(found.lost, changed).pvalue if changed else 1.0)
    both = difference(before, after, QUICK)
    assert both.permutation_p == pytest.approx(found.p)
    assert both.p == found.p
    if both.interval is not None and both.difference is not None:
        assert both.interval.low <= both.difference <= both.interval.high


def test_mcnemar_by_hand() -> None:
    # One lost, nine gained: 2 * (1 + 10) / 2**10.
    found = mcnemar(np.array([1.0] + [0.0] * 9), np.array([0.0] + [1.0] * 9))
    assert found.p == pytest.approx(22 / 1024)


def test_holm_corrects_step_by_step() -> None:
    # By hand: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 is raised to what came before it.
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_detectable_difference_is_2_8_errors_and_more_with_few_pairs() -> None:
    # Bloom 1995, Evaluation Review 19:547: 2.80 for a two-sided test at 5 % with 80 % power.
    assert detectable_difference(1.0, 100_000) == pytest.approx(2.80, abs=0.005)
    # Student's t with 9 degrees of freedom, from any table: 2.262 and 0.883.
    assert detectable_difference(0.1, 10) == pytest.approx(0.3145, abs=0.0001)


def test_a_detectable_difference_is_found_in_four_of_five_runs() -> None:
    random = np.random.default_rng(11)
    error = 1 / math.sqrt(50)
    runs = random.normal(detectable_difference(error, 50), 1.0, size=(2000, 50))
    found = np.mean(np.asarray(stats.ttest_1samp(runs, 0.0, axis=1))[1] < 0.05)
    assert found == pytest.approx(0.8, abs=0.03)


def test_only_pairs_are_compared_and_the_rest_is_said() -> None:
    a = run({"both": [1.0], "lost": [1.0], "gained": [0.0], "a only": [1.0], "open": [None], "half": [0.0]}, name="A")
    b = run({"half": [None], "gained": [1.0], "both": [1.0], "lost": [0.0], "b only": [0.0], "open": [None]}, name="B")
    found = compare(a, b, Asked(how=QUICK))
    assert (found.matched.both, found.matched.only_in_a, found.matched.only_in_b) == (5, ("a only",), ("b only",))
    one = found.scorers["accuracy"]
    assert (one.scored_in_a, one.scored_in_b, one.unscored, one.overall.pairs) == (1, 0, 1, 3)
    assert (one.overall.a, one.overall.b, one.overall.difference) == pytest.approx((2 / 3, 2 / 3, 0.0))
    assert [(flip.id, flip.before, flip.after) for flip in one.flips] == [("lost", 1.0, 0.0), ("gained", 0.0, 1.0)]
    assert one.holm_p == one.overall.p == 1.0


def test_comparing_the_other_way_round_turns_the_sign_alone() -> None:
    values = np.random.default_rng(4).integers(0, 2, size=(2, 40)).astype(float)
    a, b = (run({f"q{n}": [value] for n, value in enumerate(side)}, name=str(side[0])) for side in values.tolist())
    there = compare(a, b).scorers["accuracy"].overall
    back = compare(b, a).scorers["accuracy"].overall
    assert there.difference == pytest.approx(-back.difference if back.difference is not None else math.nan)
    assert there.p == back.p
    assert there.detectable == pytest.approx(back.detectable)


def test_epochs_are_averaged_or_reduced_as_asked() -> None:
    a = run({"q": [1.0, 0.0, None], "r": [0.0, 0.0, 0.0]})
    b = run({"q": [1.0, 1.0], "r": [0.0, 1.0]})
    averaged = compare(a, b).scorers["accuracy"].overall
    assert (averaged.a, averaged.b, averaged.mcnemar) == (0.25, 0.75, None)
    once = compare(a, b, Asked(reduce="pass@2")).scorers["accuracy"].overall
    assert (once.a, once.b) == (0.5, 1.0)
    assert once.mcnemar is not None
    with pytest.raises(ConfigError, match="from 1 to 2"):
        compare(a, b, Asked(reduce="pass@3"))


def test_a_sample_that_was_asked_otherwise_is_compared_only_if_wanted() -> None:
    a, b = run({"q": [1.0], "r": [1.0]}), Collected("B")
    b.add(scored("q", 0.0))
    b.add(scored("r", 0.0, input="another question"))
    found = compare(a, b)
    assert (found.matched.both, found.matched.changed) == (1, ("r",))
    assert compare(a, b, Asked(changed=True)).scorers["accuracy"].overall.pairs == 2
    c = Collected("C")
    c.add(scored("r", 0.0, input="another question"))
    with pytest.raises(ConfigError, match="--changed"):
        compare(a, c)


def test_effects_are_told_by_group() -> None:
    topics = {"q": "law", "r": "law", "s": "math", "t": "math"}
    a = run({name: [0.0] for name in topics}, by="topic", groups=topics)
    b = run({"s": [1.0], "q": [0.0], "r": [1.0]})
    groups = compare(a, b).scorers["accuracy"].groups
    assert {label: (found.pairs, found.difference) for label, found in groups.items()} == {
        "law": (2, 0.5), "math": (1, 1.0),
    }  # fmt: skip


def test_several_scorers_are_corrected_together_and_one_of_a_side_is_named() -> None:
    a, b = Collected("A"), Collected("B")
    for number in range(6):
        a.add(head(f"q{number}", scores={"x": Score(value=0.0), "y": Score(value=0.0), "old": Score(value=1.0)}))
        b.add(head(f"q{number}", scores={"y": Score(value=float(number > 1)), "x": Score(value=1.0)}))
    found = compare(a, b)
    # Exact: 2 / 2**6 and 2 / 2**4, the smaller one times two.
    assert found.scorers["x"].holm_p == pytest.approx(2 * 2 / 64)
    assert found.scorers["y"].holm_p == pytest.approx(2 / 16)
    assert found.scorers_only_in_a == ("old",)
    assert compare(a, b, Asked(scorers=("x",))).scorers["x"].holm_p == pytest.approx(2 / 64)


def test_what_cannot_be_compared_is_refused_with_why() -> None:
    with pytest.raises(ConfigError, match="no sample id in common"):
        compare(run({"a": [1.0]}), run({"b": [1.0]}))
    unscored = Collected("B")
    unscored.add(head("a", outcome="completed"))
    with pytest.raises(ConfigError, match="no scorer in common"):
        compare(run({"a": [1.0]}), unscored)


def test_no_pair_and_no_change_claim_nothing() -> None:
    nothing = compare(run({"a": [None]}), run({"a": [1.0]})).scorers["accuracy"]
    assert (nothing.overall.pairs, nothing.overall.difference, nothing.holm_p) == (0, None, None)
    same = compare(run({"a": [1.0], "b": [0.0]}), run({"a": [1.0], "b": [0.0]})).scorers["accuracy"].overall
    assert (same.difference, same.interval, same.detectable, same.p) == (0.0, None, None, 1.0)
