"""Reducers: what makes one number of the scores of a sample's epochs.

The rule here: only epochs that have a score are looked at, and a sample for which they do not suffice gets none: where
more epochs would make a higher or lower value (max, at-least-k) that is every sample that lacks one. So every reducer
takes an array of samples by epochs, NaN where there is no score, and gives one value for each sample.
"""

import re
from typing import Literal, NamedTuple

import numpy as np

from agent_core.errors import ConfigError
from agent_core.evaluation.statistics.arrays import Floats, only_shares

Kind = Literal["mean", "median", "mode", "max", "at-least", "pass@", "pass^"]
_PLAIN: tuple[Kind, ...] = ("mean", "median", "mode", "max")
_COUNTED = re.compile(r"(at-least-|pass@|pass\^)(\d+)")


class Reducer(NamedTuple):
    """A way to reduce. `k` counts epochs, and is 0 where the way has none."""

    kind: Kind = "mean"
    k: int = 0

    def __str__(self) -> str:
        if self.kind == "at-least":
            return f"at-least-{self.k}"
        return f"{self.kind}{self.k}" if self.k else self.kind


MEAN = Reducer()


def reducer_of(text: str, *, epochs: int) -> Reducer:
    """The reducer that a user names: mean, median, mode, max, at-least-2, pass@3 or pass^3.

    Raises ConfigError if there is none of that name, or if `epochs` are too few for it.
    """
    plain = {str(kind): Reducer(kind) for kind in _PLAIN}
    if text in plain:
        return plain[text]
    found = _COUNTED.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"'{text}' is no way to reduce epochs. Name one of mean, median, mode, max, at-least-K, pass@K, pass^K."
        )
    kinds: dict[str, Kind] = {"at-least-": "at-least", "pass@": "pass@", "pass^": "pass^"}
    k = int(found[2])
    if not 1 <= k <= epochs:
        raise ConfigError(f"'{text}' cannot be had from {epochs} epochs. Name a number from 1 to {epochs}.")
    return Reducer(kinds[found[1]], k)


def reduce(values: Floats, reducer: Reducer = MEAN) -> Floats:
    """One value for each sample (row); NaN where its epochs do not suffice.

    max and at-least-k (1 if so many epochs scored 1, else 0) need all epochs. pass@k and pass^k are for scores of 0 and
    1 and need k of them. The mode of several that are equally frequent is the smallest.
    """
    if values.shape[1] == 1 and reducer.kind in _PLAIN:
        return values[:, 0].copy()
    match reducer.kind:
        case "mean":
            return _mean(values)
        case "median":
            return _median(values)
        case "max":
            # The maximum of a row with NaN is NaN.
            return values.max(axis=1)
        case "mode":
            return _mode(values)
        case "at-least":
            return _at_least(values, reducer.k)
        case "pass@":
            return pass_at(_scores(values), _right(values), reducer.k)
        case "pass^":
            return pass_all(_scores(values), _right(values), reducer.k)


def reducers_for(values: Floats) -> tuple[Reducer, ...]:
    """The reducers, but for pass@k and pass^k, that say something of these scores."""
    epochs = values.shape[1]
    plain = tuple(Reducer(kind) for kind in _PLAIN)
    if not only_shares(values):
        return plain
    return (*plain, *(Reducer("at-least", k) for k in range(2, epochs + 1)))


def pass_at(epochs: Floats, right: Floats, k: int) -> Floats:
    """pass@k: how probable it is that one at least of k epochs is right, 1 - C(n-c, k) / C(n, k).

    Unbiased, from `right` (c) of `epochs` (n) for each sample (Chen et al. 2021, arXiv:2107.03374); NaN where n < k.
    """
    return 1.0 - _all_of(epochs, epochs - right, k)


def pass_all(epochs: Floats, right: Floats, k: int) -> Floats:
    """pass^k: how probable it is that all of k epochs are right, C(c, k) / C(n, k).

    Unbiased, from `right` (c) of `epochs` (n) for each sample (Yao et al. 2024, arXiv:2406.12045); NaN where n < k.
    """
    return _all_of(epochs, right, k)


def _all_of(epochs: Floats, some: Floats, k: int) -> Floats:
    """C(some, k) / C(epochs, k), as a product that cannot overflow."""
    share = np.ones_like(epochs)
    for drawn in range(k):
        left = epochs - drawn
        share *= np.maximum(some - drawn, 0.0) / np.maximum(left, 1.0)
    return np.where(epochs >= k, share, np.nan)


def _scores(values: Floats) -> Floats:
    return (~np.isnan(values)).sum(axis=1).astype(np.float64)


def _right(values: Floats) -> Floats:
    return (values == 1.0).sum(axis=1).astype(np.float64)


def _mean(values: Floats) -> Floats:
    scores = _scores(values)
    return np.where(scores > 0, np.nansum(values, axis=1) / np.maximum(scores, 1.0), np.nan)


def _median(values: Floats) -> Floats:
    medians = np.full(values.shape[0], np.nan)
    # NumPy warns of rows that have nothing.
    there = ~np.isnan(values).all(axis=1)
    if there.any():
        medians[there] = np.nanmedian(values[there], axis=1)
    return medians


def _mode(values: Floats) -> Floats:
    """The most frequent value of each row; of several the smallest."""
    ordered = np.sort(values, axis=1)
    best = np.full(values.shape[0], np.nan)
    most = np.zeros(values.shape[0], dtype=np.intp)
    for column in ordered.T:
        times = (ordered == column[:, None]).sum(axis=1)
        best = np.where(times > most, column, best)
        most = np.maximum(most, times)
    return best


def _at_least(values: Floats, k: int) -> Floats:
    whole = ~np.isnan(values).any(axis=1)
    return np.where(whole, (_right(values) >= k).astype(np.float64), np.nan)
