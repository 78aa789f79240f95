"""Hand-computed values, brute force over all outcomes, and properties."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from robocache.core.errors import ConfigError, DataError, NonFiniteError, ShapeError
from robocache.evaluation.statistics import (
    Proportion,
    mcnemar_exact,
    mcnemar_power,
    mean_interval,
    paired_counts,
    pairs_needed,
)

Z95 = 1.959963984540054
counts = st.integers(0, 60)


def wilson_by_hand(successes: int, trials: int, z: float = Z95) -> tuple[float, float]:
    rate = successes / trials
    centre = rate + z * z / (2 * trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials**2))
    scale = 1 + z * z / trials
    return (centre - half) / scale, (centre + half) / scale


def p_by_hand(wins: int, losses: int) -> Fraction:
    """Total probability of all outcomes at least as unlikely, in exact fractions."""
    n = wins + losses
    ways = [math.comb(n, k) for k in range(n + 1)]
    return Fraction(sum(w for w in ways if w <= ways[wins]), 2**n)


def power_by_hand(better: float, worse: float, pairs: int, alpha: float) -> float:
    """Sum over every table (wins, losses, ties) of the trinomial probability."""
    total = 0.0
    for wins, losses in itertools.product(range(pairs + 1), repeat=2):
        ties = pairs - wins - losses
        if ties >= 0 and wins > losses and p_by_hand(wins, losses) < alpha:
            ways = math.comb(pairs, wins) * math.comb(pairs - wins, losses)
            total += ways * better**wins * worse**losses * (1 - better - worse) ** ties
    return total


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (476, 500), (1, 1), (13, 40)])
def test_wilson_interval_is_the_textbook_formula(successes: int, trials: int) -> None:
    interval = Proportion.wilson(successes, trials)
    low, high = wilson_by_hand(successes, trials)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


def test_proportion_reads_well() -> None:
    assert str(Proportion.wilson(476, 500)) == "0.952 [0.930, 0.968] (476/500)"
    assert Proportion.wilson(476, 500).rate == 0.952


def test_confidence_widens_the_interval() -> None:
    narrow, wide = Proportion.wilson(13, 40, 0.8), Proportion.wilson(13, 40, 0.99)
    assert wide.low < narrow.low < 13 / 40 < narrow.high < wide.high


def test_proportion_refuses_impossible_counts() -> None:
    with pytest.raises(DataError, match="at least one episode, got 0"):
        Proportion.wilson(0, 0)
    with pytest.raises(DataError, match="expected 0 to 3 successes, got 4"):
        Proportion.wilson(4, 3)
    with pytest.raises(ConfigError, match=r"confidence must lie .* got 95"):
        Proportion.wilson(1, 2, 95)


def test_paired_counts_of_a_hand_made_table() -> None:
    candidate = {"a": True, "b": True, "c": True, "d": False, "e": False, "f": False}
    baseline = {"f": False, "a": True, "b": False, "c": False, "d": True, "e": False}
    assert paired_counts(candidate, baseline) == (1, 2, 1, 2)
    assert paired_counts({"a": np.True_}, {"a": np.False_}).only_candidate == 1


def test_paired_counts_names_the_missing_episodes() -> None:
    full = {f"door/{i}": True for i in range(9)}
    with pytest.raises(DataError, match=r"7 of 9 .* missing from the baseline \(door/2, door/3"):
        paired_counts(full, {"door/0": True, "door/1": True})
    with pytest.raises(DataError, match=r"1 of 9 .* missing from the candidate"):
        paired_counts({k: v for k, v in full.items() if k != "door/4"}, full)


def test_an_episode_that_nobody_judged_is_refused() -> None:
    with pytest.raises(DataError, match=r"episode b: outcome of the baseline .* got None"):
        paired_counts({"a": True, "b": True}, {"a": True, "b": None})  # type: ignore[dict-item]


def test_mcnemar_by_hand() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(5, 0) == pytest.approx(2 / 32)
    assert mcnemar_exact(1, 6) == pytest.approx(16 / 128)
    assert mcnemar_exact(4, 4) == 1.0


@given(counts, counts)
def test_mcnemar_is_the_exact_binomial(wins: int, losses: int) -> None:
    assert mcnemar_exact(wins, losses) == pytest.approx(float(p_by_hand(wins, losses)), rel=1e-9)
    assert mcnemar_exact(wins, losses) == pytest.approx(mcnemar_exact(losses, wins), rel=1e-12)


@pytest.mark.parametrize("pairs", [5, 6, 17, 30])
@pytest.mark.parametrize(("better", "worse"), [(0.4, 0.1), (0.25, 0.0), (0.7, 0.3)])
@pytest.mark.parametrize("alpha", [0.05, 0.25])
def test_power_is_the_sum_over_all_tables(
    pairs: int, better: float, worse: float, alpha: float
) -> None:
    expected = power_by_hand(better, worse, pairs, alpha)
    assert mcnemar_power(better, worse, pairs, alpha) == pytest.approx(expected, abs=1e-10)


def test_pairs_needed_when_every_pair_is_a_win() -> None:
    assert pairs_needed(3, 0, 3, alpha=0.05) == 6  # 2 / 2**6 < 0.05 <= 2 / 2**5


def test_pairs_needed_is_where_the_power_is_reached() -> None:
    n = pairs_needed(12, 7, 60, alpha=0.05)
    assert n is not None
    assert mcnemar_power(12 / 60, 7 / 60, n, 0.05) >= 0.8
    assert mcnemar_power(12 / 60, 7 / 60, n - 1, 0.05) < 0.8
    # Connor (1987), normal approximation: within a few per cent at this size.
    rate, difference = 19 / 60, 5 / 60
    root = Z95 * math.sqrt(rate) + 0.8416212335729143 * math.sqrt(rate - difference**2)
    assert n == pytest.approx((root / difference) ** 2, rel=0.06)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 60))
def test_pairs_needed_does_not_care_who_is_better(wins: int, losses: int, ties: int) -> None:
    pairs = wins + losses + ties
    needed = pairs_needed(wins, losses, pairs, alpha=0.05)
    assert needed == pairs_needed(losses, wins, pairs, alpha=0.05)
    assert (needed is None) == (wins == losses)


def test_pairs_needed_grows_with_what_is_asked() -> None:
    usual = pairs_needed(12, 5, 60, alpha=0.05)
    stricter = pairs_needed(12, 5, 60, alpha=0.01)
    surer = pairs_needed(12, 5, 60, alpha=0.05, power=0.95)
    assert usual is not None and stricter is not None and surer is not None
    assert usual < stricter and usual < surer


def test_pairs_needed_refuses_what_cannot_be() -> None:
    with pytest.raises(DataError, match="3 \\+ 3 disagreements do not fit in 5 pairs"):
        pairs_needed(3, 3, 5, alpha=0.05)
    with pytest.raises(ConfigError, match="power must lie"):
        pairs_needed(3, 1, 5, alpha=0.05, power=1.0)


def test_mean_interval_by_hand() -> None:
    interval = mean_interval([1.0, 2.0, 3.0])
    # s = 1, t(2, 0.975) = 4.302652729911275
    assert interval.mean == 2.0
    assert interval.high - 2.0 == pytest.approx(4.302652729911275 / math.sqrt(3), rel=1e-9)
    assert interval.low == pytest.approx(4.0 - interval.high)
    assert str(mean_interval([0.5, 0.5])) == "0.5 [0.5, 0.5] (n=2)"


def test_mean_interval_refuses_what_it_cannot_use() -> None:
    with pytest.raises(ShapeError, match="n >= 2, got shape"):
        mean_interval([1.0])
    with pytest.raises(NonFiniteError, match="value 1 is NaN"):
        mean_interval([1.0, float("nan")])


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_against_scipy_stats(confidence: float) -> None:
    for trials in (1, 2, 7, 50, 500, 20_000):
        for successes in {0, 1, trials // 3, trials - 1, trials}:
            ours = Proportion.wilson(successes, trials, confidence)
            theirs = scipy.stats.binomtest(successes, trials)
            interval = theirs.proportion_ci(confidence, method="wilson")
            assert (ours.low, ours.high) == pytest.approx(tuple(interval), abs=1e-12)
            exact = mcnemar_exact(successes, trials - successes)
            assert exact == pytest.approx(theirs.pvalue, rel=1e-9)
    values = np.random.default_rng(0).normal(3, 2, 9)
    ours = mean_interval(values, confidence)
    theirs = scipy.stats.t.interval(confidence, 8, values.mean(), scipy.stats.sem(values))
    assert (ours.low, ours.high) == pytest.approx(theirs)
