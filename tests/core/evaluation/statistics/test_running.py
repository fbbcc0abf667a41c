"""The mean of a run under way: as good as the whole figures, in room that does not grow."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.evaluation.score import Score
from agent_core.evaluation.statistics.estimates import estimate
from agent_core.evaluation.statistics.resampling import Resampling
from agent_core.evaluation.statistics.running import BUCKETS, MOST_SCORERS, RunningMean, RunningScores
from tests.core.evaluation.statistics.results import head, scored

QUICK = Resampling(resamples=99)


@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 6)), min_size=2, max_size=60))
@settings(max_examples=60)
def test_without_epochs_it_is_exact(values: list[float]) -> None:
    running = RunningMean()
    for number, value in enumerate(values):
        running.add(value, f"q{number}")
    whole = estimate(np.array(values)[:, None], how=QUICK)
    assert running.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
    assert running.standard_error == pytest.approx(whole.standard_error, rel=1e-6, abs=1e-6)
    if running.interval is not None and running.mean is not None:
        assert running.interval.low <= running.mean <= running.interval.high


def test_rights_and_wrongs_have_wilsons_interval_and_other_scores_the_normal_one() -> None:
    running = RunningMean()
    assert (running.mean, running.standard_error, running.interval) == (None, None, None)
    for number in range(30):
        running.add(float(number < 24), f"q{number}")
    whole = estimate(np.array([[1.0]] * 24 + [[0.0]] * 6))
    assert running.interval is not None
    assert whole.wilson is not None
    assert (running.interval.low, running.interval.high) == pytest.approx((whole.wilson.low, whole.wilson.high))
    running.add(0.5, "q30")
    assert running.interval.method == "normal"
    running.add(float("nan"), "q31")
    assert running.count == 31


def test_with_epochs_the_error_is_that_of_clustered_samples_also_when_buckets_are_shared() -> None:
    samples = 4 * BUCKETS
    random = np.random.default_rng(7)
    chances = random.beta(2, 1, size=samples)
    values = (random.random((4, samples)) < chances).astype(np.float64).T
    running = RunningMean()
    for epoch in range(4):
        for number in range(samples):
            running.add(float(values[number, epoch]), f"q{number}", epoch + 1)
    whole = estimate(values, how=QUICK)
    assert running.mean == pytest.approx(whole.mean)
    # 1,024 buckets tell the error within some per cent; without clusters it would be a third smaller.
    assert running.standard_error == pytest.approx(whole.standard_error, rel=0.08)
    naive = float(values.std()) / values.size**0.5
    assert naive < 0.8 * (running.standard_error or 0)


def test_one_sample_however_often_asked_says_little() -> None:
    running = RunningMean()
    for epoch in range(1, 6):
        running.add(1.0, "q", epoch)
    assert running.standard_error is None
    assert running.interval is not None
    # Wilson's interval of one right in one trial begins at 1 / (1 + 1.96²).
    assert running.interval.low == pytest.approx(0.2065, abs=1e-4)


def test_scorers_are_told_apart_and_failed_ones_counted() -> None:
    running = RunningScores()
    running.add(head("a", scores={"x": Score(value=1.0), "y": Score(value=None)}))
    running.add(head("b", scores={"y": Score(value=0.5)}))
    running.add(scored("c", 1.0))
    assert {name: mean.mean for name, mean in running.means.items()} == {"x": 1.0, "y": 0.5, "accuracy": 1.0}
    assert running.unscored == {"y": 1}
    for number in range(2 * MOST_SCORERS):
        running.add(head("d", scores={f"name {number}": Score(value=1.0)}))
    assert len(running.means) == MOST_SCORERS


def test_nothing_heavy_is_imported_before_figures_are_asked_for(repository: Path) -> None:
    program = (
        "import sys, agent_core.evaluation.statistics.running, drivers.evaluating.comparing,"
        " drivers.evaluating.gating, drivers.evaluating.statistics\n"
        "print(sorted({'numpy', 'scipy', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
