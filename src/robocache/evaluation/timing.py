"""Whether something became faster or slower: ratios of seconds with 95 % intervals, and a verdict.

Both intervals are free of assumptions about how seconds are distributed, and exact for few rounds.
Logarithms make a ratio a difference: twice as long and half as long are equally far from 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robocache.core.errors import ConfigError, DataError

Change = Literal["faster", "slower", "noise"]

CONFIDENCE = 0.95
PAIRS_AT_LEAST = 6
EXACT_PAIRS = 12
DRAWN_SUBSETS = 2**EXACT_PAIRS - 1


@dataclass(frozen=True)
class TimeRatio:
    """New seconds over old seconds, with the ends of an interval of at least 95 % confidence."""

    ratio: float
    low: float
    high: float

    def change(self, minimal_effect: float) -> Change:
        """`slower` or `faster` when the whole interval lies beyond 1 +- `minimal_effect`."""
        if self.low > 1 + minimal_effect:
            return "slower"
        if self.high < 1 - minimal_effect:
            return "faster"
        return "noise"

    def __str__(self) -> str:
        return f"{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"


def paired_ratio(old_s: ArrayLike, new_s: ArrayLike) -> TimeRatio:
    """The ratio of rounds that took turns: `old_s[i]` and `new_s[i]`, both (n,), are neighbours.

    The mean of the n logarithms of new over old, with the interval of Hartigan ("Using subsample
    values as typical values", JASA 64, 1969): if each difference is spread evenly to both sides of
    the truth, the 2^n - 1 means over the non-empty subsets cut the line into 2^n pieces that hold
    the truth with equal probability. It is the sign-flip permutation test, inverted. Above
    `EXACT_PAIRS` rounds the subsets are a drawn sample, always the same one.

    Raises:
        DataError: other than n positive, finite seconds on each side.
        ConfigError: fewer than `PAIRS_AT_LEAST` rounds, too few for 95 %.
    """
    old, new = _logarithms(old_s), _logarithms(new_s)
    if len(old) != len(new):
        raise DataError(f"rounds come in pairs, got {len(old)} old and {len(new)} new")
    if len(old) < PAIRS_AT_LEAST:
        raise ConfigError(
            f"{len(old)} pairs of rounds are too few for a 95 % interval: "
            f"at least {PAIRS_AT_LEAST} are needed"
        )
    differences = new - old
    chosen = _subsets(len(differences))
    means = np.sort(chosen @ differences / chosen.sum(axis=1))
    outside = int((1 - CONFIDENCE) / 2 * (len(means) + 1))
    return _ratio(float(differences.mean()), means[outside - 1], means[-outside])


def unpaired_ratio(old_s: ArrayLike, new_s: ArrayLike) -> TimeRatio:
    """The ratio of rounds (n,) and (m,) that were measured apart.

    The median of the n * m differences of logarithms (Hodges and Lehmann, 1963), with the interval
    that inverts the Mann-Whitney test (Bauer, "Constructing confidence sets using rank
    statistics", JASA 67, 1972). What differs between the two sessions is not in the interval.

    Raises:
        DataError: a side has seconds that are not positive and finite.
        ConfigError: too few rounds for 95 %.
    """
    old, new = _logarithms(old_s), _logarithms(new_s)
    differences = np.sort((new[:, None] - old[None, :]).ravel())
    below = np.cumsum(_mann_whitney(len(old), len(new)))
    outside = int(np.searchsorted(below, (1 - CONFIDENCE) / 2, side="right"))
    if outside == 0:
        raise ConfigError(
            f"{len(old)} and {len(new)} rounds are too few for a 95 % interval: measure with "
            f"--rounds 4 or more"
        )
    return _ratio(float(np.median(differences)), differences[outside - 1], differences[-outside])


def _ratio(middle: float, low: float, high: float) -> TimeRatio:
    return TimeRatio(math.exp(middle), math.exp(low), math.exp(high))


def _logarithms(seconds: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(seconds, dtype=np.float64)
    if values.ndim != 1 or not values.size or not (np.isfinite(values) & (values > 0)).all():
        raise DataError(f"expected a list of positive seconds, got {seconds!r}")
    logarithms: NDArray[np.float64] = np.log(values)
    return logarithms


def _subsets(count: int) -> NDArray[np.float64]:
    """Non-empty subsets as rows of zeros and ones: all of them, or `DRAWN_SUBSETS` drawn ones."""
    if count <= EXACT_PAIRS:
        numbers = np.arange(1, 2**count)
        return ((numbers[:, None] >> np.arange(count)) & 1).astype(np.float64)
    drawn = np.random.default_rng(0).integers(0, 2, (DRAWN_SUBSETS, count))
    empty = drawn.sum(axis=1) == 0
    drawn[empty] = 1
    return drawn.astype(np.float64)


def _mann_whitney(n: int, m: int) -> NDArray[np.float64]:
    """Probability that U is 0, 1, ..., n * m when both samples are alike, without ties.

    The coefficients of the Gaussian binomial (n + m over n) divided by their sum: a product of
    (1 - x^(m + i)) / (1 - x^i) for i = 1 ... n (Mann and Whitney, 1947).
    """
    counts = np.zeros(n * m + 1)
    counts[0] = 1.0
    for i in range(1, n + 1):
        counts[m + i :] -= counts[: -(m + i)].copy()
        for first in range(i):
            counts[first::i] = counts[first::i].cumsum()
    return np.asarray(counts / counts.sum())
