"""Success rates, paired comparison and intervals. The distributions are scipy's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtri, stdtrit

from robocache.core.errors import ConfigError, DataError, NonFiniteError, ShapeError


def check_fraction(name: str, value: float) -> None:
    """Raise ConfigError unless `value` lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ConfigError(f"{name} must lie strictly between 0 and 1, got {value}")


@dataclass(frozen=True)
class Proportion:
    """A success rate with its interval; make one with `Proportion.wilson`.

    Attributes:
        successes, trials: counts, 0 <= successes <= trials, trials >= 1.
        low, high: ends of the interval, in [0, 1].
        confidence: coverage of the interval, e.g. 0.95.
    """

    successes: int
    trials: int
    low: float
    high: float
    confidence: float

    @staticmethod
    def wilson(successes: int, trials: int, confidence: float = 0.95) -> Proportion:
        """The rate `successes / trials` with its Wilson score interval (Wilson, 1927).

        Raises:
            DataError: there are no trials, or the counts contradict each other.
            ConfigError: `confidence` is not between 0 and 1.
        """
        check_fraction("confidence", confidence)
        if trials <= 0:
            raise DataError(f"a success rate needs at least one episode, got {trials}")
        if not 0 <= successes <= trials:
            raise DataError(f"expected 0 to {trials} successes, got {successes}")
        z = float(ndtri((1 + confidence) / 2))
        share = successes / trials
        middle = share + z * z / (2 * trials)
        half = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
        whole = 1 + z * z / trials
        low = 0.0 if successes == 0 else (middle - half) / whole
        high = 1.0 if successes == trials else (middle + half) / whole
        return Proportion(successes, trials, low, high, confidence)

    @property
    def rate(self) -> float:
        """Observed share of successes, in [0, 1]."""
        return self.successes / self.trials

    def __str__(self) -> str:
        counts = f"({self.successes}/{self.trials})"
        return f"{self.rate:.3f} [{self.low:.3f}, {self.high:.3f}] {counts}"


class PairedCounts(NamedTuple):
    """Pairs of episodes by who succeeded: the 2 x 2 table of two arms on the same episodes."""

    both: int
    only_candidate: int
    only_baseline: int
    neither: int

    @property
    def pairs(self) -> int:
        return sum(self)


def paired_counts(candidate: Mapping[str, bool], baseline: Mapping[str, bool]) -> PairedCounts:
    """Cross the outcomes of two arms that ran the same episodes.

    Args:
        candidate, baseline: episode key -> success.

    Raises:
        DataError: the keys differ (the first missing ones are named), or an outcome is not
            a bool (an episode that nobody judged).
    """
    _check_same_keys(candidate, baseline)
    cells = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for key in candidate:
        cells[_outcome("candidate", key, candidate), _outcome("baseline", key, baseline)] += 1
    return PairedCounts(
        both=cells[True, True],
        only_candidate=cells[True, False],
        only_baseline=cells[False, True],
        neither=cells[False, False],
    )


def _check_same_keys(candidate: Mapping[str, bool], baseline: Mapping[str, bool]) -> None:
    for name, present, other in (
        ("candidate", candidate, baseline),
        ("baseline", baseline, candidate),
    ):
        missing = sorted(other.keys() - present.keys())
        if missing:
            listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise DataError(
                f"{len(missing)} of {len(other)} paired episodes are missing from the {name} "
                f"({listed}); both arms must run exactly the same episodes"
            )


def _outcome(arm: str, key: str, outcomes: Mapping[str, bool]) -> bool:
    value = outcomes[key]
    if not isinstance(value, bool | np.bool_):
        raise DataError(f"outcome of the {arm} must be true or false, got {value!r}", episode=key)
    return bool(value)


def mcnemar_exact(only_candidate: int, only_baseline: int) -> float:
    """Two-sided p value of the exact McNemar test.

    Where the arms disagree, each is equally likely to be the one that succeeded if they are
    equally good: only_candidate ~ Binomial(only_candidate + only_baseline, 1/2). Without any
    disagreement p = 1. (McNemar, 1947; exact form in Fagerland, Lydersen & Laake, 2013.)
    """
    if only_candidate < 0 or only_baseline < 0:
        raise DataError(f"counts cannot be negative, got {only_candidate} and {only_baseline}")
    discordant = only_candidate + only_baseline
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_candidate, only_baseline), discordant, 0.5)))


def mcnemar_power(rate_better: float, rate_worse: float, pairs: int, alpha: float) -> float:
    """Probability that the exact McNemar test on `pairs` episodes finds the better arm better.

    With D ~ Binomial(pairs, rate_better + rate_worse) disagreements, of which
    W ~ Binomial(D, rate_better / (rate_better + rate_worse)) are won by the better arm, it is
    the sum over d of P(D = d) P(W >= w(d)), where w(d) is the smallest number of wins at which
    the two-sided p value falls below alpha (unconditional power: Connor, 1987, without his
    normal approximation). Terms of D beyond 1e-12 of probability are left out.
    """
    from scipy.stats import binom  # takes half a second, and only planning needs it

    rate = min(rate_better + rate_worse, 1.0)
    first, last = (int(binom.ppf(share, pairs, rate)) for share in (1e-12, 1 - 1e-12))
    discordant = np.arange(max(first, 1), last + 1)
    needed = np.asarray(binom.isf(alpha / 2, discordant, 0.5)) + 1
    needed = needed + (binom.sf(needed - 1, discordant, 0.5) >= alpha / 2)
    wins = binom.sf(needed - 1, discordant, rate_better / rate)
    return float(np.sum(binom.pmf(discordant, pairs, rate) * wins))


def pairs_needed(
    only_candidate: int,
    only_baseline: int,
    pairs: int,
    *,
    alpha: float,
    power: float = 0.8,
) -> int | None:
    """How many paired episodes would settle the question, if the observed rates were true.

    The number n at which `mcnemar_power(..., n, alpha)` reaches `power` while n - 1 does not,
    by bisection; above 2000 to one part in a thousand. The power of a discrete test rises in a
    fine sawtooth, so a slightly smaller n may do as well. It plans a fresh comparison; it says
    nothing about this one.

    Args:
        only_candidate, only_baseline: observed disagreements, out of `pairs` episodes.
        alpha: significance level of the test.
        power: wanted probability of a significant result.

    Returns:
        Number of paired episodes, or None when the observed difference is zero: no number of
        episodes can then be named.
    """
    check_fraction("alpha", alpha)
    check_fraction("power", power)
    if pairs <= 0 or only_candidate + only_baseline > pairs:
        raise DataError(
            f"{only_candidate} + {only_baseline} disagreements do not fit in {pairs} pairs"
        )
    if only_candidate == only_baseline:
        return None
    better = max(only_candidate, only_baseline) / pairs
    worse = min(only_candidate, only_baseline) / pairs
    enough = 1
    while mcnemar_power(better, worse, enough, alpha) < power:
        enough *= 2
    too_few = enough // 2
    while enough - too_few > max(1, enough // 1000):
        middle = (too_few + enough) // 2
        if mcnemar_power(better, worse, middle, alpha) < power:
            too_few = middle
        else:
            enough = middle
    return enough


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its Student t interval, in the unit of the values; `count` values."""

    mean: float
    low: float
    high: float
    confidence: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] (n={self.count})"


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> MeanInterval:
    """Mean of independent values (n,) with its Student t interval; use one value per episode.

    mean +- t(n - 1) s / sqrt(n), with s the sample standard deviation.

    Raises:
        ShapeError: not one axis, or fewer than two values.
        NonFiniteError: a value is NaN or infinite.
    """
    check_fraction("confidence", confidence)
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ShapeError(f"expected (n,) values with n >= 2, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise NonFiniteError(f"value {int(np.argmin(np.isfinite(array)))} is NaN or infinite")
    count = len(array)
    mean = float(array.mean())
    quantile = float(stdtrit(count - 1, (1 + confidence) / 2))
    half = quantile * float(array.std(ddof=1)) / math.sqrt(count)
    return MeanInterval(mean, mean - half, mean + half, confidence, count)
