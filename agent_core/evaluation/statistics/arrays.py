"""Arrays of scores: a row for each sample, a column for each epoch.

The rule here: what has no score is NaN, and no function takes it for a number.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


def scored(values: Floats) -> Floats:
    """Those that are numbers, in one dimension."""
    return values[~np.isnan(values)]


def only_shares(values: Floats) -> bool:
    """Whether all that are numbers are 0 or 1, and there are some."""
    there = scored(values)
    return bool(there.size) and bool(np.all((there == 0.0) | (there == 1.0)))
