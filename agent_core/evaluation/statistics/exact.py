"""What SciPy reckons for the statistics here: exact tests and the quantiles of Student's t.

The rule here: the only place that imports SciPy, at the first call, since its import takes longer than most figures.
SciPy declares no types, so what comes back is made plain numbers here.
"""

import importlib
from functools import cache
from typing import Any

from agent_core.evaluation.statistics.arrays import Floats

# As many sign patterns as this are gone through one by one: 2 to the power of 13 fit.
MOST_PATTERNS = 9999


@cache
def _stats() -> Any:
    return importlib.import_module("scipy.stats")


def binomial_test(successes: int, trials: int) -> float:
    """The two-sided p-value of a fair coin (scipy.stats.binomtest); 1 without trials."""
    return float(_stats().binomtest(successes, trials, 0.5).pvalue) if trials else 1.0


def t_quantile(share: float, degrees: int) -> float:
    """The value that Student's t with so many degrees of freedom does not exceed with the probability `share`."""
    return float(_stats().t.ppf(share, degrees))


def sign_flips(differences: Floats) -> float:
    """The two-sided p-value of the mean over every pattern of signs (scipy.stats.permutation_test).

    For at most 13 differences; more would be sampled instead.
    """

    def mean(values: Floats, axis: int = -1) -> Any:
        return values.mean(axis=axis)

    tested = _stats().permutation_test(
        (differences,), mean, permutation_type="samples", vectorized=True, n_resamples=MOST_PATTERNS
    )
    return float(tested.pvalue)
